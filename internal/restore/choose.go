package restore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"example.com/snapd/integrity"
	"example.com/snapd/internal/backup"
	"example.com/snapd/internal/failure"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/sqlite"
	"example.com/snapd/internal/sqlitefile"
)

// Method is how a restore put the image in place.
type Method string

const (
	Online Method = "online" // one write transaction, concurrently with open connections
	Swap   Method = "swap"   // a proven file renamed over the database
	File   Method = "file"   // written to another path
)

// strategy is how a restore puts the image in place, and why so.
type strategy struct {
	method Method
	reason string
}

// choose decides from the facts that are known before the database is opened.
func (r *restoring) choose(ctx context.Context) (strategy, error) {
	if r.To != "" {
		return strategy{File, "another path was asked for"}, nil
	}
	if r.Offline {
		return strategy{Swap, "asked for (--offline)"}, nil
	}
	st, err := os.Stat(r.Target.Database)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return strategy{Swap, "there is no database"}, nil
	case err != nil:
		return strategy{}, fmt.Errorf("restore: %w", err)
	case st.Size() == 0:
		return strategy{Swap, "the database is an empty file"}, nil
	case r.backup.DatabaseBytes == 0:
		return strategy{Swap, "the backup is of an empty file"}, nil
	}
	// A damaged database must be kept whole, which only a swap does.
	if err := r.damage(ctx); isDamage(err) {
		return strategy{Swap, damageReason(err)}, nil
	} else if err != nil {
		return strategy{}, fmt.Errorf("restore: %w", err)
	}
	return strategy{Online, "open connections stay valid"}, nil
}

// damage returns an error that isDamage where the database's files prove it, before it is opened.
func (r *Restorer) damage(ctx context.Context) error {
	if err := r.Safety.CheckFiles(ctx, r.LockWait); err != nil {
		return err
	}
	damaged, err := r.damagedByJournal(ctx)
	if damaged {
		return errJournal
	}
	return err
}

// errJournal: the database is damaged.
var errJournal = errors.New("so it is after the rollback of the journal next to it")

// damagedByJournal reports whether a journal is next to the database whose rollback,
// which SQLite makes with the first opening for writing, leaves a damaged one: it may
// be another database's. A journal whose owner holds a lock is no such journal.
func (r *Restorer) damagedByJournal(ctx context.Context) (bool, error) {
	files, err := livedb.Look(r.Target.Database)
	if errors.Is(err, livedb.ErrMissing) {
		return false, nil
	} else if err != nil || !files.HotJournal() {
		return false, err
	}
	report, err := r.check(ctx, integrity.LevelQuick, min(r.LockWait, patience))
	if errors.Is(failure.Explain(err), failure.ErrBusy) {
		return false, nil
	}
	return err == nil && report.Damaged(), err
}

// patience is how long a plan waits for another program's lock.
const patience = 2 * time.Second

// check judges the database.
func (r *Restorer) check(ctx context.Context, level integrity.Level, wait time.Duration) (integrity.Report, error) {
	return integrity.Check(ctx, r.Target.Database, integrity.Options{Level: level, LockWait: wait})
}

// swapNeeded: the database cannot be restored through a transaction. Nothing was changed.
type swapNeeded struct{ reason string }

func (e *swapNeeded) Error() string { return "the file has to be replaced: " + e.reason }

// orSwap returns a swapNeeded where err says that the database cannot be restored through
// a transaction, else err.
func orSwap(err error) error {
	switch {
	case errors.Is(err, livedb.ErrMissing):
		return &swapNeeded{"there is no database"}
	case isDamage(err): // it must be kept whole, which only a swap does
		return &swapNeeded{damageReason(err)}
	}
	return err
}

// isDamage reports whether err says that the live database is damaged.
func isDamage(err error) bool { return backup.IsDamage(err) || errors.Is(err, errJournal) }

// damageReason is the reason for a swap of a database that err proves damaged.
func damageReason(err error) string {
	var proven *failure.CorruptError
	var found *sqlite.Error
	switch {
	case errors.Is(err, errJournal):
		return "the database is damaged: " + errJournal.Error()
	case errors.As(err, &proven) && len(proven.Report.Findings) > 0:
		return "the database is damaged: " + proven.Report.Findings[0].Message
	case errors.As(err, &found):
		return "the database is damaged: " + found.Msg
	}
	return "the database is damaged"
}

// sameLayout returns a swapNeeded where open connections take something for granted of the
// live database that is otherwise in the backup.
func (r *restoring) sameLayout(ctx context.Context, live livedb.Info) error {
	if live.PageSize != r.backup.PageSize {
		return &swapNeeded{fmt.Sprintf("page size %d live, %d in the backup", live.PageSize, r.backup.PageSize)}
	}
	var h sqlitefile.Header
	if _, err := r.image.ReadAt(h[:], 0); err != nil {
		return r.unreadable(ctx, err)
	}
	if live.Reserved != h.Reserved() {
		return &swapNeeded{fmt.Sprintf("%d reserved bytes a page live, %d in the backup", live.Reserved, h.Reserved())}
	}
	if stored := h.Encoding(); stored.Valid() && live.Encoding != stored.String() {
		return &swapNeeded{fmt.Sprintf("text encoding %s live, %s in the backup", live.Encoding, stored)}
	}
	return nil
}
