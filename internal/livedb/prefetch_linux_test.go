package livedb

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"
	"unsafe"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// coldFile makes a file that is not in the page cache.
func coldFile(t *testing.T, size int) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "data.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if _, err := f.Write(bytes.Repeat([]byte("page"), size/4)); err != nil {
		t.Fatal(err)
	}
	lf := &File{d: &descriptor{File: f}}
	if _, err := lf.cached(make([]byte, 1), 0); err != nil {
		Prefetch(t.Context(), f.Name())() // has nothing to do
		t.Skipf("SKIPPED, NOTHING PROVEN: the file system of %s does not report what is cached: %v", f.Name(), err)
	}
	evict(t, f)
	return f
}

// evict takes f out of the page cache; one page in ten may stay.
func evict(t *testing.T, f *os.File) {
	t.Helper()
	for range 100 {
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
		if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
			t.Fatal(err)
		}
		if there, all := resident(t, f); there*10 <= all {
			return
		}
	}
	t.Skip("SKIPPED, NOTHING PROVEN: the file system does not evict its cache")
}

// resident counts the pages of f that are in the page cache, and all. Unlike a read
// it brings none in.
func resident(t *testing.T, f *os.File) (there, all int) {
	t.Helper()
	fi, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	m, err := unix.Mmap(int(f.Fd()), 0, int(fi.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(m)
	pages := make([]byte, (len(m)+os.Getpagesize()-1)/os.Getpagesize())
	_, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&m[0])), uintptr(len(m)), uintptr(unsafe.Pointer(&pages[0])))
	if errno != 0 {
		t.Fatal(errno)
	}
	for _, p := range pages {
		there += int(p & 1)
	}
	return there, len(pages)
}

func waitResident(t *testing.T, f *os.File) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; runtime.Gosched() {
		there, all := resident(t, f)
		if there == all {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d of %d pages are there", there, all)
		}
	}
}

func TestPrefetchBringsTheFileIn(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	f := coldFile(t, 20<<20+4096+4)
	defer Prefetch(t.Context(), f.Name())()
	waitResident(t, f)
}

// A database that is cut short or replaced meanwhile is the check's matter.
func TestPrefetchOfAMovingFile(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	f := coldFile(t, 20<<20)
	stop := Prefetch(t.Context(), f.Name())
	if err := f.Truncate(5 << 20); err != nil {
		t.Fatal(err)
	}
	stop()
	evict(t, f)
	stop = Prefetch(t.Context(), f.Name())
	if err := os.Rename(f.Name(), f.Name()+"-away"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(f.Name(), []byte("another"), 0o600); err != nil {
		t.Fatal(err)
	}
	stop()
	stop = Prefetch(t.Context(), f.Name()+"-away")
	waitResident(t, f)
	stop()
}

// Zeros that are stored nowhere take memory as well: what matters would go for them.
func TestPrefetchLeavesHolesOut(t *testing.T) {
	f := coldFile(t, 4<<20)
	if _, err := f.WriteAt([]byte("more"), 200<<20); err != nil {
		t.Fatal(err)
	}
	if NextData(f, 100<<20) == 100<<20 {
		t.Skip("SKIPPED, NOTHING PROVEN: this file system keeps no holes")
	}
	evict(t, f)
	lf, err := Open(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	defer lf.Close()
	prefetch(t.Context(), lf, 200<<20+4)
	there, all := resident(t, f)
	if there < all/100 || there > all/2 {
		t.Errorf("%d of %d pages are there: the first 4 MiB and the end have data", there, all)
	}
	if ok, err := lf.cached(make([]byte, 1), 200<<20); err != nil || !ok {
		t.Errorf("beyond the hole: %v, %v", ok, err)
	}
}
