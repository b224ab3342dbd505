package changes

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"example.com/snapd/internal/archive"
)

// seals appends captures, and seals each by itself.
func (h *history) seals(l *Log, n int) {
	h.t.Helper()
	for range n {
		c, pages := h.step(h.rng.IntN(4))
		c.Source = json.RawMessage(`{}`)
		if err := errors.Join(l.Append(h.t.Context(), c, pages, h.read), l.Seal()); err != nil {
			h.t.Fatal(err)
		}
	}
}

func all(Capture) bool    { return true }
func none(Capture) bool   { return false }
func even(c Capture) bool { return c.Seq%2 == 0 }

var later = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)

// Lost: captures of segments that are merged; or the time and the disk that it takes to write all of a log again with each merge.
func TestSmallSegmentsAreMerged(t *testing.T) {
	t.Parallel()
	const pageSize = 512
	dir := t.TempDir()
	h, l := newHistory(t, pageSize), open(t, dir, pageSize)
	thin := func(wantFiles int) {
		t.Helper()
		if err := l.Thin(t.Context(), Thinning{Before: later, Keep: all}); err != nil {
			t.Fatal(err)
		}
		if n := len(files(t, dir)); n != wantFiles || n != len(l.sealed) {
			t.Errorf("%d files, %d segments, not %d", n, len(l.sealed), wantFiles)
		}
	}
	h.seals(l, 60)
	thin(1)
	first, err := os.Stat(l.path(l.sealed[0]))
	if err != nil {
		t.Fatal(err)
	}
	h.seals(l, 8)
	thin(2)
	if now, err := os.Stat(l.path(l.sealed[0])); err != nil || !os.SameFile(first, now) {
		t.Errorf("the large segment was written again: %v", err)
	}
	thin(2)
	h.append(l, 2) // and one that is open
	if n := h.proves(l); n != 69 {
		t.Errorf("%d captures", n)
	}
	h.seals(l, 80)
	thin(1)
	l.Close()
	l = open(t, dir, pageSize)
	if n := h.proves(l); n != 149 {
		t.Errorf("%d captures after opening again", n)
	}
	list, err := l.Captures(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range list {
		if last := i == len(list)-1; c.Merged != 0 || c.Commits != 1 || (c.Source != nil) != last {
			t.Errorf("capture %d: %+v", i, c)
		}
	}
}

// The log is appended to, sealed and read while a merge is written: nothing of that is lost.
func TestALogThatGrowsWhileItIsMerged(t *testing.T) {
	t.Parallel()
	const pageSize = 512
	dir := t.TempDir()
	h, l := newHistory(t, pageSize), open(t, dir, pageSize)
	h.seals(l, 30)
	turns := 0
	err := l.Thin(t.Context(), Thinning{Before: later, Keep: even, Turn: func(step func() error) error {
		if turns++; turns < 20 {
			h.seals(l, 1)
			h.append(l, 1)
		}
		return step()
	}})
	if err != nil || turns < 20 {
		t.Fatal(turns, err)
	}
	last := h.captures[len(h.captures)-1].Seq
	l.Close()
	l = open(t, dir, pageSize)
	if c, ok, err := l.Last(); err != nil || !ok || c.Seq != last {
		t.Errorf("the last capture is %+v, %v, %v", c, ok, err)
	}
	if n := h.proves(l); n < 30 || n > 60 {
		t.Errorf("%d captures", n)
	}
	moved := errors.New("another log")
	if err := l.Thin(t.Context(), Thinning{Before: later, Keep: none, Turn: func(step func() error) error {
		if turns++; turns%2 == 0 {
			return moved
		}
		return step()
	}}); !errors.Is(err, moved) {
		t.Error(err)
	}
	for name := range files(t, dir) {
		if _, ok := ParseSealed(name); !ok && name != openName {
			t.Errorf("%s is left", name)
		}
	}
}

// large appends a capture whose pages cannot be compressed, and seals it.
func (h *history) large(l *Log, bytes int) {
	h.t.Helper()
	h.image = make([]byte, bytes)
	rand.NewChaCha8([32]byte{1}).Read(h.image)
	var sum archive.Sum
	var pages []uint32
	for at := 0; at < bytes; at += h.pageSize {
		pages = append(pages, uint32(len(pages)+1))
		sum.Add(archive.PageDigest(testSeed, int64(len(pages)), h.image[at:][:h.pageSize]))
	}
	c := h.captures[len(h.captures)-1]
	c = Capture{Seq: c.Seq + 3, From: c.At, At: c.At.Add(time.Second), Commits: 1, Pages: int64(len(pages)), Sum: sum.Digits()}
	h.captures, h.images[c.Seq] = append(h.captures, c), h.image
	if err := errors.Join(l.Append(h.t.Context(), c, pages, h.read), l.Seal()); err != nil {
		h.t.Fatal(err)
	}
}

// Lost: the room that the captures before a backup take, which could be dropped by themselves.
func TestBasesKeepSegmentsApart(t *testing.T) {
	t.Parallel()
	const pageSize = 512
	dir := t.TempDir()
	h, l := newHistory(t, pageSize), open(t, dir, pageSize)
	h.seals(l, 20)
	base := h.captures[10].Seq
	if err := l.Thin(t.Context(), Thinning{Before: later, Keep: none, Bases: []uint64{0, base}}); err != nil {
		t.Fatal(err)
	}
	if err := l.DropBefore(base); err != nil {
		t.Fatal(err)
	}
	list, err := l.Captures(t.Context())
	if err != nil || len(list) != 1 || list[0].Merged != 8 {
		t.Errorf("%+v, %v", list, err)
	}
}

// Lost: the merging and thinning of all that follows a segment that is damaged.
func TestAMergeLeavesDamageAlone(t *testing.T) {
	t.Parallel()
	const pageSize = 16384
	dir := t.TempDir()
	h, l := newHistory(t, pageSize), open(t, dir, pageSize)
	h.seals(l, 5)
	h.large(l, SealedBytes)
	h.seals(l, 20)
	name := l.sealed[1].Name
	b := files(t, dir)[name]
	b[len(b)/2] ^= 1
	if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := l.Thin(t.Context(), Thinning{Before: later, Keep: all}); !errors.Is(err, ErrDamaged) {
		t.Error(err)
	}
	if n := len(files(t, dir)); n != 5+1+1 {
		t.Errorf("%d files", n)
	}
}
