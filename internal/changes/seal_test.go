package changes

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/seekable"
)

// A list that is wrong offers points that are not there; one that is damaged hides none.
func TestListOfASealedSegment(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "1")
	h, l := newHistory(t, 512), open(t, dir, 512)
	for range 9 {
		h.append(l, 5)
	}
	if err := l.Seal(); err != nil {
		t.Fatal(err)
	}
	path := l.path(l.sealed[0])
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s, err := openSegment("x", bytes.NewReader(whole), int64(len(whole)))
	if err != nil {
		t.Fatal(err)
	}
	list, ok := s.readList()
	if !ok || len(list) != len(h.captures) {
		t.Fatalf("%d captures, %v", len(list), ok)
	}
	for i, c := range h.captures {
		c.Sum = ""
		if got := list[i].capture(); !reflect.DeepEqual(got, c) {
			t.Errorf("%+v, want %+v", got, c)
		}
	}
	if err := s.whole(); err != nil {
		t.Error(err)
	}
	_, end, err := s.captures()
	if err != nil {
		t.Fatal(err)
	}
	table := len(whole) - int(seekable.TableBytes(int64(2*9+1+2)))
	for at := end; at < int64(table); at++ { // of list and seal
		b := bytes.Clone(whole)
		b[at] ^= 0x40
		s.r = bytes.NewReader(b)
		if s.whole() == nil {
			t.Fatalf("damage at %d passes for whole", at)
		}
		if walked, err := s.listed(); err != nil || !reflect.DeepEqual(walked, list) {
			t.Fatalf("damage at %d: %d captures, %v", at, len(walked), err)
		}
	}
	for size := range whole[end:] {
		s.r, s.size = bytes.NewReader(whole[:end+int64(size)]), end+int64(size)
		if _, ok := s.readList(); ok {
			t.Fatalf("cut at %d there is a list", s.size)
		}
	}
}

// Lost: the newest captures, where a segment has its new name and the rename fails all the same. What comes next is numbered after
// the last one of the log.
func TestLastAfterAFailedRename(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "1")
	h, l := newHistory(t, 512), open(t, dir, 512)
	h.append(l, 5)
	if err := l.Seal(); err != nil {
		t.Fatal(err)
	}
	h.append(l, 5)
	stop := durable.Observe(&durable.Observer{Before: func(s durable.Step, path string) {
		if s == durable.StepRename && filepath.Dir(path) == dir {
			if err := os.Rename(filepath.Join(dir, openName), path); err != nil {
				t.Error(err)
			}
		}
	}})
	err := l.Seal()
	stop()
	if err == nil {
		t.Fatal("the rename did not fail")
	}
	want := h.captures[1].Seq
	if c, ok, err := l.Last(); err != nil || !ok || c.Seq != want {
		t.Fatalf("the last capture is %d, %v, %v; want %d", c.Seq, ok, err, want)
	}
	h.append(l, 5)
	if n := h.proves(l); n == 0 {
		t.Error("nothing was proven")
	}
}
