package integrity

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"

	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/sqlite"
	"example.com/snapd/internal/sqlitefile"
)

// CheckCopy judges a private copy that no other process has open, with its -wal if it has
// one; of a copy with a journal to roll back it judges a further copy, as Check does.
// Every error is a *CheckError.
func CheckCopy(ctx context.Context, path string, o Options) (Report, error) {
	start := time.Now()
	real, err := locate(path)
	if errors.Is(err, fs.ErrNotExist) {
		return missing(path, real, o, start)
	}
	if err != nil {
		return Report{}, err
	}
	if pending, err := journalPending(real); err != nil {
		return Report{}, cannotRead(path, err)
	} else if pending {
		return Check(ctx, path, o)
	}
	return inTime(ctx, path, func() (Report, error) {
		t := &results{}
		failed, err := checkPrivate(ctx, real, nil, o, t)
		if err != nil {
			return Report{}, cannotRead(path, err)
		}
		return t.report(path, o.Level, failed, start), nil
	})
}

// checkPrivate runs all levels on a file of our own, and removes the sidecars that
// SQLite makes on the way. index is the original's.
func checkPrivate(ctx context.Context, path string, index *walIndex, o Options, t *results) (failed *Level, err error) {
	had, err := livedb.Sidecars(path)
	if err != nil {
		return nil, err
	}
	defer func() {
		for _, suffix := range []string{sqlitefile.WALSuffix, sqlitefile.SHMSuffix} {
			name := path + suffix
			if !slices.Contains(had, name) {
				if rerr := os.Remove(name); rerr != nil && !errors.Is(rerr, fs.ErrNotExist) {
					err = errors.Join(err, rerr)
				}
			}
		}
	}()
	if err := rollBack(ctx, path, t); err != nil {
		return nil, err
	}
	if err := rawPrivate(ctx, path, index, o, t); err != nil {
		return nil, err
	}
	if t.damaged() || o.Level == LevelHeader {
		return failedHeader(t), nil
	}
	conn, err := begin(ctx, path, sqlite.Options{Untrusted: true})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	s := &sqlCheck{conn: conn, found: t}
	return s.run(ctx, o.Level)
}

// begin opens a file of our own and a transaction that only reads.
func begin(ctx context.Context, path string, o sqlite.Options) (*sqlite.Conn, error) {
	conn, err := sqlite.Open(path, o)
	if err != nil {
		return nil, err
	}
	if err := conn.Exec(ctx, "PRAGMA query_only=1; BEGIN"); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// rawPrivate is the header level on a file of our own, which may be opened and closed.
func rawPrivate(ctx context.Context, path string, index *walIndex, o Options, t *results) error {
	main, err := os.Open(path)
	if err != nil {
		return err
	}
	defer main.Close()
	fi, err := main.Stat()
	if err != nil {
		return err
	}
	f := &files{main: main, size: fi.Size(), index: index, untrusted: o.boundsSchema()}
	wal, err := livedb.OpenSidecar(sqlitefile.WAL(path))
	if err == nil {
		defer wal.Close()
		if fi, err = wal.Stat(); err != nil {
			return err
		}
		f.wal, f.walSize = wal, fi.Size()
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return f.judge(ctx, t)
}

// rollBack lets SQLite undo the transaction that a hot journal belongs to.
func rollBack(ctx context.Context, path string, t *results) error {
	pending, err := journalPending(path)
	if err != nil || !pending {
		return err
	}
	fi, err := os.Stat(path)
	if err != nil || fi.Size() == 0 {
		return err
	}
	roll, err := judgeJournal(path, fi.Size(), t)
	if err != nil || !roll {
		return err
	}
	conn, err := sqlite.Open(path, sqlite.Options{Untrusted: true})
	if err != nil {
		return err
	}
	err = conn.Exec(ctx, "PRAGMA schema_version")
	switch sqlite.Classify(err) {
	case sqlite.ClassCorrupt, sqlite.ClassNotADB:
		err = nil // the levels will say so
	}
	if err != nil && sqlite.IsInexpressible(err) {
		err = nil
	}
	return errors.Join(err, conn.Close())
}

// maxGrowth is how many times larger a rollback may make a file.
const maxGrowth = 16

// judgeJournal reports whether SQLite would roll anything back from the journal
// of a database of the given size, in bytes. The journal's page count makes SQLite
// extend the file: one that is out of all proportion is refused.
func judgeJournal(path string, size int64, t *results) (roll bool, err error) {
	f, err := livedb.OpenSidecar(sqlitefile.Journal(path))
	if err != nil {
		return false, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return false, err
	}
	var h sqlitefile.JournalHeader
	if _, err := io.ReadFull(f, h[:]); err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return false, err
	}
	if !h.HasMagic() {
		t.add(CodeJournalIgnored, "the journal's header is damaged: SQLite rolls nothing back from it")
		return false, nil
	}
	if !h.SizesAllowed() {
		t.add(CodeJournalIgnored, "the journal's header names sectors of %d and pages of %d bytes: SQLite rolls nothing back from it", h.Sector(), h.PageSize())
		return false, nil
	}
	t.add(CodeJournalHot, "a transaction was cut off: its journal has %d bytes, and SQLite undoes it at the next opening; the database was checked as it is then", fi.Size())
	// A transaction that gives free pages back to the file system need not have
	// put them into its journal, so the file may well have been larger.
	after := int64(h.InitialPages()) * int64(h.PageSize())
	if room := maxGrowth*(size+fi.Size()) + 1<<30; after > room {
		return false, cannot(ErrCodeLimit, path, fmt.Errorf("rolling back the journal would make a file of %d bytes out of %d", after, size))
	}
	return true, nil
}

// onCopy checks a private copy of the database and the sidecars that belong to
// its image. livedb.ErrMoving when the database was written to during the copy.
func (l *liveCheck) onCopy(ctx context.Context, v livedb.Files, t *results) (_ *Level, err error) {
	scratch, err := v.Copy(ctx, l.o.ScratchDir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, scratch.Close()) }()
	own := &results{}
	failed, err := checkPrivate(ctx, scratch.Name(), l.index, l.o, own)
	if err != nil {
		return nil, err
	}
	t.merge(*own)
	return failed, nil
}
