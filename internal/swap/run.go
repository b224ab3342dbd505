package swap

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"

	"example.com/snapd/internal/durable"
)

// Swap says what takes the database's place, and what becomes of what was there.
type Swap struct {
	// Staged is the new database, proven, a temporary file of the database's path. The
	// caller discards it afterwards.
	Staged *durable.File
	// Sum is the hash of the staged file in hex; "" has Run compute it.
	Sum string
	// Preserve keeps the files that are replaced as a quarantine, with Report, if it is
	// not nil, as JSON next to it. Otherwise they are gone after the swap.
	Preserve bool
	Report   any
	// Access is what a database gets that is missing; nil where nothing is remembered of it.
	Access *Access
	// Unchanged reports whether the database is still what was judged or saved. It is
	// asked while the database is locked.
	Unchanged func() (bool, error)
	// Committing, when not nil, is called right before the swap becomes irrevocable:
	// from there on the end of the context has no effect.
	Committing func()
	// Note is remembered with the swap.
	Note Note
}

// Result says what became of a swap, also of one that failed.
type Result struct {
	// Committed: the swap became irrevocable. Where Run failed all the same, Finish
	// brings it to an end.
	Committed bool
	// Kept is the absolute path of what was preserved: the database or, where that was
	// missing, its first sidecar. "" for nothing.
	Kept string
	// InPlace says why the database's file was written to, and not renamed over; "" where it was.
	InPlace string
}

// Run puts the staged file in the database's place; see the package comment. Errors:
// ErrChanged where Unchanged says no, *InUseError, livedb.ErrBusy, the context's. With
// those nothing was changed.
func (t *Target) Run(ctx context.Context, s Swap) (res Result, err error) {
	in, err := t.describe(ctx, s)
	if err != nil {
		return res, fmt.Errorf("replace %s: %w", t.Database, err)
	}
	unlock, err := t.lockOut(ctx)
	if err != nil {
		return res, err
	}
	defer unlock()
	if ok, err := s.Unchanged(); err != nil {
		return res, fmt.Errorf("replace %s: %w", t.Database, err)
	} else if !ok {
		return res, ErrChanged
	}
	if err := t.decide(in, s.Preserve); err != nil {
		return res, fmt.Errorf("replace %s: %w", t.Database, err)
	}
	if res.InPlace, err = t.prepare(ctx, s, in); err != nil {
		return res, fmt.Errorf("replace %s: %w", t.Database, err)
	}
	if in.journal != nil {
		defer in.journal.Discard() // an error is less than what the swap says
	}
	if err := ctx.Err(); err != nil {
		return res, fmt.Errorf("replace %s: %w", t.Database, err)
	}
	res.Committed = true // a failure from here on may have changed something
	if s.Committing != nil {
		s.Committing()
	}
	if err := in.write(t.Database); err != nil {
		return res, fmt.Errorf("replace %s: %w", t.Database, err)
	}
	t.point("intent written")
	if err := t.carryOut(context.WithoutCancel(ctx), in); err != nil {
		return res, fmt.Errorf("replace %s: %w", t.Database, err)
	}
	res.Kept, err = kept(in.Quarantine)
	return res, err
}

// mountPoint is a seam for tests.
var mountPoint = isMountPoint

// describe makes the part of the intent that needs no lock. It syncs the staged file, so
// that the sync of its owner and mode finds little left to do while the database is locked.
func (t *Target) describe(ctx context.Context, s Swap) (*intent, error) {
	in := &intent{Version: intentVersion, Note: s.Note, Target: filepath.Base(t.Database),
		Staged: filepath.Base(s.Staged.Name()), BLAKE3: s.Sum}
	if err := s.Staged.Sync(); err != nil {
		return nil, err
	}
	st, err := stateOfOpen(s.Staged.Descriptor())
	if err != nil {
		return nil, err
	}
	in.Bytes, in.StagedID = st.Bytes, st.ID
	if in.BLAKE3 == "" {
		if in.BLAKE3, err = sum(ctx, t.NewHash(), io.NewSectionReader(s.Staged, 0, in.Bytes)); err != nil {
			return nil, err
		}
	}
	if s.Preserve && s.Report != nil {
		if in.Report, err = json.Marshal(s.Report); err != nil {
			return nil, fmt.Errorf("quarantine report: %w", err)
		}
	}
	return in, nil
}

// prepare gives the staged file the access of the database, and finds out whether it can take
// its place by a rename. Where it cannot, the reason is returned, and the database will be
// written in place.
func (t *Target) prepare(ctx context.Context, s Swap, in *intent) (inPlace string, err error) {
	missing := in.Replaced == nil
	a, err := t.accessFor(in.Replaced, s.Access)
	if err != nil {
		return "", err
	}
	mounted, err := mountPoint(t.Database)
	if err != nil {
		return "", err
	}
	lacks := a.give(s.Staged.Descriptor())
	switch {
	case missing && lacks != nil && s.Access != nil:
		t.warn(Warning{Path: t.Database, Err: lacks, Message: "the database could not be given the access that it had"})
	case missing: // there is nothing to write into
	case mounted:
		inPlace = "it is a mount point of its own"
	case lacks != nil:
		inPlace = "a new file could not be given its access: " + lacks.Error()
	}
	if inPlace != "" {
		if in.journal, err = t.stageInPlace(ctx, in, inPlace, a); err != nil {
			return "", err
		}
	} else if more := t.otherNames(); more != "" {
		t.warn(Warning{Path: t.Database, Message: more})
	}
	if err := s.Staged.Sync(); err != nil {
		return "", err
	}
	if in.staged, err = stateOfOpen(s.Staged.Descriptor()); err != nil {
		return "", err
	}
	return inPlace, t.checkStaged(in)
}

// otherNames says that a rename leaves other hard links of the database as they are, "" where
// there are none.
func (t *Target) otherNames() string {
	st, err := os.Lstat(t.Database)
	if err != nil || names(st) < 2 {
		return ""
	}
	return fmt.Sprintf("the database has %d more names (hard links): a restore that replaces the file leaves them with the old one", names(st)-1)
}

// checkStaged proves that the staged file's name is still that of the file that was proven.
func (t *Target) checkStaged(in *intent) error {
	st, err := os.Lstat(t.stagedPath(in))
	if err != nil {
		return err
	}
	now, err := newState(t.stagedPath(in), "", st)
	if err == nil && (!st.Mode().IsRegular() || !in.staged.is(now)) {
		err = errNotStaged(in)
	}
	return err
}

func errNotStaged(in *intent) error {
	return fmt.Errorf("%w: another file is in the place of %s, the staged database", ErrUnsafe, in.Staged)
}

// decide adds what the swap will touch, with all others locked out.
func (t *Target) decide(in *intent, preserve bool) (err error) {
	if in.Replaced, err = stateOf(t.Database, ""); err != nil {
		return err
	}
	data := in.Replaced != nil
	for _, suffix := range sidecarSuffixes {
		side, err := stateOf(t.Database, suffix)
		if err != nil {
			return err
		}
		if side != nil {
			in.Sidecars = append(in.Sidecars, *side)
			data = data || side.holdsData()
		}
	}
	if !preserve || !data {
		in.Report = nil
		return nil
	}
	in.Quarantine, err = t.newQuarantine()
	return err
}

// carryOut does, or goes on with, the steps of an intent. Each may have been done
// before.
func (t *Target) carryOut(ctx context.Context, in *intent) error {
	if err := t.preserve(ctx, in); err != nil {
		return err
	}
	t.point("preserved")
	for _, side := range in.Sidecars {
		if now, err := stateOf(t.Database, side.Suffix); err != nil {
			return err
		} else if now == nil || in.InPlace != nil && now.is(&in.InPlace.Journal) {
			continue
		}
		if err := durable.Remove(t.Database + side.Suffix); err != nil {
			return err
		}
		t.point("removed " + side.Suffix)
	}
	replace := t.replace
	if in.InPlace != nil {
		replace = t.writeInPlace
	}
	if err := replace(ctx, in); err != nil {
		return err
	}
	if err := restrictAccess(in.Quarantine); err != nil {
		return err
	}
	return t.close(in)
}

// replace renames the staged file over the database.
func (t *Target) replace(ctx context.Context, in *intent) error {
	old, err := openReplaced(t.Database, in)
	if err != nil {
		return err
	}
	defer old.close()
	if err := t.checkStaged(in); err != nil {
		return err
	}
	rename := durable.Rename
	if in.Replaced == nil {
		rename = durable.RenameNew // a file that has appeared there since is not ours to replace
	}
	if err := rename(t.stagedPath(in), t.Database); err != nil {
		return err
	}
	if now, err := stateOf(t.Database, ""); err != nil {
		return err
	} else if now == nil || now.ID != in.StagedID { // put there in that instant, by another user
		return errNotStaged(in)
	}
	t.point("renamed")
	if err := old.retire(); err != nil {
		return err
	}
	old.close() // open, it would be taken for a straggler's
	return t.waitForStragglers(ctx, in.Quarantine)
}

// close removes the intent of a committed swap. The observer comes first: after
// a crash in between it is called again, not never.
func (t *Target) close(in *intent) error {
	if t.Observer.Committed != nil {
		kept, err := kept(in.Quarantine)
		if err != nil {
			return err
		}
		t.Observer.Committed(in.Note, kept)
	}
	if err := durable.Remove(intentPath(t.Database)); err != nil {
		return err
	}
	t.point("intent removed")
	if in.InPlace == nil {
		return nil
	}
	return errors.Join(durable.Remove(t.retiredPath(in)), durable.Remove(t.stagedPath(in)))
}

// stagedPath is the staged file of an intent.
func (t *Target) stagedPath(in *intent) string {
	return filepath.Join(filepath.Dir(t.Database), in.Staged)
}

// ErrOtherBytes says that a staged file does not read back as it was written.
var ErrOtherBytes = errors.New("the disk of the database returns other bytes than were written")

// ReadBack makes sure that the first bytes of the staged file have that sum by h.
// Errors: ErrOtherBytes, and others where it could not be read.
func ReadBack(ctx context.Context, staged *durable.File, bytes int64, want string, h hash.Hash) error {
	got, err := sum(ctx, h, io.NewSectionReader(staged, 0, bytes))
	if err != nil {
		return fmt.Errorf("read %s back: %w", staged.Name(), err)
	}
	if got != want {
		return fmt.Errorf("%s does not read back: %w", staged.Name(), ErrOtherBytes)
	}
	return nil
}

// sum returns the hash of everything in r by h, in hex.
func sum(ctx context.Context, h hash.Hash, r io.Reader) (string, error) {
	buf := make([]byte, 1<<20)
	for {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		n, err := r.Read(buf)
		h.Write(buf[:n])
		if err == io.EOF {
			return hex.EncodeToString(h.Sum(nil)), nil
		}
		if err != nil {
			return "", err
		}
	}
}
