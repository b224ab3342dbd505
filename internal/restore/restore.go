// Package restore puts the image of a backup, or of a recovery point, in place: in another file, through one write
// transaction of the live database, or as a file swapped in. It chooses which, and says why; either way the database
// ends old or new, and what was replaced is saved first.
package restore

import (
	"context"
	"errors"
	"fmt"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/backup"
	"example.com/snapd/internal/failure"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/message"
	"example.com/snapd/internal/progress"
	"example.com/snapd/internal/proof"
	"example.com/snapd/internal/swap"
)

// Operation is what a restore is called in the catalog and in the intent file of a swap.
const Operation = "restore"

// Restorer restores over one database, for one operation.
type Restorer struct {
	Replacer
	Safety *backup.Maker // makes the backup of what is replaced
	// Release has the host, and all that this program has open, close the database. reopen gives it back.
	Release func(context.Context) (reopen func() error, err error)
}

// Options of a restore.
type Options struct {
	To        string // another file, "" for the database
	Overwrite bool   // an existing one, with To
	Offline   bool   // by swap only
	Plan      *Plan  // that has to hold; nil for none
}

// Result says what a restore did. Of one that failed it says what is left of it: the safety backup, and what was quarantined.
type Result struct {
	Restored     string  `json:"restored"`
	To           string  `json:"to"`
	Method       Method  `json:"method"`
	Reason       string  `json:"reason"`        // for the method
	SafetyBackup *string `json:"safety_backup"` // restore it to undo; null where nothing was replaced
	Quarantined  string  `json:"-"`             // where a damaged database was preserved
	DurationMS   int64   `json:"duration_ms"`
}

// restoring is one restore on its way from an entry to its result.
type restoring struct {
	*Restorer
	Options
	backup catalog.Entry // or what describes the recovery point
	image  proof.Image   // of it
	res    Result
}

// Run restores e, which proof.Find returned. The digests of the stored bytes are proven while they are read.
func (r *Restorer) Run(ctx context.Context, e catalog.Entry, o Options) (Result, error) {
	j := &restoring{Restorer: r, Options: o, backup: e, res: Result{Restored: e.ID}}
	err := j.run(ctx)
	j.res.DurationMS = r.Took()
	return j.res, err
}

// run carries it out. Where the base of a recovery point turns out to be damaged, it tries an older one.
func (r *restoring) run(ctx context.Context) error {
	for damaged := error(nil); ; {
		err := r.carryOut(ctx)
		if damaged != nil && errors.Is(err, failure.ErrNotFound) {
			return damaged // there was no other base
		}
		base := r.image.PointBase()
		if base == "" || !errors.Is(err, archive.ErrDamaged) {
			return err
		}
		e, errGet := r.Catalog.Get(base)
		if errGet != nil || e.Usable() {
			return errors.Join(err, errGet)
		}
		// It was marked failed, and nothing was changed.
		r.Warn(progress.Warning{Backup: base, Err: err,
			Message: fmt.Sprintf("backup %s, from which recovery point %s was read, is damaged; trying an older one", base, r.backup.ID)})
		damaged = err
	}
}

// carryOut opens the image, chooses a strategy, and does it. The online one may find that only a swap will do.
func (r *restoring) carryOut(ctx context.Context) (err error) {
	if r.image, err = r.Open(ctx, r.backup); err != nil {
		return err
	}
	defer r.image.Close()
	how, err := r.choose(ctx)
	if err != nil {
		return err
	}
	r.res.To = r.Target.Database
	switch how.method {
	case File:
		r.res.To = r.To
		err = r.toFile(ctx)
	case Online:
		err = r.online(ctx)
		var needed *swapNeeded
		if errors.As(err, &needed) {
			how, err = strategy{Swap, needed.reason}, nil
		}
	}
	r.res.Method, r.res.Reason = how.method, how.reason
	if how.method != Swap || err != nil {
		return err
	}
	err = r.swap(ctx)
	var inUse *swap.InUseError
	switch {
	case err != nil && !r.Offline:
		err = fmt.Errorf("%w (the file has to be replaced: %s)", err, how.reason)
	case errors.As(err, &inUse): // else another page size, say, asks for the swap
		err = message.WithHint(err, inUse.Hint()+"; without --offline a restore works next to open connections where the database is sound")
	}
	return err
}

// toFile writes the image to a path that is not the database.
func (r *restoring) toFile(ctx context.Context) error {
	target, err := livedb.Resolve(r.To)
	if err != nil {
		return fmt.Errorf("restore to %s: %w", r.To, err)
	}
	if err := swap.AcceptOther(r.Target.Database, r.Target.Dir, target, r.Overwrite); err != nil {
		return fmt.Errorf("restore to %s: %w", r.To, err)
	}
	f, err := r.Unpack(ctx, r.image, target)
	if err != nil {
		return err
	}
	defer f.Discard()
	commit := f.CommitNew
	if r.Overwrite {
		commit = f.Commit
	}
	if err := commit(); err != nil {
		return fmt.Errorf("restore to %s: %w", r.To, err)
	}
	return nil
}

// safetyDraft begins the backup of what the restore replaces.
func (r *restoring) safetyDraft() *backup.Draft {
	d := r.Safety.Draft(backup.Request{Kind: catalog.Auto, Trigger: catalog.TriggerPreRestore, Pin: true, Note: "state before restoring " + r.backup.ID})
	d.Seed = r.image.Seed() // with the same seed the two can be compared
	return d
}

// forget drops the safety backup of a state that was not replaced after all.
func (r *restoring) forget(ctx context.Context) error {
	err := r.forgetSafety(ctx, *r.res.SafetyBackup)
	if err == nil {
		r.res.SafetyBackup = nil
	}
	return err
}

func (r *Restorer) forgetSafety(ctx context.Context, id string) error {
	if err := r.Catalog.Delete(context.WithoutCancel(ctx), id); err != nil {
		return fmt.Errorf("remove the safety backup that is not needed: %w", err)
	}
	return nil
}

// outcome is what the catalog keeps of the restore.
func (r *restoring) outcome() catalog.RestoreOutcome {
	o := catalog.RestoreOutcome{ID: r.backup.ID, At: r.Now(), Action: Operation, DurationMS: r.Took(), Base: r.image.PointBase()}
	if r.res.SafetyBackup != nil {
		o.Safety = *r.res.SafetyBackup
	}
	return o
}
