package archive

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"example.com/snapd/internal/seekable"
)

// failingWriter takes limit bytes and then fails.
type failingWriter struct {
	limit int
	err   error
}

func (f *failingWriter) Write(p []byte) (int, error) {
	if len(p) > f.limit {
		n := f.limit
		f.limit = 0
		return n, f.err
	}
	f.limit -= len(p)
	return len(p), nil
}

// If this fails, a full disk goes unnoticed, hangs the backup or leaks workers.
func TestDestinationErrorAtEveryPlace(t *testing.T) {
	image := crmImage(40*4096, 4096, 9)
	o := WriterOptions{PageSize: 4096, FrameBytes: 8192, Workers: 2}
	stored, _ := pack(t, image, o)
	full := errors.New("no room on this disk")
	for limit := 0; limit < len(stored); limit += 97 {
		w, err := NewWriter(&failingWriter{limit, full}, o)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(image); err != nil && !errors.Is(err, full) {
			t.Fatalf("write with room for %d: %v", limit, err)
		}
		_, err = w.Finish(testFacts)
		if !errors.Is(err, full) || !strings.Contains(err.Error(), "write ") {
			t.Fatalf("finish with room for %d: %v", limit, err)
		}
		if _, err := w.Write(image[:1]); err == nil {
			t.Fatal("write after the end is accepted")
		}
		if _, err := w.Finish(testFacts); !errors.Is(err, full) {
			t.Fatalf("second finish: %v", err)
		}
	}
	goleak.VerifyNone(t)
}

// If this fails, a writer that received an error goes on compressing.
func TestWriteErrorIsSticky(t *testing.T) {
	full := errors.New("no room")
	w, err := NewWriter(&failingWriter{0, full}, WriterOptions{PageSize: 512, FrameBytes: 512})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	page := make([]byte, 512)
	deadline := time.Now().Add(10 * time.Second)
	for err == nil && time.Now().Before(deadline) {
		_, err = w.Write(page)
	}
	if !errors.Is(err, full) {
		t.Fatalf("writes end with %v", err)
	}
	if n, err := w.Write(page); n != 0 || !errors.Is(err, full) {
		t.Errorf("next write: %d, %v", n, err)
	}
}

// If this fails, a destination that takes less than it was given without an
// error gives an archive with a hole.
func TestShortWriteWithoutError(t *testing.T) {
	w, err := NewWriter(&failingWriter{100, nil}, WriterOptions{PageSize: 512})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	if _, err := w.Write(crmImage(8192, 512, 1)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Finish(testFacts); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("finish: %v", err)
	}
}

// If this fails, cancelled backups leak goroutines in the host.
func TestAbort(t *testing.T) {
	image := crmImage(1<<20, 4096, 10)
	for _, n := range []int{0, 1, 4096, 100_000, len(image)} {
		var b bytes.Buffer
		w, err := NewWriter(&b, WriterOptions{PageSize: 4096, FrameBytes: 8192, ScratchDir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		w.spool.limit = 64
		if _, err := w.Write(image[:n]); err != nil {
			t.Fatal(err)
		}
		w.Abort()
		w.Abort()
		if err := goleak.Find(); err != nil {
			t.Fatalf("after %d bytes: %v", n, err)
		}
		if f := w.spool.file; f != nil {
			if _, err := f.File.Stat(); !errors.Is(err, os.ErrClosed) {
				t.Errorf("after %d bytes: the scratch file is still open: %v", n, err)
			}
		}
		if left, err := os.ReadDir(w.o.ScratchDir); err != nil || len(left) > 0 {
			t.Errorf("after %d bytes: scratch %v, %v", n, left, err)
		}
		if _, err := w.Finish(testFacts); err == nil {
			t.Error("finish after abort gives an archive")
		}
		if _, err := NewReader(bytes.NewReader(b.Bytes()), int64(b.Len())); err == nil {
			t.Error("an aborted archive opens")
		}
	}
}

// If this fails, an image that was cut short becomes a backup.
func TestFinishDemandsWholePages(t *testing.T) {
	for _, n := range []int{1, 4095, 4097, 1<<20 + 512} {
		w, err := NewWriter(io.Discard, WriterOptions{PageSize: 4096})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(make([]byte, n)); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Finish(testFacts); err == nil || !strings.Contains(err.Error(), "whole number of pages") {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

// If this fails, wrong options give an archive that cannot be read.
func TestWriterRefuses(t *testing.T) {
	for name, o := range map[string]WriterOptions{
		"page size 1000":    {PageSize: 1000},
		"page size 256":     {PageSize: 256},
		"page size 128 KiB": {PageSize: 131072},
		"negative page":     {PageSize: -4096},
		"frame too large":   {PageSize: 4096, FrameBytes: seekable.MaxFrameBytes + 1},
		"frame overflowing": {PageSize: 4096, FrameBytes: math.MaxInt},
		"level":             {PageSize: 4096, Level: Best + 1},
	} {
		if _, err := NewWriter(io.Discard, o); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	w, err := NewWriter(io.Discard, WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	if _, err := w.Write([]byte{1}); err == nil {
		t.Error("an archive without page size takes bytes")
	}
	w2, err := NewWriter(io.Discard, WriterOptions{PageSize: 512})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w2.Finish(Facts{Note: strings.Repeat("x", maxMetadata)}); !errors.Is(err, ErrLimit) {
		t.Errorf("metadata over the limit: %v", err)
	}
}

// If this fails, --level compresses no better, or its archives do not open.
func TestLevels(t *testing.T) {
	image := crmImage(2<<20, 4096, 11)
	last := len(image)
	for level := Fastest; level <= Best; level++ {
		stored, _ := pack(t, image, WriterOptions{PageSize: 4096, Level: level})
		if err := open(t, stored).Verify(context.Background(), CopyOptions{}); err != nil {
			t.Errorf("level %d: %v", level, err)
		}
		if len(stored) > last {
			t.Errorf("level %d: %d bytes, the level before %d", level, len(stored), last)
		}
		last = len(stored)
	}
}
