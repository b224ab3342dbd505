package restore

import (
	"context"
	"fmt"
	"slices"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/integrity"
	"example.com/snapd/internal/catalogfile"
	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/failure"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/message"
	"example.com/snapd/internal/proof"
	"example.com/snapd/internal/protection"
)

// Plan says what restoring a backup over the database would cost now. As
// Options.Plan it binds the restore to that: what is no longer so is
// ErrStale, and nothing is touched. It is a value that may be kept for a while.
type Plan struct {
	Backup catalog.Entry `json:"backup"`
	// LosesSince is when the state in the backup was taken, at the latest: all changes
	// since then are lost. Nil where it is proven that there are none.
	LosesSince   *time.Time `json:"loses_since"`
	LosesSeconds int64      `json:"loses_seconds"` // from LosesSince to now
	EstimatedMS  int64      `json:"estimated_ms"`  // a guess, never 0
	// SafetyBackup: the present state can be, and will be, saved as a backup first. Else
	// there is none, or it is damaged and its files are kept whole as they are.
	SafetyBackup bool `json:"saves_first"`

	bound binding
}

// binding is what a plan takes for granted: commits of the database's writers do not
// change it.
type binding struct {
	database string              // path
	file     livedb.ID           // of the main file; zero where there is none or it is empty
	restored string              // id and time of the last restore
	verdict  integrity.Verdict   // on the database, by the catalog
	backup   catalog.VerifyState // of the backup
}

// PlanFor says what restoring e would cost, and whether it can be undone. It changes nothing.
func (r *Restorer) PlanFor(ctx context.Context, e catalog.Entry) (Plan, error) {
	if e.Verification.State == catalog.Failed {
		return Plan{}, message.WithHint(failure.As(failure.ErrCorrupt, fmt.Errorf("backup %s failed its proof: %s", e.ID, e.Verification.Detail)),
			"choose another backup, or verify this one again")
	}
	image, err := proof.Open(ctx, r.Catalog, e)
	if err != nil {
		return Plan{}, err
	}
	image.Close() // it was only read
	all, state, err := r.Catalog.Read()
	if err != nil {
		return Plan{}, err
	}
	// Before the check: what changes meanwhile then shows as a change.
	bound, fingerprint, err := bind(r.Target.Database, e, state)
	if err != nil {
		return Plan{}, err
	}
	p := Plan{Backup: e.Public(), bound: bound}
	if p.SafetyBackup, err = r.canBeSaved(ctx, state); err != nil {
		return Plan{}, err
	}
	now := r.Now()
	if !p.SafetyBackup || !holdsImage(all, e, fingerprint) {
		since := e.CreatedAt
		if !proof.IsPoint(e) {
			since = catalog.TakenAt(all, e, now)
		}
		p.LosesSince, p.LosesSeconds = &since, int64(max(0, now.Sub(since))/time.Second)
	}
	f := protection.Facts{State: state}
	f.Count(slices.Values(all))
	live := int64(0) // bytes to be saved
	if p.SafetyBackup {
		live = max(fingerprint.Main.Size, fingerprint.WAL.Size)
		if err := durable.Fits(r.Target.Dir, catalog.ArchiveSize(live, f.Latest)); err != nil {
			return Plan{}, fmt.Errorf("safety backup: %w", err)
		}
	}
	p.EstimatedMS = catalog.RestoreTime(e.DatabaseBytes, live, state, f.Drilled, f.Latest)
	return p, nil
}

// canBeSaved reports whether the database is one that a backup can be made of, as far as a short look says. What does
// not become known in time the restore finds out, and stops.
func (r *Restorer) canBeSaved(ctx context.Context, state catalog.State) (bool, error) {
	report, err := r.check(ctx, integrity.LevelProbe, min(r.LockWait, patience))
	if err != nil {
		return false, err
	}
	if v := *protection.Worse(report.Verdict, state); v != integrity.Healthy && v != integrity.Violations {
		return false, nil
	}
	wait, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	damaged, err := r.damagedByJournal(wait)
	if err != nil && wait.Err() != nil && ctx.Err() == nil {
		err = nil
	}
	return err == nil && !damaged, err
}

// bind looks at what a plan to restore e depends on.
func bind(database string, e catalog.Entry, state catalog.State) (binding, livedb.Fingerprint, error) {
	b := binding{database: database, verdict: *protection.Worse(integrity.Healthy, state), backup: e.Verification.State}
	if r := state.LastRestore; r != nil {
		b.restored = r.ID + " " + r.At.UTC().Format(time.RFC3339Nano)
	}
	fingerprint, err := livedb.FingerprintIfAny(database)
	b.file = fileOf(fingerprint)
	return b, fingerprint, err
}

// fileOf is the identity of a database's main file; zero where there is none or it is empty.
func fileOf(f livedb.Fingerprint) (id livedb.ID) {
	if f.Main.Size > 0 {
		id = f.Main.ID
	}
	return id
}

// holdsImage reports whether the fingerprint proves that the database holds the very image
// of e: unchanged since e, or since another backup of the same image.
func holdsImage(all []catalog.Entry, e catalog.Entry, fingerprint livedb.Fingerprint) bool {
	return slices.ContainsFunc(all, func(b catalog.Entry) bool {
		return b.ImageBLAKE3 == e.ImageBLAKE3 && b.Usable() && catalogfile.OriginOf(b).Unchanged(fingerprint)
	})
}

// Holds returns ErrStale where p is not, or no longer, true for a restore of e. A restore asks that again
// while the database is locked. The caller of a restore holds the operation lock.
func (r *Restorer) Holds(p *Plan, e catalog.Entry) error {
	if p == nil {
		return nil
	}
	all, state, err := r.Catalog.Read()
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	now, fingerprint, err := bind(r.Target.Database, e, state)
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	was := p.Backup
	switch {
	case p.bound.database != now.database:
		return stale("it is of another database")
	case was.ID != e.ID || was.Seq != e.Seq:
		return stale("it is for backup " + was.ID)
	case was.ImageBLAKE3 != e.ImageBLAKE3 || was.ArchiveBytes != e.ArchiveBytes || p.bound.backup != now.backup:
		return stale("the backup is not what it was then")
	case p.bound.file != now.file:
		return stale(wasReplaced)
	case p.bound.restored != now.restored:
		return stale("a backup was restored meanwhile")
	case p.bound.verdict != now.verdict:
		return stale("more has become known of the database's state")
	case p.LosesSince == nil && !holdsImage(all, e, fingerprint):
		return stale(hasChanged)
	}
	return nil
}

const (
	wasReplaced = "the database was replaced meanwhile"
	hasChanged  = "nothing would have been lost, but the database has changed since"
)

// sameFile is the part of Holds that can be asked while the database is locked.
func (p *Plan) sameFile(database string) error {
	if p == nil {
		return nil
	}
	fingerprint, err := livedb.FingerprintIfAny(database)
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	if fileOf(fingerprint) != p.bound.file {
		return stale(wasReplaced)
	}
	return nil
}

// saved compares what was saved of the database, under the lock under which it is to
// be replaced, with what p said; nil stands for files that will be kept as they are.
func (p *Plan) saved(e catalog.Entry, safety *catalog.Entry) error {
	switch {
	case p == nil:
		return nil
	case safety == nil && p.SafetyBackup:
		return stale("the database can no longer be saved as a backup")
	case p.LosesSince == nil && (safety == nil || safety.ImageBLAKE3 != e.ImageBLAKE3):
		return stale(hasChanged)
	}
	return nil
}

func stale(why string) error {
	return message.WithHint(fmt.Errorf("restore: %w: %s; nothing was changed", failure.ErrStale, why), "make a new plan and look at it")
}
