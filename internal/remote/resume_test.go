package remote

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/failure"
	"example.com/snapd/internal/store"
)

// metered counts what is read of an archive, and fails after so many bytes.
type metered struct {
	io.ReaderAt
	read  atomic.Int64
	after int64 // 0: never
}

func (m *metered) ReadAt(p []byte, off int64) (int, error) {
	if n := m.read.Add(int64(len(p))); m.after > 0 && n > m.after {
		return 0, store.ErrGone
	}
	return m.ReaderAt.ReadAt(p, off)
}

// Lost: the hours that a large restore had taken when it was cut short. What it had read is used again, and nothing that is not proven.
func TestRestoreGoesOn(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("no process is known to be gone there")
	}
	const pages, size = 1000, 4096
	image := make([]byte, pages*size)
	for i, r := 0, rand.NewPCG(1, 2); i < len(image); i++ {
		image[i] = byte(r.Uint64())
	}
	var packed bytes.Buffer
	w, err := archive.NewWriter(&packed, archive.WriterOptions{PageSize: size, Seed: 7, FrameBytes: 16 * size})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(image); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Finish(archive.Facts{Database: "data.db"}); err != nil {
		t.Fatal(err)
	}
	from := &metered{ReaderAt: bytes.NewReader(packed.Bytes())}
	a, err := archive.NewReader(from, int64(packed.Len()))
	if err != nil {
		t.Fatal(err)
	}
	target := filepath.Join(t.TempDir(), "data.db")
	unpack := func() (kept int64) {
		t.Helper()
		err := Unpack(t.Context(), a, target, UnpackOptions{Resumed: func(n int64) { kept = n }})
		if got, rerr := os.ReadFile(target); err != nil || rerr != nil || !bytes.Equal(got, image) {
			t.Fatalf("%d bytes, %v, %v", len(got), err, rerr)
		}
		if left, err := filepath.Glob(filepath.Join(filepath.Dir(target), durable.TempPrefix+"*")); err != nil || len(left) > 0 {
			t.Errorf("left behind: %q, %v", left, err)
		}
		if err := os.Remove(target); err != nil {
			t.Fatal(err)
		}
		return kept
	}
	if kept := unpack(); kept != 0 {
		t.Errorf("without anything before, %d bytes were kept", kept)
	}

	// The store was gone for longer than it is waited for: what is there is named, and used.
	from.read.Store(0)
	from.after = int64(packed.Len()) * 3 / 4
	err = Unpack(t.Context(), a, target, UnpackOptions{})
	if !errors.Is(err, store.ErrGone) || !strings.Contains(failure.Hint(err), durable.TempPrefix) {
		t.Errorf("%v, %q", err, failure.Hint(err))
	}
	from.after = 0
	from.read.Store(0)
	if kept := unpack(); kept < pages*size/2 || from.read.Load() > int64(packed.Len())*2/3 {
		t.Errorf("%d bytes were kept, %d of %d read again", kept, from.read.Load(), packed.Len())
	}

	// What a loss of power made of it is not trusted, nor what another restore is still writing.
	f, err := durable.Create(target, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	half := bytes.Clone(image[:pages*size/2+100])
	copy(half[5*size:], make([]byte, size))
	half[77*size+5] ^= 1
	if _, err := f.Write(append(half, make([]byte, 2*pages*size)...)); err != nil {
		t.Fatal(err)
	}
	if err := f.Leave(); err != nil {
		t.Fatal(err)
	}
	if kept := unpack(); kept != (pages/2-2)*size {
		t.Errorf("%d bytes were kept", kept)
	}
	f, err = durable.Create(target, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(image); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := durable.Reopen(target); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file of a process that is at work is taken: %v", err)
	}
	if err := Unpack(ctx, a, target, UnpackOptions{}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := os.Lstat(target); err == nil {
		t.Error("there is a file after a restore that was stopped")
	}
	if err := f.Discard(); err != nil {
		t.Error(err)
	}
}
