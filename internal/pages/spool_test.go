package pages

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"example.com/snapd/internal/livedb"
)

// The file at the path may be another one by now: a spool that read it would store a
// database that was not asked for, as a proven backup of this one.
func TestSpoolReadsNoOtherFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db, other := filepath.Join(dir, "data.db"), filepath.Join(dir, "other.db")
	shell(t, db, "CREATE TABLE t(a); INSERT INTO t VALUES(1)")
	shell(t, other, "CREATE TABLE t(a); INSERT INTO t VALUES(2)")
	want, err := os.ReadFile(db)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Begin(t.Context(), db, livedb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := os.Rename(other, db); err != nil {
		t.Fatal(err)
	}
	var image bytes.Buffer
	if err := s.Spool(t.Context(), &image, nil); err != nil {
		t.Fatal(err)
	}
	sameBytes(t, "image", image.Bytes(), want)
}

// A file that ends before its last page is damaged. Both ways of reading have to say
// so alike: a spool padded or cut short could pass for an image.
func TestSpoolOfAFileThatEndsEarly(t *testing.T) {
	t.Parallel()
	db := filepath.Join(t.TempDir(), "data.db")
	shell(t, db, sampleSchema)
	s, err := Begin(t.Context(), db, livedb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := os.Truncate(db, s.Info().Bytes()-1); err != nil {
		t.Fatal(err)
	}
	var spooled, copied bytes.Buffer
	serr, cerr := s.Spool(t.Context(), &spooled, nil), s.CopyTo(t.Context(), &copied, nil)
	if (serr == nil) != (cerr == nil) || !bytes.Equal(spooled.Bytes(), copied.Bytes()) {
		t.Errorf("%d bytes, %v; by SQLite %d bytes, %v", spooled.Len(), serr, copied.Len(), cerr)
	}
}

// A backup that was cancelled, or whose disk is full, must leave no goroutine in the
// host, nor keep its writers waiting for the rest of the file.
func TestSpoolEndsEarly(t *testing.T) {
	s := pinned(t, "CREATE TABLE t(a); INSERT INTO t VALUES(zeroblob(12000000))")
	defer s.Close()
	ctx, cancel := context.WithCancel(t.Context())
	var last int64
	if err := s.Spool(ctx, discard{}, func(done int64) { last = done; cancel() }); !errors.Is(err, context.Canceled) || last != copyBatch {
		t.Errorf("cancelled: %v after %d bytes", err, last)
	}
	full := errors.New("no room")
	if err := s.Spool(t.Context(), refusing{full}, nil); !errors.Is(err, full) {
		t.Errorf("a full disk: %v", err)
	}
	func() { // a host may outlive its own mistake
		defer func() {
			if recover() == nil {
				t.Error("no panic came of a meter that panics")
			}
		}()
		_ = s.Spool(t.Context(), discard{}, func(int64) { panic("no meter") })
	}()
	goleak.VerifyNone(t)
}

// Every page comes once, with its number, by the file and by SQLite; an error or the end of the context ends it.
func TestScan(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]string{
		"one page":      "CREATE TABLE t(a)",
		"some parts":    "CREATE TABLE t(a); INSERT INTO t VALUES(randomblob(3500000))",
		"small pages":   "PRAGMA page_size=512; CREATE TABLE t(a); INSERT INTO t VALUES(randomblob(1500000))",
		"through a log": "PRAGMA journal_mode=wal; CREATE TABLE t(a); INSERT INTO t VALUES(randomblob(3500000))",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := pinned(t, script)
			defer s.Close()
			var want bytes.Buffer
			if err := s.CopyTo(t.Context(), &want, nil); err != nil {
				t.Fatal(err)
			}
			got, size := make([]byte, want.Len()), s.Info().PageSize
			var mu sync.Mutex
			seen := 0
			err := s.Scan(t.Context(), 3, func(first int64, pages []byte) error {
				mu.Lock()
				defer mu.Unlock()
				seen += copy(got[int(first-1)*size:], pages)
				return nil
			})
			if err != nil || seen != want.Len() {
				t.Fatalf("%d bytes of %d, %v", seen, want.Len(), err)
			}
			sameBytes(t, "image", got, want.Bytes())
			stop := errors.New("enough")
			if err := s.Scan(t.Context(), 3, func(int64, []byte) error { return stop }); !errors.Is(err, stop) {
				t.Errorf("an error: %v", err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if err := s.Scan(ctx, 3, func(int64, []byte) error { return nil }); !errors.Is(err, context.Canceled) {
				t.Errorf("cancelled: %v", err)
			}
		})
	}
}

type refusing struct{ err error }

func (r refusing) Write([]byte) (int, error) { return 0, r.err }

// On Windows a writer's lock keeps others from reading the bytes that it covers. Were
// they read, no database of more than 1 GiB could be backed up while a writer waits.
func TestSpoolReadsNoLockBytes(t *testing.T) {
	t.Parallel()
	for _, size := range []int{512, 65536} {
		page := int64(size)
		info := livedb.Info{PageSize: size, PageCount: lockPage(size) + page/512}
		n := &counting{}
		if err := copyFile(t.Context(), locked{}, info, n, nil); err != nil || n.n != info.Bytes() {
			t.Errorf("pages of %d bytes: %d of %d, %v", page, n.n, info.Bytes(), err)
		}
		if zeros := n.n - n.ones; zeros != page {
			t.Errorf("pages of %d bytes: %d bytes are zero", page, zeros)
		}
	}
}

// locked is a file of ones without its lock bytes.
type locked struct{}

func (locked) ReadAt(p []byte, off int64) (int, error) {
	if off < pendingByte+512 && off+int64(len(p)) > pendingByte {
		return 0, errors.New("another process has locked a portion of the file")
	}
	for i := range p {
		p[i] = 1
	}
	return len(p), nil
}

type counting struct{ n, ones int64 }

func (c *counting) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	c.ones += int64(bytes.Count(p, []byte{1}))
	return len(p), nil
}
