package changes

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// viewed proves every capture that a view has, and returns how many. Captures that were thinned since
// the list was read may be gone.
func (h *history) viewed(v *View, images func(uint64) []byte) (proven, gone int) {
	h.t.Helper()
	var all []Capture
	err := v.again(h.t.Context(), func() (err error) {
		all, err = v.log.Captures(h.t.Context())
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	page := make([]byte, h.pageSize)
	for _, c := range all {
		m, err := v.Map(h.t.Context(), 0, c.Seq)
		if errors.Is(err, fs.ErrNotExist) {
			gone++
			continue
		}
		if err != nil {
			h.t.Fatal(err)
		}
		for p := range m.Pages {
			if ok, err := m.ReadPage(uint32(p+1), page); err != nil || !ok || !bytes.Equal(page, images(c.Seq)[int(p)*h.pageSize:][:h.pageSize]) {
				h.t.Fatalf("capture %d, page %d: %v, %v", c.Seq, p+1, ok, err)
			}
		}
		m.Close()
		proven++
	}
	return proven, gone
}

// A view is one moment of a log that another one writes to: every capture that it lists is whole, and
// nothing that the writer needs was touched.
func TestViewNextToAWriter(t *testing.T) {
	t.Parallel()
	const pageSize = 512
	dir := filepath.Join(t.TempDir(), "1")
	h, l := newHistory(t, pageSize), open(t, dir, pageSize)
	var mu sync.Mutex // guards h.images
	images := func(seq uint64) []byte { mu.Lock(); defer mu.Unlock(); return h.images[seq] }
	if _, err := Read(t.Context(), dir); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 300 {
			mu.Lock()
			c, pages := h.step(h.rng.IntN(6))
			mu.Unlock()
			err := l.Append(t.Context(), c, pages, h.read)
			if i%5 == 4 {
				err = errors.Join(err, l.Seal())
			}
			if i%20 == 19 {
				err = errors.Join(err, l.Thin(t.Context(), Thinning{Before: c.At.Add(-8 * time.Second), Keep: even}))
			}
			if err != nil {
				t.Error(err)
				return
			}
		}
	}()
	views, proven, gone := 0, 0, 0
	for ended := false; !ended; views++ {
		select {
		case <-done:
			ended = true
		default:
		}
		v, err := Read(t.Context(), dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if v.Head() != l.head {
			t.Fatalf("%+v", v.Head())
		}
		p, g := h.viewed(v, images)
		proven, gone = proven+p, gone+g
		v.Close()
	}
	t.Logf("%d views, %d captures proven, %d thinned meanwhile", views, proven, gone)
	if want := h.proves(l); proven < want || t.Failed() {
		t.Errorf("%d captures proven, the log has %d", proven, want)
	}
}

// A last capture that is not whole is not there, and stays as it is in the file.
func TestViewOfATornTail(t *testing.T) {
	t.Parallel()
	const pageSize = 512
	dir := t.TempDir()
	h, l := newHistory(t, pageSize), open(t, dir, pageSize)
	for range 3 {
		h.append(l, 2)
	}
	whole := l.end
	h.append(l, 2500) // more than one part
	l.Close()
	full := files(t, dir)[openName]
	for cut := whole; cut < int64(len(full)); cut += 1 + int64(len(full))/100 {
		if err := os.WriteFile(filepath.Join(dir, openName), full[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		v, err := Read(t.Context(), dir)
		if err != nil {
			t.Fatalf("cut at %d of %d: %v", cut, len(full), err)
		}
		if n, gone := h.viewed(v, func(seq uint64) []byte { return h.images[seq] }); n != 3 || gone != 0 {
			t.Fatalf("cut at %d: %d captures", cut, n)
		}
		v.Close()
		if b := files(t, dir)[openName]; !bytes.Equal(b, full[:cut]) {
			t.Fatalf("cut at %d: it was changed", cut)
		}
	}
}

// A log is continued with its own base; with another one it is another log.
func TestTheBaseIsTheLogs(t *testing.T) {
	const pageSize = 512
	dir := t.TempDir()
	h, l := newHistory(t, pageSize), open(t, dir, pageSize)
	h.append(l, 2)
	for _, state := range []string{"open", "sealed"} {
		if state == "sealed" {
			if err := l.Seal(); err != nil {
				t.Fatal(err)
			}
		}
		l.Close()
		head := testHead(pageSize)
		head.Base = "other"
		if _, err := Open(dir, head); err == nil {
			t.Errorf("%s: a log of another base was opened", state)
		}
		head.Base = ""
		again, err := Open(dir, head)
		if err != nil || again.Head().Base != "base" {
			t.Fatalf("%s: %v", state, err)
		}
		l = again
		t.Cleanup(func() { again.Close() })
	}
}
