package livedb

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"go.uber.org/goleak"
)

// memory is a file that a cache keeps as much of as room says, what was read
// first going first.
type memory struct {
	size, room int64
	held       []int64 // chunks, in the order they came
	reads      int64   // bytes
	noAnswer   error
	onRead     func() error
}

func (m *memory) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > m.size {
		return 0, io.EOF
	}
	if m.onRead != nil {
		if err := m.onRead(); err != nil {
			return 0, err
		}
	}
	m.reads += int64(len(p))
	m.held = append(m.held, off/prefetchChunk)
	if over := len(m.held) - int(m.room/prefetchChunk); over > 0 {
		m.held = m.held[over:]
	}
	return len(p), nil
}

func (m *memory) cached(b []byte, off int64) (bool, error) {
	if b[0] = 1; off < 0 || off >= m.size {
		return false, io.EOF
	}
	return slices.Contains(m.held, off/prefetchChunk), m.noAnswer
}

func TestPrefetchReadsWhatIsNotThere(t *testing.T) {
	for _, size := range []int64{0, 1, prefetchChunk, prefetchChunk + 1, 100<<20 + 5} {
		m := &memory{size: size, room: 1 << 40}
		for range 2 {
			prefetch(t.Context(), m, size)
			if m.reads != size {
				t.Errorf("size %d: read %d bytes", size, m.reads)
			}
		}
	}
}

// Lost otherwise: in a container with little memory, as much time as the file takes to
// be read, for nothing, and what the check itself had in memory.
func TestPrefetchEndsWhereMemoryIsShort(t *testing.T) {
	const size = 2 << 30
	for _, room := range []int64{1 << 20, 16 << 20, 100 << 20, 500 << 20} {
		m := &memory{size: size, room: room}
		prefetch(t.Context(), m, size)
		if most := 2*room + 2*prefetchLook; m.reads > most {
			t.Errorf("room for %d bytes: read %d, at most %d", room, m.reads, most)
		}
	}
}

func TestPrefetchEnds(t *testing.T) {
	const size = 64 << 20
	ctx, cancel := context.WithCancel(t.Context())
	trouble := errors.New("a bad sector")
	for what, m := range map[string]*memory{
		"with its context":             {onRead: func() error { cancel(); return nil }},
		"at an error":                  {onRead: func() error { return trouble }},
		"where nothing is reported":    {noAnswer: errors.ErrUnsupported},
		"at the end of what was there": {size: 3 * prefetchChunk},
	} {
		if m.room = size; m.size == 0 {
			m.size = size
		}
		use := t.Context()
		if what == "with its context" {
			use = ctx
		}
		prefetch(use, m, size)
		if m.reads > 3*prefetchChunk {
			t.Errorf("%s: read %d bytes", what, m.reads)
		}
	}
}

// What is no file to be read is the caller's to find out, and nothing is left running.
func TestPrefetchOfNothing(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty.db")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	shut := filepath.Join(dir, "shut.db")
	if err := os.WriteFile(shut, []byte("x"), 0); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(dir, "none.db"), filepath.Join(dir, "none", "data.db"), dir, empty, shut} {
		stop := Prefetch(t.Context(), path)
		stop()
		stop()
	}
	Prefetch(canceledContext(), empty)()
}
