package archive

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/iotest"
)

// Lost: the last good copy, when an archive that has rotted here takes its place elsewhere.
func TestStored(t *testing.T) {
	t.Parallel()
	b, info := pack(t, crmImage(100<<10, 512, 1), WriterOptions{PageSize: 512, FrameBytes: 16 << 10})
	s, err := NewStored(t.Context(), bytes.NewReader(b), int64(len(b)))
	if err != nil || s.Info().ImageBLAKE3 != info.ImageBLAKE3 {
		t.Fatal(err)
	}
	if err := iotest.TestReader(io.NewSectionReader(s, 0, int64(len(b))), b); err != nil {
		t.Error(err)
	}
	for at := 0; at < len(b); at += 37 {
		rotten := bytes.Clone(b)
		rotten[at] ^= 4
		if s, err := NewStored(t.Context(), bytes.NewReader(rotten), int64(len(b))); err == nil {
			got, err := io.ReadAll(io.NewSectionReader(s, 0, int64(len(b))))
			if !errors.Is(err, ErrDamaged) || !bytes.Equal(got, b[:len(got)]) {
				t.Errorf("with another byte at %d: %d bytes, %v", at, len(got), err)
			}
		}
		// The same, after it was opened.
		changing := &later{now: b}
		s, err := NewStored(t.Context(), changing, int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		changing.now, s.kept = rotten, nil
		if _, err := io.ReadAll(io.NewSectionReader(s, 0, int64(len(b)))); !errors.Is(err, ErrDamaged) {
			t.Errorf("with another byte at %d after a while: %v", at, err)
		}
	}
}

// later is a file that changes.
type later struct{ now []byte }

func (l *later) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(l.now).ReadAt(p, off)
}

func BenchmarkStored(b *testing.B) {
	packed, _ := pack(b, crmImage(64<<20, 4096, 1), WriterOptions{PageSize: 4096})
	b.SetBytes(int64(len(packed)))
	for b.Loop() {
		s, err := NewStored(b.Context(), bytes.NewReader(packed), int64(len(packed)))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, io.NewSectionReader(s, 0, int64(len(packed)))); err != nil {
			b.Fatal(fmt.Errorf("read: %w", err))
		}
	}
}
