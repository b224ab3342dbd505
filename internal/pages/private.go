package pages

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/sqlite"
)

// errMoving says that the database was changed while it was being copied.
var errMoving = livedb.ErrMoving

// clockTick is the coarsest step in which common file systems stamp writes (the
// kernel's timer, 10 ms at most): a file stamped this long ago and written again gets another stamp.
const clockTick = 20 * time.Millisecond

// copied is called between the copy and the second look: where tests put a writer.
var copied = func() {}

// beginPrivate copies the database with its -wal or -journal to a private file,
// lets SQLite recover the copy, and pins that. errMoving when somebody wrote meanwhile.
func beginPrivate(ctx context.Context, real string, o Options) (_ *Snapshot, err error) {
	mark, err := livedb.TakeFingerprint(real)
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
	if err := livedb.CopyTo(ctx, real, livedb.Sizes{Main: mark.Main.Size, WAL: mark.WAL.Size, Journal: mark.Journal.Size}, scratch.File); err != nil {
		return nil, err
	}
	copied()
	again, err := livedb.TakeFingerprint(real)
	if err != nil {
		return nil, err
	}
	if mark.Main != again.Main || mark.WAL != again.WAL || mark.Journal != again.Journal {
		return nil, errMoving
	}
	c, info, err := begin(ctx, scratch.Name(), sqlite.Options{Untrusted: true})
	if err != nil {
		return nil, fmt.Errorf("private copy: %w", err)
	}
	return &Snapshot{path: real, conn: c, info: info, private: scratch}, nil
}

// settled reports whether a further write would show in the time stamps.
func settled(m livedb.Fingerprint) bool {
	limit := m.TakenAt.Add(-clockTick).UnixNano()
	return m.Main.MTime < limit && m.WAL.MTime < limit && m.Journal.MTime < limit
}

// ignoreEOF drops the error of a read past the end.
func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
