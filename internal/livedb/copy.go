package livedb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/sqlitefile"
)

// copied is called between the copy and the second look: where tests put a writer.
var copied = func() {}

// Copy copies the database that f saw, with its -wal or -journal, to a private file, under
// proof that nothing was written since f was taken, else ErrMoving. scratchDir "" is
// the system's temporary directory.
func (f Files) Copy(ctx context.Context, scratchDir string) (_ *durable.ScratchFile, err error) {
	if !f.settled() {
		return nil, ErrMoving
	}
	if err := f.CheckReadable(); err != nil {
		return nil, err
	}
	if scratchDir == "" {
		scratchDir = os.TempDir()
	}
	if err := durable.Fits(scratchDir, f.Main.Size+f.WAL.Size+f.Journal.Size); err != nil {
		return nil, fmt.Errorf("private copy: %w", err)
	}
	scratch, err := durable.Scratch(scratchDir, filepath.Base(f.path))
	if err != nil {
		return nil, fmt.Errorf("private copy: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, scratch.Close())
		}
	}()
	n := Sizes{Main: f.Main.Size, WAL: f.WAL.Size, Journal: f.Journal.Size}
	if err := CopyTo(ctx, f.path, n, scratch.File); err != nil {
		return nil, fmt.Errorf("private copy: %w", err)
	}
	copied()
	return scratch, f.Recheck()
}

// Sizes are how many bytes of each file a copy takes; 0 leaves a sidecar out.
type Sizes struct{ Main, WAL, Journal int64 }

// CopyTo copies the database at the resolved path real and its sidecars to dst,
// an empty private file, and next to it. It takes no lock: who needs one committed
// state compares fingerprints from before and after. Errors: ErrMoving, the
// context's, fs.ErrExist for a sidecar of dst.
func CopyTo(ctx context.Context, real string, n Sizes, dst interface {
	io.Writer
	Name() string
}) error {
	main, err := Open(real)
	if err != nil {
		return fmt.Errorf("copy %s: %w", real, err)
	}
	defer main.Close()
	if err := copyN(ctx, dst, main, n.Main); err != nil {
		return fmt.Errorf("copy %s: %w", real, err)
	}
	for suffix, size := range map[string]int64{sqlitefile.WALSuffix: n.WAL, sqlitefile.JournalSuffix: n.Journal} {
		if size == 0 {
			continue
		}
		if err := copySidecar(ctx, real+suffix, dst.Name()+suffix, size); err != nil {
			return fmt.Errorf("copy %s: %w", real+suffix, err)
		}
	}
	return nil
}

func copySidecar(ctx context.Context, from, to string, n int64) (err error) {
	src, err := OpenSidecar(from)
	if errors.Is(err, fs.ErrNotExist) {
		return ErrMoving
	}
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dst.Close()) }()
	return copyN(ctx, dst, src, n)
}

// copyN copies the first n bytes of src, a batch at a time. Holes become holes where dst
// is a file.
func copyN(ctx context.Context, dst io.Writer, src io.ReaderAt, n int64) error {
	buf := make([]byte, min(n, 256<<10)) // no more at once: see durable.pieceBytes
	file, sparse := dst.(*os.File)
	for off := int64(0); off < n; {
		if err := ctx.Err(); err != nil {
			return err
		}
		if data := min(NextData(src, off), n); sparse && data > off {
			if _, err := file.Seek(data-off, io.SeekCurrent); err != nil {
				return err
			}
			if off = data; off == n {
				return file.Truncate(n)
			}
		}
		want := min(n-off, int64(len(buf)))
		got, err := src.ReadAt(buf[:want], off)
		if int64(got) < want {
			if errors.Is(err, io.EOF) {
				return ErrMoving // it shrank
			}
			return err
		}
		if _, err := dst.Write(buf[:got]); err != nil {
			return err
		}
		off += int64(got)
	}
	return nil
}
