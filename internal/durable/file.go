package durable

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// writebackBytes is how much is written before the kernel is asked to start
// putting it on the disk, so that the final fsync finds little left to do.
const writebackBytes = 8 << 20

// pieceBytes is the most that one call writes to a file. A larger write makes Linux
// allocate page cache in blocks of 2 MiB (large folios), which in a virtual machine are
// those whose memory went back to the host, and come again by one fault each: 1 GiB in
// pieces of 1 MiB took 1.7 s of the processor there, in pieces of 128 to 512 KiB 0.25 s.
const pieceBytes = 256 << 10

// File is a temporary file in its target's directory. It becomes the target by
// Commit or CommitNew, or disappears by Discard. Write is for one goroutine;
// WriteAt and ReadAt may be called concurrently. After Commit, CommitNew or
// Discard the descriptor is closed.
type File struct {
	target string
	f      *os.File
	pos    int64 // where Write goes on

	mu        sync.Mutex // guards the dirty range
	dirtyFrom int64
	dirtyTo   int64

	closed    bool
	published bool
	gone      bool
}

// Create makes an empty temporary file in the directory of target, which must
// exist. perm holds exactly, for any umask. A target that is a symbolic
// link will itself be replaced, not what it points to.
func Create(target string, perm fs.FileMode) (*File, error) {
	dir, base := filepath.Split(target)
	if base == "" || base == "." || base == ".." {
		return nil, fmt.Errorf("create temporary file: %q names no file", target)
	}
	before(StepCreate, target)
	f, err := createTemp(dir, base, perm)
	if err != nil {
		return nil, fmt.Errorf("create temporary file for %s: %w", target, err)
	}
	return &File{target: target, f: f}, nil
}

// createTemp opens a new file with a recognisable name; an existing one, or a
// symbolic link of that name, is never opened.
func createTemp(dir, base string, perm fs.FileMode) (*os.File, error) {
	for try := 0; ; try++ {
		name := filepath.Join(dir, tempName(base))
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, fs.ErrExist) && try < 100 {
			continue
		}
		if err != nil {
			return nil, err
		}
		markAlive(f)
		if perm.Perm() == 0o600 {
			return f, nil
		}
		if err := f.Chmod(perm.Perm()); err != nil {
			return nil, errors.Join(err, f.Close(), os.Remove(name))
		}
		return f, nil
	}
}

// Name is the path of the temporary file.
func (f *File) Name() string { return f.f.Name() }

// Descriptor is the open file, for what may be asked of it or given to it by its
// descriptor. It must not be closed.
func (f *File) Descriptor() *os.File { return f.f }

// Write appends p after what Write wrote before.
func (f *File) Write(p []byte) (int, error) {
	n, err := pieces(f.f, p, f.pos)
	f.note(f.pos, n)
	f.pos += int64(n)
	return n, err
}

// WriteAt writes p at offset off; it does not move Write's position.
func (f *File) WriteAt(p []byte, off int64) (int, error) {
	n, err := pieces(f.f, p, off)
	f.note(off, n)
	return n, err
}

// pieces writes p at off, a piece at a time.
func pieces(w io.WriterAt, p []byte, off int64) (n int, err error) {
	for err == nil && n < len(p) {
		var k int
		k, err = w.WriteAt(p[n:min(len(p), n+pieceBytes)], off+int64(n))
		n += k
	}
	return n, err
}

// ReadAt reads back what was written.
func (f *File) ReadAt(p []byte, off int64) (int, error) { return f.f.ReadAt(p, off) }

// note records a written range and starts its writeback once it is large. This
// is advice to the kernel: only Sync promises anything, so errors have no
// consequence here.
func (f *File) note(off int64, n int) {
	if n <= 0 {
		return
	}
	f.mu.Lock()
	if f.dirtyTo == 0 {
		f.dirtyFrom, f.dirtyTo = off, off+int64(n)
	} else {
		f.dirtyFrom, f.dirtyTo = min(f.dirtyFrom, off), max(f.dirtyTo, off+int64(n))
	}
	from, to := f.dirtyFrom, f.dirtyTo
	due := to-from >= writebackBytes
	if due {
		f.dirtyFrom, f.dirtyTo = 0, 0
	}
	f.mu.Unlock()
	if due {
		startWriteback(f.f, from, to-from)
	}
}

// Sync puts everything written so far on stable storage.
func (f *File) Sync() error {
	if err := Sync(f.f); err != nil {
		return fmt.Errorf("sync %s: %w", f.Name(), err)
	}
	return nil
}

// Commit makes the file the target, replacing what was there: old or new is
// found after a crash, never a mixture. When an error is returned the target
// is the old one, except when only the directory's fsync failed: then the new
// one stands, but may not survive a crash. Discard cleans up in either case.
func (f *File) Commit() error { return f.publish(replace) }

// CommitNew is Commit for a target that must not exist yet. An existing one is
// never overwritten: the error then is fs.ErrExist.
func (f *File) CommitNew() error { return f.publish(renameNew) }

func (f *File) publish(rename func(from, to string) error) error {
	return f.publishIn(rename, SyncDir)
}

func (f *File) publishIn(rename func(from, to string) error, syncDir func(dir string) error) error {
	if f.published || f.gone {
		return fmt.Errorf("commit %s: %w", f.target, fs.ErrClosed)
	}
	if err := f.finish(); err != nil {
		return fmt.Errorf("commit %s: %w", f.target, err)
	}
	before(StepRename, f.target)
	if err := rename(f.Name(), f.target); err != nil {
		return fmt.Errorf("commit %s: %w", f.target, err)
	}
	f.published = true
	return syncDir(filepath.Dir(f.target))
}

// finish syncs and closes; Windows renames no open file.
func (f *File) finish() error {
	if f.closed {
		return nil
	}
	if err := f.Sync(); err != nil {
		return err
	}
	f.closed = true
	return f.f.Close()
}

// Leave closes the temporary file and leaves it for Reopen. Discard then does nothing.
func (f *File) Leave() error {
	if f.closed {
		return nil
	}
	f.closed, f.gone = true, true
	return f.f.Close()
}

// Discard removes the temporary file. It does nothing after a Commit that
// published the file, nor the second time, and so may be deferred.
func (f *File) Discard() error { return f.discard(func() error { return os.Remove(f.Name()) }) }

func (f *File) discard(remove func() error) error {
	if f.published || f.gone {
		return nil
	}
	var errClose error
	if !f.closed {
		f.closed = true
		errClose = f.f.Close()
	}
	if err := remove(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(fmt.Errorf("discard temporary file: %w", err), errClose)
	}
	f.gone = true
	return errClose
}

// WriteFile makes path hold data, atomically and durably; perm as in Create.
func WriteFile(path string, data []byte, perm fs.FileMode) (err error) {
	f, err := Create(path, perm)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Discard()) }()
	if _, err := f.Write(data); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return f.Commit()
}

// CopyFile makes target a durable copy of the first size bytes of src,
// replacing what was there. A src that ends early is io.ErrUnexpectedEOF. Until
// the copy is complete target is untouched.
func CopyFile(ctx context.Context, src io.ReaderAt, size int64, target string, perm fs.FileMode) (err error) {
	f, err := Create(target, perm)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Discard()) }()
	buf := make([]byte, max(1, min(size, 1<<20)))
	for off := int64(0); off < size; {
		if err := context.Cause(ctx); err != nil {
			return fmt.Errorf("copy to %s: %w", target, err)
		}
		p := buf[:min(int64(len(buf)), size-off)]
		n, err := src.ReadAt(p, off)
		if n < len(p) {
			if err == nil || errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("copy to %s: read at %d: %w", target, off+int64(n), err)
		}
		if _, err := f.Write(p); err != nil {
			return fmt.Errorf("copy to %s: %w", target, err)
		}
		off += int64(n)
	}
	return f.Commit()
}
