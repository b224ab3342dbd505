package durable

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// ScratchFile is a private file for work in progress; it is never published.
type ScratchFile struct {
	File   *os.File // Write does not share its position
	pos    int64    // where Write goes on
	closed bool
}

// Name is the path of the file.
func (s *ScratchFile) Name() string { return s.File.Name() }

// ReadAt reads back what was written.
func (s *ScratchFile) ReadAt(p []byte, off int64) (int, error) { return s.File.ReadAt(p, off) }

// Write appends p after what Write wrote before. It is for one goroutine.
func (s *ScratchFile) Write(p []byte) (int, error) {
	n, err := pieces(s.File, p, s.pos)
	s.pos += int64(n)
	return n, err
}

// WriteAt writes p at offset off; it does not move Write's position.
func (s *ScratchFile) WriteAt(p []byte, off int64) (int, error) { return pieces(s.File, p, off) }

// CopyTo writes the first size bytes to w, in order; progress hears of them.
func (s *ScratchFile) CopyTo(ctx context.Context, w io.Writer, size int64, progress func(done int64)) error {
	buf := make([]byte, 1<<20)
	for off := int64(0); off < size; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(int64(len(buf)), size-off)
		if _, err := s.ReadAt(buf[:n], off); err != nil {
			return fmt.Errorf("read the private copy: %w", err)
		}
		if _, err := w.Write(buf[:n]); err != nil {
			return err
		}
		off += n
		progress(off)
	}
	return nil
}

// Scratch makes an empty private file (mode 0600) in dir, or in the system's
// temporary directory when dir is "". purpose becomes a part of its name, as a
// target's base name does, so that SweepFor finds it again.
func Scratch(dir, purpose string) (*ScratchFile, error) {
	if dir == "" {
		dir = os.TempDir()
	}
	f, err := createTemp(dir, purpose, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create scratch file: %w", err)
	}
	return &ScratchFile{File: f}, nil
}

// Unlink takes the file's name away while it stays open, so that a crash
// leaves nothing. Where open files cannot be removed it does nothing, and
// Close removes the name.
func (s *ScratchFile) Unlink() {
	// A failure costs nothing: the name stays until Close, or the next Sweep.
	_ = os.Remove(s.Name())
}

// Close closes and removes the file, and the -wal, -shm and -journal that
// SQLite may have put next to it. The second time it does nothing.
func (s *ScratchFile) Close() error {
	if s.closed {
		return nil
	}
	s.closed = true
	errs := []error{s.File.Close()}
	for _, suffix := range append([]string{""}, sidecars...) {
		if err := os.Remove(s.Name() + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("remove scratch file: %w", err))
		}
	}
	return errors.Join(errs...)
}
