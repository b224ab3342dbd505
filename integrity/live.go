package integrity

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/sqlite"
	"example.com/snapd/internal/sqlitefile"
)

// liveCheck judges a database that others may be using.
type liveCheck struct {
	path   string    // resolved
	index  *walIndex // of this attempt, read before the files; nil for none
	o      Options
	giveUp time.Time // end of waiting for locks
}

// run repeats attempts until no other process disturbs one.
func (l *liveCheck) run(ctx context.Context) (found *results, failed *Level, err error) {
	wait, cancel := context.WithDeadline(ctx, l.giveUp)
	defer cancel()
	err = livedb.Wait(wait, func() (err error) {
		found, failed, err = l.attempt(ctx)
		return err
	})
	if livedb.Transient(err) {
		err = cannot(ErrCodeBusy, l.path, fmt.Errorf("%w%s", err, livedb.Holders(l.path)))
	}
	return found, failed, err
}

// attempt checks once. livedb.ErrMoving or a busy error when another process interfered.
func (l *liveCheck) attempt(ctx context.Context) (*results, *Level, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	if err := livedb.CheckSidecars(l.path); errors.Is(err, livedb.ErrNotRegular) {
		return nil, nil, &CheckError{Code: ErrCodeNotAFile, Path: l.path, Err: err,
			Hint: "move it away; SQLite does not open a database next to such a thing"}
	} else if err != nil {
		return nil, nil, err
	}
	if err := l.readIndex(); err != nil {
		return nil, nil, err
	}
	before, err := livedb.Look(l.path)
	if err != nil {
		return nil, nil, err
	}
	if before.UsesLog() {
		if err := before.CheckReadable(); err != nil {
			return nil, nil, err
		}
	}
	if before.HotJournal() {
		return l.withJournal(ctx, before)
	}
	t, err := l.raw(ctx, before)
	if refused := (*CheckError)(nil); errors.As(err, &refused) {
		err = cmp.Or(before.Recheck(), err) // what was read may be of two states
	}
	if err != nil {
		return nil, nil, err
	}
	if t.damaged() {
		if err := l.confirm(ctx, before); err != nil {
			return nil, nil, err
		}
		return t, failedHeader(t), nil
	}
	var failed *Level
	if l.o.Level > LevelHeader {
		failed, err = l.viaSQLite(ctx, before, t, false)
	}
	if err == nil && t.doubt != nil && !t.damaged() && (l.o.Level >= LevelQuick || l.o.OwnLog) {
		failed, err = l.judgeDoubt(ctx, before, t)
	}
	return t, failed, err
}

// readIndex reads the index of a log that holds something.
func (l *liveCheck) readIndex() error {
	l.index = nil
	wal, err := os.Stat(sqlitefile.WAL(l.path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && wal.Size() > 0 {
		l.index, err = readWALIndex(l.path)
	}
	return err
}

// failedHeader is the header level for damage; empty and missing files have not failed.
func failedHeader(t *results) *Level {
	if t.worst >= SeverityDamage {
		return at(LevelHeader)
	}
	return nil
}

// raw is the header level on the files as they are.
func (l *liveCheck) raw(ctx context.Context, v livedb.Files) (*results, error) {
	main, err := livedb.Open(l.path)
	if err != nil {
		return nil, err
	}
	defer main.Close()
	size, err := main.Size()
	if err != nil {
		return nil, err
	}
	f := &files{main: main, size: size, index: l.index, untrusted: l.o.boundsSchema()}
	if v.WAL.Size > 0 {
		wal, err := livedb.OpenSidecar(sqlitefile.WAL(l.path))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, livedb.ErrMoving
		}
		if err != nil {
			return nil, err
		}
		defer wal.Close()
		f.wal, f.walSize = wal, v.WAL.Size
	}
	t := &results{}
	if err := f.judge(ctx, t); err != nil {
		return nil, err
	}
	return t, nil
}

// confirm makes sure that damage seen in the files was not a commit or a
// checkpoint under way: nothing may have changed since before, and no writer may
// hold the file. Where there is no log index, or it is not in use, there is no user of a
// log; SQLite would then build the index again, up to the damage, and with it
// the proof would be gone that there was more.
func (l *liveCheck) confirm(ctx context.Context, before livedb.Files) (err error) {
	if before.Main.Size > 0 && (!before.UsesLog() || before.Index && !livedb.IndexIdle(l.path)) {
		tx, err := before.Open(ctx, livedb.Choice{Strategy: livedb.InPlaceReadOnly, Reason: "a lock shows a writer"})
		if err != nil {
			return err
		}
		defer tx.Close() // read only
		// Damage is what is expected here; only a lock makes a difference.
		err = tx.Conn().Exec(ctx, "PRAGMA schema_version")
		switch sqlite.Classify(err) {
		case sqlite.ClassBusy, sqlite.ClassInterrupted:
			return err
		case sqlite.ClassHotJournal:
			return livedb.ErrMoving
		}
	}
	return before.Recheck()
}
