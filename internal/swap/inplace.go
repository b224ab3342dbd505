package swap

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/message"
	"example.com/snapd/internal/sqlitefile"
)

// inPlace is the part of an intent whose database is written in place.
type inPlace struct {
	Reason string `json:"reason"` // why it is not renamed over
	// Journal is the rollback journal that takes the writing back, as long as it has
	// that name: SQLite does so for an application that opens the database first.
	Journal fileState `json:"journal"`
	// Retired is the base name that the journal has once the database is the new one. What
	// SQLite is done with it deletes: so this name says that the writing was committed.
	Retired string `json:"retired"`
}

// copyPiece is how much of a database is copied at once.
const copyPiece = 256 << 10

// journalPath is where SQLite looks for a rollback journal.
func (t *Target) journalPath() string { return sqlitefile.Journal(t.Database) }

func (t *Target) retiredPath(in *intent) string {
	return filepath.Join(filepath.Dir(t.Database), in.InPlace.Retired)
}

// stageInPlace prepares a swap that cannot rename: it stages the journal.
func (t *Target) stageInPlace(ctx context.Context, in *intent, why string, a Access) (*durable.File, error) {
	if !writesInPlace {
		return nil, message.WithHint(fmt.Errorf("%w: its file would have to be written in place (%s), which is not done on this system", ErrUnsafe, why),
			"run this as the owner of the database")
	}
	if err := durable.Fits(t.Database, in.Bytes-in.Replaced.Bytes); err != nil {
		return nil, err
	}
	in.InPlace = &inPlace{Reason: why, Retired: durable.TempName(in.Target)}
	return t.stageJournal(ctx, in, a)
}

// stageJournal writes the database as it is into a rollback journal that is not in its place
// yet, and notes it in the intent.
func (t *Target) stageJournal(ctx context.Context, in *intent, a Access) (_ *durable.File, err error) {
	if err := durable.Fits(filepath.Dir(t.Database), in.Replaced.Bytes+in.Replaced.Bytes/64); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	db, err := livedb.Open(t.Database)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	if db.ID() != in.Replaced.ID {
		return nil, ErrChanged
	}
	f, err := durable.Create(t.journalPath(), 0o600)
	if err != nil {
		return nil, err
	}
	if err = writeJournal(ctx, f, db, in.Replaced.Bytes); err == nil {
		_ = a.give(f.Descriptor()) // so that the application may take it back; as far as that is allowed
		err = f.Sync()
	}
	if err == nil {
		var st *fileState
		if st, err = stateOfOpen(f.Descriptor()); err == nil {
			in.InPlace.Journal = *st
			in.InPlace.Journal.Suffix = sqlitefile.JournalSuffix
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("journal: %w", err), f.Discard())
	}
	return f, nil
}

// writeJournal writes a rollback journal of all of the database's pages.
func writeJournal(ctx context.Context, w io.Writer, db io.ReaderAt, size int64) error {
	page := int64(pageSizeOf(db, size))
	pages := (size + page - 1) / page
	skip := int64(sqlitefile.LockPage(int(page))) // has no data, and ends a journal
	records := pages
	if pages >= skip {
		records--
	}
	var nonce [4]byte
	rand.Read(nonce[:]) // never fails, by its documentation
	h := sqlitefile.NewJournalHeader(uint32(records), binary.BigEndian.Uint32(nonce[:]), uint32(pages), uint32(page))
	if _, err := w.Write(h); err != nil {
		return err
	}
	record := make([]byte, 4+page+4)
	for n := int64(1); n <= pages; n++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		if n == skip {
			continue
		}
		data := record[4 : 4+page]
		clear(data)
		if _, err := db.ReadAt(data[:min(page, size-(n-1)*page)], (n-1)*page); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		binary.BigEndian.PutUint32(record, uint32(n))
		binary.BigEndian.PutUint32(record[4+page:], sqlitefile.JournalChecksum(binary.BigEndian.Uint32(nonce[:]), data))
		if _, err := w.Write(record); err != nil {
			return err
		}
	}
	return nil
}

// pageSizeOf is the database's page size, or any other where it has none: a rollback
// writes bytes.
func pageSizeOf(db io.ReaderAt, size int64) int {
	head := make([]byte, sqlitefile.HeaderSize)
	if size >= sqlitefile.HeaderSize {
		if _, err := db.ReadAt(head, 0); err == nil {
			if n := sqlitefile.HeaderOf(head).PageSize(); n > 0 {
				return n
			}
		}
	}
	return 4096
}

// writeInPlace writes the staged file into the database's, under the protection of the
// journal. Each step may have been done before.
func (t *Target) writeInPlace(ctx context.Context, in *intent) error {
	if err := t.placeJournal(ctx, in); err != nil {
		return err
	}
	t.point("journal placed")
	staged, err := durable.OpenRegular(t.stagedPath(in), os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer staged.Close()
	if now, err := stateOfOpen(staged); err != nil || !in.staged.is(now) {
		return errors.Join(errNotStaged(in), err)
	}
	if err := t.overwrite(in, in.Bytes, func(w io.WriterAt) error { return copyAll(w, staged, in.Bytes) }); err != nil {
		return err
	}
	t.point("written in place")
	if err := durable.Rename(t.journalPath(), t.retiredPath(in)); err != nil {
		return err
	}
	t.point("journal retired")
	return nil
}

// placeJournal gives the journal its name. One that is there is this intent's: what the
// database had was removed, and no process has had it open since.
func (t *Target) placeJournal(ctx context.Context, in *intent) error {
	if placed, err := t.journalPlaced(in); err != nil || placed {
		return err
	}
	if in.journal == nil { // it was lost in a crash
		a, err := t.accessFor(in.Replaced, nil)
		if err != nil {
			return err
		}
		if in.journal, err = t.stageJournal(ctx, in, a); err != nil {
			return err
		}
		defer in.journal.Discard()
		if err := in.write(t.Database); err != nil {
			return err
		}
	}
	return in.journal.CommitNew()
}

// journalPlaced reports whether the intent's journal protects the database now.
func (t *Target) journalPlaced(in *intent) (bool, error) {
	now, err := stateOf(t.Database, sqlitefile.JournalSuffix)
	return err == nil && now != nil && now.is(&in.InPlace.Journal), err
}

// overwrite has fill write into the database's file, which then has size bytes, durably.
// No connection of this process has a lock on it that closing a descriptor could
// drop: all are locked out.
func (t *Target) overwrite(in *intent, size int64, fill func(io.WriterAt) error) (err error) {
	f, err := durable.OpenRegular(t.Database, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if now, err := stateOfOpen(f); err != nil {
		return err
	} else if now.ID != in.Replaced.ID {
		return ErrChanged
	}
	if err := fill(f); err != nil {
		return fmt.Errorf("write in place: %w", err)
	}
	if err := f.Truncate(size); err != nil {
		return fmt.Errorf("write in place: %w", err)
	}
	return durable.Sync(f)
}

func copyAll(w io.WriterAt, r io.ReaderAt, size int64) error {
	buf := make([]byte, copyPiece)
	for off := int64(0); off < size; off += copyPiece {
		p := buf[:min(copyPiece, size-off)]
		if _, err := r.ReadAt(p, off); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if _, err := w.WriteAt(p, off); err != nil {
			return err
		}
	}
	return nil
}

// rollBack has the database as the journal has it, to the byte.
func (t *Target) rollBack(in *intent) error {
	j, err := durable.OpenRegular(t.journalPath(), os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer j.Close()
	var h sqlitefile.JournalHeader
	if _, err := j.ReadAt(h[:], 0); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	if !h.HasMagic() || !h.SizesAllowed() || h.PageSize() == 0 {
		return errors.New("journal: it is not the one that was written")
	}
	page := int64(h.PageSize())
	err = t.overwrite(in, in.Replaced.Bytes, func(w io.WriterAt) error {
		record := make([]byte, 4+page)
		for off := int64(h.Sector()); off+page+8 <= in.InPlace.Journal.Bytes; off += page + 8 {
			if _, err := j.ReadAt(record, off); err != nil {
				return err
			}
			if _, err := w.WriteAt(record[4:], (int64(binary.BigEndian.Uint32(record))-1)*page); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return durable.Remove(t.journalPath())
}

// finishInPlace is finish for a database that was being written in place.
func (t *Target) finishInPlace(ctx context.Context, in *intent, untouched bool) (Outcome, error) {
	retired, err := isMissing(t.retiredPath(in))
	if err != nil {
		return NonePending, err
	}
	if !retired { // and the application may have written to the database since
		if err := restrictAccess(in.Quarantine); err != nil {
			return NonePending, err
		}
		return Committed, t.close(in)
	}
	placed, err := t.journalPlaced(in)
	if err != nil {
		return NonePending, err
	}
	if !placed && !untouched {
		return Abandoned, t.abandon(ctx, in)
	}
	whole, err := t.stagedIsWhole(ctx, in)
	switch {
	case err != nil:
		return NonePending, err
	case whole:
		return Completed, t.carryOut(ctx, in)
	case placed:
		if err := t.rollBack(in); err != nil {
			return NonePending, fmt.Errorf("roll back: %w", err)
		}
	}
	return Undone, t.undo(in)
}
