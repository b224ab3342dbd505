// Package recovery decides what becomes of a database that is damaged or missing.
//
//	check      the live database, twice where it finds damage                     case.go
//	facts      the backups, a repair of a private copy, who has the database open  case.go
//	plan       the ways out, the one that loses the least first; pure              plan.go
//	elsewhere  the remotes, where nothing here is usable                          elsewhere.go
//	candidates backups and recovery points; whether one is what the last commit left   candidates.go
//	room       the room each needs on each disk                                   room.go
//	salvage    what can still be read, into a new file; what it would bring out    salvage.go
//	lost       what recoveries have lost that no person has acknowledged           lost.go
//
// It changes neither the database nor the catalog: package snapshot carries a plan out.
package recovery

import (
	"context"
	"errors"
	"strings"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/integrity"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/breaks"
	"example.com/snapd/internal/catalogfile"
	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/failure"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/proof"
	"example.com/snapd/internal/remote"
	"example.com/snapd/internal/repair"
	"example.com/snapd/internal/swap"
)

// OnMissing says what is done where the database is missing or has
// zero bytes while usable backups exist.
type OnMissing string

const (
	MissingRestore OnMissing = "restore"
	MissingFail    OnMissing = "fail"
	MissingIgnore  OnMissing = "ignore"
)

// Case is one database on its way from a check to a plan. Its fields say where it is and how far to go.
type Case struct {
	Catalog  *catalogfile.Catalog
	Target   *swap.Target // the database, and the backup directory
	Missing  OnMissing
	Level    integrity.Level // of the check, at least
	LockWait time.Duration
	// DryRun: the plan is all that is wanted. A repair is tried in the system's temporary directory, and a plan
	// does not wait until the database is closed.
	DryRun bool
	// Repairing hears of the bytes of a copy that is going to be repaired.
	Repairing func(bytes int64)
	// Remotes are asked in this order, where nothing here is usable.
	Remotes []remote.Remote

	trial     *repair.Trial
	elsewhere map[string]copies // the remotes that were opened, by name
}

// Close drops the repaired copy, unless it became the database, and closes what was opened.
func (c *Case) Close() error { return errors.Join(c.trial.Discard(), c.closeRemotes()) }

// Repaired is the repaired copy, nil without one, and what was done to it.
func (c *Case) Repaired() (*durable.File, repair.Result) {
	if c.trial == nil {
		return nil, repair.Result{}
	}
	return c.trial.Staged(), c.trial.Result
}

// Check judges the database, and what it finds twice. It is a full check where that was asked for, where
// the last one found damage, and where broken rules are news: a page that is not what it was may show
// as nothing else.
func (c *Case) Check(ctx context.Context) (integrity.Report, error) {
	o := integrity.Options{Level: c.Level, LockWait: c.LockWait}
	if !c.DryRun {
		o.ScratchDir = c.Target.Dir
	}
	all, state, err := c.Catalog.Read()
	if err != nil {
		return integrity.Report{}, err
	}
	o.Known = breaks.Known(all, state)
	if state.LastCheck.FullOnly() {
		o.Level = integrity.LevelFull
	}
	report, err := integrity.Check(ctx, c.Target.Database, o)
	if err == nil && report.Verdict == integrity.Violations && o.Level < integrity.LevelFull {
		news, nerr := c.brokenSince()
		if err = nerr; news {
			o.Level = integrity.LevelFull
			report, err = integrity.Check(ctx, c.Target.Database, o)
		}
	}
	if err == nil && report.Damaged() {
		err = integrity.Confirm(ctx, report, o)
	}
	return report, err
}

// brokenSince reports whether the newest verified backup kept the rules that are broken now.
func (c *Case) brokenSince() (bool, error) {
	latest, err := c.Catalog.Latest()
	return err == nil && latest != nil && !strings.HasPrefix(latest.Verification.Detail, string(integrity.Violations)), err
}

// Plan says what is to be done with a database of that report. A repair that the findings allow is tried, in
// a dry run also while a process has the database open; a dry run counts what a salvage would bring out.
func (c *Case) Plan(ctx context.Context, report integrity.Report) (Plan, error) {
	f, err := c.facts(ctx, report)
	if err != nil {
		return Plan{}, err
	}
	p := decide(f)
	if c.DryRun {
		err = c.addSalvage(ctx, &p, f)
	}
	return p, err
}

// facts gathers what the plan is made by.
func (c *Case) facts(ctx context.Context, report integrity.Report) (f facts, err error) {
	f = facts{database: c.Target.Database, verdict: report.Verdict, report: report, onMissing: c.Missing, askedFull: c.Level == integrity.LevelFull}
	if report.Verdict == integrity.Healthy || report.Verdict == integrity.Violations {
		return f, nil
	}
	newer, err := c.candidates(ctx, &f)
	if err != nil {
		return f, err
	}
	f.repair.hope = report.Damaged()
	if !f.repair.hope && len(f.candidates) == 0 && c.Missing != MissingIgnore {
		if err := c.askRemotes(ctx, &f); err != nil {
			return f, err
		}
	}
	if decide(f).Action == ActionNone {
		return f, nil // no way out is taken: there is nothing to wait for
	}
	if c.DryRun {
		err = c.Target.Unused()
	} else {
		err = c.Target.WaitUnused(ctx)
	}
	if explained := failure.Explain(err); errors.Is(explained, failure.ErrBusy) || errors.Is(explained, failure.ErrRefused) {
		f.inUse = explained
	} else if err != nil {
		return f, err
	}
	if c.DryRun || f.inUse == nil {
		if err := c.try(ctx, &f, newer); err != nil {
			return f, err
		}
		if f.repair.failed != nil && len(f.candidates) == 0 && !report.FullOnly() {
			if err := c.askRemotes(ctx, &f); err != nil {
				return f, err
			}
		}
	}
	f.disks, err = findDisks(f.database, c.Target.Dir)
	return f, err
}

// try finds out what of the ways out can be done: heals or repairs a private copy, and proves a recovery point.
func (c *Case) try(ctx context.Context, f *facts, newer *newerPoints) error {
	if f.repair.hope {
		if healed, err := c.tryHeal(ctx, f); healed || err != nil {
			return err
		}
	}
	if err := newer.prove(ctx, c, f); err != nil {
		return err
	}
	if f.repair.hope {
		return c.tryRepair(ctx, f)
	}
	return nil
}

// tryHeal puts back what the disk changed, where the first candidate is provably what the last commit left.
func (c *Case) tryHeal(ctx context.Context, f *facts) (healed bool, err error) {
	if len(f.candidates) == 0 {
		return false, nil
	}
	left := f.candidates[0]
	if proven, err := isLast(ctx, f.database, left); err != nil || !proven {
		return false, err
	}
	image, err := proof.Open(ctx, c.Catalog, left)
	if err != nil {
		return false, nil // restoring it says why
	}
	defer image.Close()
	c.Repairing(left.DatabaseBytes)
	c.trial, err = repair.Heal(ctx, f.database, image, c.DryRun, c.scratch())
	if durable.IsNoSpace(err) {
		f.repair.noRoom = err
		return true, nil // a way out that may lose something is not taken for want of room
	}
	if err != nil || c.trial == nil {
		return false, err
	}
	f.repair.tried, f.repair.staged, f.repair.healedFrom = true, !c.DryRun, left.ID
	f.repair.result = c.trial.Result
	f.repair.result.PutBack, err = c.pagesOtherwise(ctx, f.database, image)
	c.trial.Result = f.repair.result
	return true, err
}

// pagesOtherwise counts the pages of the image that the database does not have as they are there.
func (c *Case) pagesOtherwise(ctx context.Context, database string, image archive.Image) (int64, error) {
	size, err := livedb.TakeFingerprint(database)
	if err != nil {
		return 0, err
	}
	from, done, err := openDamaged(database, size)
	if err != nil {
		return 0, err
	}
	defer done()
	return repair.Otherwise(ctx, from, image)
}

// scratch is where private files go, "" for the system's temporary directory.
func (c *Case) scratch() string {
	if c.DryRun {
		return ""
	}
	return c.Target.Dir
}

// tryRepair repairs a private copy, and compares it with the image that would be restored first.
func (c *Case) tryRepair(ctx context.Context, f *facts) (err error) {
	f.repair.tried = true
	o := repair.Options{Dir: c.scratch()}
	donor, closeDonor, err := c.donor(ctx, f.candidates)
	defer closeDonor()
	if err != nil {
		o.NoDonor = err.Error()
	}
	o.Donor = donor
	c.trial, err = repair.Try(ctx, f.database, f.report, c.DryRun, o, c.Repairing)
	if errors.Is(err, repair.ErrNotRepairable) {
		f.repair.failed = err
		return nil
	}
	if durable.IsNoSpace(err) {
		f.repair.tried, f.repair.noRoom = false, err
		return nil
	}
	if err == nil {
		f.repair.result, f.repair.backupLoses, f.repair.staged = c.trial.Result, c.trial.DonorLoses, !c.DryRun
		if f.repair.unchanged, err = unchangedSince(ctx, f.database, f.candidates, c.trial.Result); f.repair.sameAsBackup() {
			f.repair.result.Unproven, c.trial.Result.Unproven = nil, nil
		}
	}
	return err
}

// unchangedSince reports whether it is proven that nothing was committed since the first candidate: by the files' times, where
// those are too fresh to prove it with the header's count of commits; by all pages of tables; or by the log.
func unchangedSince(ctx context.Context, database string, candidates []catalog.Entry, saved repair.Result) (bool, error) {
	if len(candidates) == 0 {
		return false, nil
	}
	now, err := livedb.FingerprintIfAny(database)
	if err != nil {
		return false, err
	}
	from := originOf(candidates[0])
	if saved.AsDonor || from.Unchanged(now) || saved.SameHeader && from.Same(now) {
		return true, nil
	}
	at := from.Log
	if at == nil || saved.Dropped > 0 || at.Salts != saved.LogSalts || at.Frame != saved.LogFrame {
		return false, nil
	}
	return isLast(ctx, database, candidates[0])
}

// donor opens the image that would be restored first; nil where there is none, or it cannot be read, as the error says.
func (c *Case) donor(ctx context.Context, from []catalog.Entry) (image *repair.Image, done func(), err error) {
	if len(from) == 0 {
		return nil, func() {}, nil
	}
	a, err := proof.Open(ctx, c.Catalog, from[0])
	if err != nil {
		return nil, func() {}, err
	}
	done = func() { a.Close() } // it was only read
	image = &repair.Image{R: a, Size: a.Shape().Bytes()}
	if err := image.Readable(ctx); err != nil {
		return nil, done, err
	}
	return image, done, nil
}

// Outlook is the plan for a damaged or missing database by the findings of the last check, without trying a repair.
// nil where nothing is wrong.
func (c *Case) Outlook(ctx context.Context, verdict *integrity.Verdict, probe integrity.Report) *Plan {
	if verdict == nil || *verdict == integrity.Healthy || *verdict == integrity.Violations {
		return nil
	}
	f := facts{database: c.Target.Database, verdict: *verdict, report: probe, onMissing: c.Missing}
	_, err := c.candidates(ctx, &f)
	if err != nil {
		return nil // the caller fails for the same reason
	}
	f.repair.hope = *verdict == integrity.Corrupt || *verdict == integrity.NotADatabase
	if f.disks, err = findDisks(f.database, c.Target.Dir); err != nil {
		return nil
	}
	unused := failure.Explain(c.Target.Unused())
	if errors.Is(unused, failure.ErrBusy) {
		f.inUse = unused
	}
	p := decide(f)
	if f.inUse == nil && p.Err == nil {
		p.Err = unused // who has it open is not known
	}
	return &p
}
