package swap

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"example.com/snapd/internal/durable"
)

// Outcome is what Finish made of a swap that was cut short.
type Outcome int

// The outcomes; the package comment says when each comes.
const (
	NonePending Outcome = iota // there was none
	Completed                  // carried out to its end: the new database is in place
	Committed                  // the new database was in place, and stays as it is
	Undone                     // the old database is as it was before
	Abandoned                  // the database was used meanwhile, and stays as it is
)

// Ending is the outcome, with the facts known about the swap.
type Ending struct {
	Outcome Outcome
	Note    Note
	Kept    string // as in Result
}

// String describes, for people, what was done; "" where there was nothing to do.
func (e Ending) String() string {
	const cut = "a restore that was cut short has been "
	switch e.Outcome {
	case Completed:
		return cut + "finished"
	case Undone:
		return cut + "undone: the database is as it was before"
	case Abandoned:
		given := cut + "given up, because the database was used meanwhile"
		switch {
		case e.Kept != "":
			return given + "; what was preserved is " + e.Kept
		case e.Note.Safety != "":
			return given + "; what it held before is in backup " + e.Note.Safety
		}
		return given
	}
	return ""
}

// Pending returns the note of a swap that was cut short, nil where there is none. It
// changes nothing.
func (t *Target) Pending() (*Note, error) {
	in, err := t.readIntent()
	if err != nil || in == nil {
		return nil, err
	}
	return &in.Note, nil
}

// Finish brings a swap that was cut short to its end: it goes on with it where the
// staged file is whole and the database untouched, and otherwise undoes it. No other
// swap of the database may run. Errors: *InUseError and livedb.ErrBusy, after which it
// may be tried again.
func (t *Target) Finish(ctx context.Context) (Ending, error) {
	in, err := t.readIntent()
	if err != nil || in == nil {
		return Ending{}, err
	}
	end := Ending{Note: in.Note}
	end.Outcome, err = t.finish(ctx, in)
	if err == nil { // of what was undone nothing is kept
		end.Kept, err = kept(in.Quarantine)
	}
	if err != nil {
		err = fmt.Errorf("finish a restore that was cut short: %w", err)
	}
	return end, err
}

func (t *Target) finish(ctx context.Context, in *intent) (Outcome, error) {
	unlock, err := t.lockOut(ctx)
	if err != nil {
		return NonePending, err
	}
	defer unlock()
	now, err := stateOf(t.Database, "")
	if err != nil {
		return NonePending, err
	}
	untouched, err := t.untouched(in, now)
	if err != nil {
		return NonePending, err
	}
	if in.InPlace != nil {
		return t.finishInPlace(ctx, in, untouched)
	}
	whole, err := t.stagedIsWhole(ctx, in)
	switch {
	case err != nil:
		return NonePending, err
	case whole && untouched:
		return Completed, t.carryOut(ctx, in)
	case now != nil && now.ID == in.StagedID: // and the application may have written to it since
		if err := restrictAccess(in.Quarantine); err != nil {
			return NonePending, err
		}
		return Committed, t.close(in)
	case untouched:
		return Undone, t.undo(in)
	}
	return Abandoned, t.abandon(ctx, in)
}

// untouched reports whether the replaced database was not written to since the
// intent was made; now is the state of its file.
func (t *Target) untouched(in *intent, now *fileState) (bool, error) {
	if !in.Replaced.is(now) {
		return false, nil
	}
	for _, suffix := range sidecarSuffixes {
		side, err := stateOf(t.Database, suffix)
		if err != nil {
			return false, err
		}
		if side.holdsData() && !in.lists(side) {
			return false, nil
		}
	}
	return true, nil
}

// stagedIsWhole proves that the staged file is the image that the intent names.
func (t *Target) stagedIsWhole(ctx context.Context, in *intent) (bool, error) {
	f, err := durable.OpenRegular(t.stagedPath(in), os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, durable.ErrNotRegular) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	if in.staged, err = stateOfOpen(f); err != nil || in.staged.Bytes != in.Bytes {
		return false, err
	}
	got, err := sum(ctx, t.NewHash(), f)
	return got == in.BLAKE3, err
}

// undo puts back what was moved, and drops the staged file.
func (t *Target) undo(in *intent) error {
	if err := t.putBack(in); err != nil {
		return err
	}
	return t.drop(in)
}

// abandon leaves the database and the quarantine as two files, and drops the staged one.
func (t *Target) abandon(ctx context.Context, in *intent) error {
	if err := t.part(ctx, in); err != nil {
		return err
	}
	if preserved, err := kept(in.Quarantine); err != nil {
		return err
	} else if preserved == "" && in.Quarantine != "" { // a report of nothing
		if err := durable.Remove(reportPath(in.Quarantine)); err != nil {
			return err
		}
	}
	return t.drop(in)
}

func (t *Target) drop(in *intent) error {
	return errors.Join(durable.Remove(t.stagedPath(in)), durable.Remove(intentPath(t.Database)))
}
