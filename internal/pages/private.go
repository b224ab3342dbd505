package pages

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/livefile"
	"example.com/snapd/internal/sqliteconn"
)

// errMoving says that the database was changed while it was being copied.
var errMoving = errors.New("the database changed while it was being copied")

// clockTick is the coarsest step in which common file systems stamp writes (the
// kernel's timer, 10 ms at most): a file stamped this long ago and written again gets another stamp.
const clockTick = 20 * time.Millisecond

// copied is called between the copy and the second look: where tests put a writer.
var copied = func() {}

// beginPrivate copies the database with its -wal or -journal to a private file,
// lets SQLite recover the copy, and pins that. errMoving when somebody wrote meanwhile.
func beginPrivate(ctx context.Context, real string, o Options) (_ *Snapshot, err error) {
	mark, err := livefile.TakeFingerprint(real)
	if err != nil {
		return nil, err
	}
	if !settled(mark) {
		return nil, errMoving
	}
	dir := o.ScratchDir
	if dir == "" {
		dir = os.TempDir()
	}
	if err := durable.Preflight(dir, mark.Main.Size+mark.WAL.Size+mark.Journal.Size); err != nil {
		return nil, fmt.Errorf("private copy: %w", err)
	}
	scratch, err := durable.Scratch(dir, filepath.Base(real))
	if err != nil {
		return nil, fmt.Errorf("private copy: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, scratch.Close())
		}
	}()
	if err := copyAll(ctx, real, scratch, mark); err != nil {
		return nil, err
	}
	copied()
	again, err := livefile.TakeFingerprint(real)
	if err != nil {
		return nil, err
	}
	if mark.Main != again.Main || mark.WAL != again.WAL || mark.Journal != again.Journal {
		return nil, errMoving
	}
	c, info, err := begin(ctx, scratch.Name(), sqliteconn.Options{Hostile: true})
	if err != nil {
		return nil, fmt.Errorf("private copy: %w", err)
	}
	return &Snapshot{path: real, conn: c, info: info, private: scratch}, nil
}

// settled reports whether a further write would show in the time stamps.
func settled(m livefile.Fingerprint) bool {
	limit := m.TakenAt.Add(-clockTick).UnixNano()
	return m.Main.MTime < limit && m.WAL.MTime < limit && m.Journal.MTime < limit
}

func copyAll(ctx context.Context, real string, scratch *durable.ScratchFile, mark livefile.Fingerprint) error {
	main, err := livefile.Open(real)
	if err != nil {
		return err
	}
	defer main.Close()
	if err := copyN(ctx, scratch, main, mark.Main.Size); err != nil {
		return fmt.Errorf("private copy of %s: %w", real, err)
	}
	for suffix, m := range map[string]livefile.FileMark{"-wal": mark.WAL, "-journal": mark.Journal} {
		if !m.Present {
			continue
		}
		if err := copySidecar(ctx, real+suffix, scratch.Name()+suffix, m.Size); err != nil {
			return fmt.Errorf("private copy of %s: %w", real+suffix, err)
		}
	}
	return nil
}

func copySidecar(ctx context.Context, from, to string, n int64) (err error) {
	src, err := livefile.OpenSidecar(from)
	if errors.Is(err, fs.ErrNotExist) {
		return errMoving
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

// copyN copies the first n bytes of src, a batch at a time.
func copyN(ctx context.Context, dst io.Writer, src io.ReaderAt, n int64) error {
	buf := make([]byte, copyBatch)
	for off := int64(0); off < n; {
		if err := ctx.Err(); err != nil {
			return err
		}
		want := min(n-off, int64(len(buf)))
		got, err := src.ReadAt(buf[:want], off)
		if int64(got) < want {
			if errors.Is(err, io.EOF) {
				return errMoving // it shrank
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

// ignoreEOF drops the error of a read past the end.
func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
