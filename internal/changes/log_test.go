package changes

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	foreign "github.com/SaveTheRbtz/zstd-seekable-format-go/pkg"
	"github.com/klauspost/compress/zstd"

	"example.com/snapd/internal/archive"
)

const testSeed = archive.Seed(7)

func testHead(pageSize int) Head {
	return Head{Timeline: 1, Database: "data.db", Base: "base", PageSize: pageSize, PageSeed: testSeed.String()}
}

// history is what a database was at each capture, from an empty base.
type history struct {
	t        *testing.T
	rng      *rand.Rand
	pageSize int
	image    []byte
	images   map[uint64][]byte
	captures []Capture
}

func newHistory(t *testing.T, pageSize int) *history {
	return &history{t: t, rng: rand.New(rand.NewPCG(1, uint64(pageSize))), pageSize: pageSize, images: map[uint64][]byte{}}
}

// step changes some pages, or how many there are, and returns the capture of that.
func (h *history) step(changed int) (c Capture, pages []uint32) {
	n := max(1, len(h.image)/h.pageSize+h.rng.IntN(9)-3)
	if changed > 100 { // many pages are new ones
		n = max(n, changed)
	}
	image := make([]byte, n*h.pageSize)
	grown := copy(image, h.image) / h.pageSize
	set := map[uint32]bool{}
	for p := grown; p < n; p++ {
		set[uint32(p+1)] = true
	}
	for range changed {
		set[1+h.rng.Uint32N(uint32(n))] = true
	}
	for pgno := range set {
		page := image[int(pgno-1)*h.pageSize:][:h.pageSize]
		for i := 0; i < len(page); i += 1 + h.rng.IntN(64) {
			page[i] = byte(h.rng.Uint32())
		}
	}
	h.image = image
	var sum archive.Sum
	for p := range n {
		sum.Add(archive.PageDigest(testSeed, int64(p+1), image[p*h.pageSize:][:h.pageSize]))
	}
	seq := uint64(len(h.captures)*3 + 1) // with gaps
	at := time.Date(2026, 1, 1, 0, 0, len(h.captures), 0, time.UTC)
	c = Capture{Seq: seq, From: at.Add(-time.Second), At: at, Commits: 1, Pages: int64(n), Sum: sum.Digits()}
	h.captures, h.images[seq] = append(h.captures, c), image
	return c, slices.Sorted(maps.Keys(set))
}

func (h *history) read(pgno uint32, page []byte) error {
	copy(page, h.image[int(pgno-1)*h.pageSize:])
	return nil
}

func (h *history) append(l *Log, changed int) {
	h.t.Helper()
	c, pages := h.step(changed)
	if err := l.Append(h.t.Context(), c, pages, h.read); err != nil {
		h.t.Fatal(err)
	}
}

// proves compares the image of every capture of the log, byte for byte, and returns how many.
func (h *history) proves(l *Log) int {
	h.t.Helper()
	all, err := l.Captures(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	for _, c := range all {
		m, err := l.Map(h.t.Context(), 0, c.Seq)
		if err != nil {
			h.t.Fatal(err)
		}
		image := make([]byte, int(m.Pages)*h.pageSize)
		for p := range m.Pages {
			if ok, err := m.ReadPage(uint32(p+1), image[int(p)*h.pageSize:][:h.pageSize]); err != nil || !ok {
				h.t.Fatalf("capture %d, page %d: %v, %v", c.Seq, p+1, ok, err)
			}
		}
		if !bytes.Equal(image, h.images[c.Seq]) {
			h.t.Fatalf("capture %d is not what was captured", c.Seq)
		}
		m.Close()
	}
	return len(all)
}

func open(t *testing.T, dir string, pageSize int) *Log {
	t.Helper()
	l, err := Open(dir, testHead(pageSize))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// Every capture gives back what it captured: from the open segment, sealed, opened again, thinned.
func TestEveryCaptureIsItsImage(t *testing.T) {
	t.Parallel()
	for _, pageSize := range []int{512, 4096, 16384} {
		dir := filepath.Join(t.TempDir(), "1")
		h, l := newHistory(t, pageSize), open(t, dir, pageSize)
		if _, ok, err := l.Last(); ok || err != nil {
			t.Fatal(ok, err)
		}
		for i := range 30 {
			h.append(l, h.rng.IntN(6))
			if i%7 == 6 {
				if err := l.Seal(); err != nil {
					t.Fatal(err)
				}
			}
			if i%5 == 4 {
				if err := l.Close(); err != nil {
					t.Fatal(err)
				}
				l = open(t, dir, pageSize)
			}
		}
		h.append(l, 2<<20/pageSize) // parts
		if n := h.proves(l); n != 31 {
			t.Errorf("%d captures", n)
		}
		if c, ok, err := l.Last(); err != nil || !ok || c.Seq != h.captures[30].Seq {
			t.Errorf("last %+v %v %v", c, ok, err)
		}
		if err := l.Seal(); err != nil {
			t.Fatal(err)
		}
		before := len(l.sealed)
		if err := l.Thin(t.Context(), Thinning{Before: h.captures[25].At, Keep: even}); err != nil {
			t.Fatal(err)
		}
		if n := h.proves(l); n >= 31-5 || n < 10 || len(l.sealed) >= before {
			t.Errorf("%d captures, %d segments of %d are left", n, len(l.sealed), before)
		}
		all, err := l.Captures(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var commits int64
		for i, c := range all {
			commits += c.Commits
			if i > 0 && !c.From.Equal(all[i-1].At) {
				t.Errorf("capture %d is from %s, the one before it is at %s", c.Seq, c.From, all[i-1].At)
			}
		}
		if commits != 31 {
			t.Errorf("%d commits", commits)
		}
		l.Close()
		if n := h.proves(open(t, dir, pageSize)); n != len(all) {
			t.Errorf("%d captures after opening again, %d before", n, len(all))
		}
	}
}

// files are those of a log's directory.
func files(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]byte{}
	for _, e := range entries {
		if all[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// A power loss cuts the capture that was being written, at any byte or with any part of it
// missing, and no other.
func TestATornTailIsCutOff(t *testing.T) {
	t.Parallel()
	const pageSize = 512
	dir := t.TempDir()
	h, l := newHistory(t, pageSize), open(t, dir, pageSize)
	for range 4 {
		h.append(l, 2)
	}
	whole := l.end
	h.append(l, 2500) // more than one part
	l.Close()
	path := filepath.Join(dir, openName)
	full := files(t, dir)[openName]
	torn := func(what string, b []byte) {
		t.Helper()
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := Open(dir, testHead(pageSize))
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		defer l.Close()
		if n := h.proves(l); n != 4 || l.Cut() != int64(len(b))-whole {
			t.Fatalf("%s: %d captures, %d bytes cut off", what, n, l.Cut())
		}
		if after := files(t, dir)[openName]; !bytes.Equal(after, full[:whole]) {
			t.Fatalf("%s: %d bytes are left", what, len(after))
		}
		c := h.captures[4]
		if err := l.Append(t.Context(), c, []uint32{1}, h.read); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	for cut := whole; cut < int64(len(full)); cut += 1 + int64(len(full))/300 {
		torn(fmt.Sprintf("cut at %d of %d", cut, len(full)), full[:cut])
	}
	for at := whole; at < int64(len(full))-4096; at += 4096 {
		b := bytes.Clone(full)
		clear(b[at : at+4096])
		torn(fmt.Sprintf("zeros at %d", at), b)
	}
}

// A crash during the first capture, a seal, or a renaming leaves a log that goes on.
func TestWhatACrashLeaves(t *testing.T) {
	const pageSize = 512
	dir := t.TempDir()
	h, l := newHistory(t, pageSize), open(t, dir, pageSize)
	h.append(l, 2)
	l.Close()
	one := files(t, dir)[openName]
	if err := os.WriteFile(filepath.Join(dir, openName), one[:l.open.start], 0o600); err != nil {
		t.Fatal(err)
	}
	l = open(t, dir, pageSize)
	if _, ok, err := l.Last(); ok || err != nil || len(files(t, dir)) != 0 {
		t.Errorf("only a head: %v %v %v", ok, err, files(t, dir))
	}
	if err := os.WriteFile(filepath.Join(dir, openName), one, 0o600); err != nil {
		t.Fatal(err)
	}
	l = open(t, dir, pageSize)
	h.append(l, 2)
	if err := l.Seal(); err != nil {
		t.Fatal(err)
	}
	sealed := l.sealed[0].Name
	b := files(t, dir)[sealed]
	// Sealed, not renamed.
	if err := os.Rename(filepath.Join(dir, sealed), filepath.Join(dir, openName)); err != nil {
		t.Fatal(err)
	}
	l = open(t, dir, pageSize)
	h.append(l, 2)
	if n := h.proves(l); n != 3 {
		t.Errorf("%d captures", n)
	}
	if err := l.Seal(); err != nil {
		t.Fatal(err)
	}
	// Thinned or renamed, the old name not removed.
	for _, name := range []string{sealed, openName} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l = open(t, dir, pageSize)
	if n := h.proves(l); n != 3 || len(files(t, dir)) != 1 {
		t.Errorf("%d captures in %d files", n, len(files(t, dir)))
	}
	l.Close()
	// The wider one is damaged: the other is what is left.
	wide := l.sealed[0].Name
	damaged := bytes.Clone(files(t, dir)[wide])
	damaged[len(damaged)/3] ^= 1
	for name, content := range map[string][]byte{sealed: b, wide: damaged} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Open(dir, testHead(pageSize)); !errors.Is(err, ErrDamaged) || len(files(t, dir)) != 2 {
		t.Errorf("%v, %d files", err, len(files(t, dir)))
	}
}

// A flipped bit never gives a wrong page, and damage in the middle cuts nothing off.
func TestDamageIsFound(t *testing.T) {
	t.Parallel()
	const pageSize = 512
	dir := t.TempDir()
	h, l := newHistory(t, pageSize), open(t, dir, pageSize)
	for range 6 {
		h.append(l, 2)
	}
	last := l.list[5].begin
	l.Close()
	path := filepath.Join(dir, openName)
	good := files(t, dir)[openName]
	found := map[string]int{}
	for at := 0; at < len(good); at += 7 { // and so each bit of a byte
		b := bytes.Clone(good)
		b[at] ^= 1 << (at % 8)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := Open(dir, testHead(pageSize))
		switch {
		case err == nil && int64(at) >= last:
			switch n := h.proves(l); n {
			case 5:
				found["cut off"]++
			case 6:
				found["of no consequence"]++
			default:
				t.Fatalf("byte %d: %d captures", at, n)
			}
		case err == nil:
			if !bytes.Equal(files(t, dir)[openName], b) {
				t.Fatalf("byte %d: it was changed", at)
			}
			if h.wrong(l, at) {
				found["when read"]++
			} else {
				found["of no consequence"]++
			}
		default:
			if !errors.Is(err, ErrDamaged) && int64(at) > l0(good) {
				t.Fatalf("byte %d: %v", at, err)
			}
			if !bytes.Equal(files(t, dir)[openName], b) {
				t.Fatalf("byte %d: %v, and it was changed", at, err)
			}
			found["when opened"]++
		}
		if l != nil {
			l.Close()
		}
	}
	t.Logf("every seventh of %d bytes: %v", len(good), found)
	// zstd has bits that its decoder does not look at; no page differs.
	if found["cut off"] == 0 || found["when read"] == 0 || found["when opened"] == 0 || found["of no consequence"] > len(good)/7/50 {
		t.Error("a way to find damage was not met, or much of it not found")
	}
}

// l0 is where the first part begins.
func l0(b []byte) int64 { return 8 + int64(byteOrder.Uint32(b[4:])) }

// wrong reports whether some page of the log cannot be read; that one is read wrong is an error.
func (h *history) wrong(l *Log, at int) (found bool) {
	h.t.Helper()
	for _, c := range h.captures {
		m, err := l.Map(h.t.Context(), 0, c.Seq)
		if err != nil {
			found = true
			continue
		}
		page := make([]byte, h.pageSize)
		for p := range m.Pages {
			if _, err := m.ReadPage(uint32(p+1), page); err != nil {
				found = true
			} else if !bytes.Equal(page, h.images[c.Seq][int(p)*h.pageSize:][:h.pageSize]) {
				h.t.Fatalf("byte %d: a wrong page %d of capture %d", at, p+1, c.Seq)
			}
		}
		m.Close()
	}
	return found
}

// A read that fails takes nothing of the capture into the log.
func TestAppendIsAllOrNothing(t *testing.T) {
	const pageSize = 512
	h, l := newHistory(t, pageSize), open(t, t.TempDir(), pageSize)
	broken := errors.New("no such page")
	for i := range 3 {
		c, pages := h.step(5000)
		err := l.Append(t.Context(), c, pages, func(pgno uint32, page []byte) error {
			if pgno == pages[len(pages)-1] {
				return broken
			}
			return h.read(pgno, page)
		})
		if !errors.Is(err, broken) {
			t.Fatal(err)
		}
		if err := l.Append(t.Context(), c, pages, h.read); err != nil {
			t.Fatal(err)
		}
		if n := h.proves(l); n != i+1 {
			t.Errorf("%d captures", n)
		}
		if err := l.Append(t.Context(), c, pages, h.read); err == nil {
			t.Error("the same capture was appended twice")
		}
	}
}

// Programs that know nothing of us read a sealed segment: the pages, one after the other. So do they one that was merged.
func TestForeignReaders(t *testing.T) {
	const pageSize = 4096
	dir := t.TempDir()
	h, l := newHistory(t, pageSize), open(t, dir, pageSize)
	var want []byte
	capture := func(changed int) {
		t.Helper()
		c, pages := h.step(changed)
		if err := l.Append(t.Context(), c, pages, h.read); err != nil {
			t.Fatal(err)
		}
		for _, pgno := range pages {
			want = append(want, h.image[int(pgno-1)*pageSize:][:pageSize]...)
		}
	}
	dec, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer dec.Close()
	foreignReads := func() {
		t.Helper()
		b := files(t, dir)[l.sealed[0].Name]
		if got, err := dec.DecodeAll(b, nil); err != nil || !bytes.Equal(got, want) {
			t.Errorf("zstd: %d bytes of %d, %v", len(got), len(want), err)
		}
		r, err := foreign.NewReader(bytes.NewReader(b), dec)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, want) {
			t.Errorf("seekable reader: %d bytes of %d, %v", len(got), len(want), err)
		}
	}
	for range 3 {
		capture(400)
	}
	if err := l.Seal(); err != nil {
		t.Fatal(err)
	}
	foreignReads()
	for range 300 {
		capture(5)
		if err := l.Seal(); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Thin(t.Context(), Thinning{Before: later, Keep: all}); err != nil || len(l.sealed) != 1 {
		t.Fatal(len(l.sealed), err)
	}
	foreignReads()
}
