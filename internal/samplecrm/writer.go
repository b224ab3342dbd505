package samplecrm

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// Writer changes a sample database the way people using the CRM do. Every step
// is one transaction, and every transaction keeps the sum of balances.
//
// One goroutine steps; Commits may be asked from any.
type Writer struct {
	db      *sql.DB
	prose   *prose
	commits atomic.Int64
}

// NewWriter returns a writer on db, which the caller opened (see Open) and closes.
// The seed picks what is done; the times written are the real ones.
func NewWriter(db *sql.DB, seed uint64) *Writer {
	return &Writer{db: db, prose: newProse(seed)}
}

// Commits is how many transactions were committed so far.
func (w *Writer) Commits() int64 { return w.commits.Load() }

// Run makes perSecond steps per second until ctx ends, which is no error; 0 means
// as many as go. A step that waited for a lock is not made up for.
func (w *Writer) Run(ctx context.Context, perSecond float64) error {
	ready := make(chan time.Time)
	close(ready)
	var tick <-chan time.Time = ready
	if perSecond > 0 {
		ticker := time.NewTicker(max(time.Duration(float64(time.Second)/perSecond), 1))
		defer ticker.Stop()
		tick = ticker.C
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick:
		}
		if err := w.Step(ctx); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
	}
}

// Step makes one change and commits it.
func (w *Writer) Step(ctx context.Context) (err error) {
	tx, err := w.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer func() {
		if err != nil {
			if e := tx.Rollback(); e != nil && !errors.Is(e, sql.ErrTxDone) {
				err = errors.Join(err, e)
			}
		}
	}()
	w.prose.now = time.Now().UTC()
	if err := w.change(ctx, step{tx}); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	w.commits.Add(1)
	return nil
}

// aRow picks an existing row of a table near a random place: ids have gaps.
const aRow = "(SELECT id FROM %[1]s WHERE id >= 1 + ? %% (SELECT max(id) FROM %[1]s) ORDER BY id LIMIT 1)"

var (
	aContact  = fmt.Sprintf(aRow, "contacts")
	aDeal     = fmt.Sprintf(aRow, "deals")
	anAction  = fmt.Sprintf(aRow, "activities")
	aNote     = fmt.Sprintf(aRow, "notes")
	noteSQL   = "INSERT INTO notes(contact_id, author, body, created_at) VALUES(" + aContact + ",?,?,?)"
	actionSQL = "INSERT INTO activities(contact_id, kind, subject, body, happened_at) VALUES(" + aContact + ",?,?,?,?)"
	fileSQL   = "INSERT INTO attachments(activity_id, file_name, media_type, content) VALUES(last_insert_rowid(),?,?,?)"
	dealSQL   = "UPDATE deals SET stage = ?, updated_at = ? WHERE id = " + aDeal
	editSQL   = "UPDATE notes SET body = body || ? WHERE id = " + aNote
	eraseSQL  = "DELETE FROM notes WHERE id = " + aNote
	victimSQL = "SELECT id FROM activities WHERE id = " + anAction
)

// change does one of the things people do, the frequent ones often.
func (w *Writer) change(ctx context.Context, s step) error {
	p := w.prose
	row := p.below(1 << 30)
	switch n := p.below(100); {
	case n < 25:
		return s.exec(ctx, "add note", noteSQL, row, p.pick(authors), p.note(), p.stamp())
	case n < 45: // one in seven with a file
		if err := s.exec(ctx, "log activity", actionSQL, row, p.pick(kinds), p.title(5), p.mail(200+p.below(1500)), p.stamp()); err != nil {
			return err
		}
		if n > 27 {
			return nil
		}
		fileName, mediaType, content := p.attachment(500 + p.below(16<<10))
		return s.exec(ctx, "attach file", fileSQL, fileName, mediaType, content)
	case n < 60:
		return s.exec(ctx, "move deal", dealSQL, p.pick(stages), p.stamp(), row)
	case n < 67:
		return s.exec(ctx, "edit note", editSQL, "\n"+p.title(8), row)
	case n < 71:
		return s.exec(ctx, "delete note", eraseSQL, row)
	case n < 75:
		return s.deleteActivity(ctx, row)
	}
	return p.transfer(ctx, s.exec)
}

// deleteActivity removes the files too, for callers whose connections do not
// enforce foreign keys.
func (s step) deleteActivity(ctx context.Context, row int) error {
	var id int64
	err := s.QueryRowContext(ctx, victimSQL, row).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return nil // all were deleted
	}
	if err != nil {
		return fmt.Errorf("find activity: %w", err)
	}
	if err := s.exec(ctx, "delete attachments", "DELETE FROM attachments WHERE activity_id = ?", id); err != nil {
		return err
	}
	return s.exec(ctx, "delete activity", "DELETE FROM activities WHERE id = ?", id)
}

// step is one change, a transaction.
type step struct{ *sql.Tx }

func (s step) exec(ctx context.Context, what, query string, args ...any) error {
	if _, err := s.ExecContext(ctx, query, args...); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}
