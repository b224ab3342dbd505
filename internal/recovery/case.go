// Package recovery decides what becomes of a database that is damaged or missing.
//
//	check      the live database, twice where it finds damage                     case.go
//	facts      the backups, a repair of a private copy, who has the database open  case.go
//	plan       the ways out, the one that loses the least first; pure              plan.go
//	room       what each needs of which disk                                       room.go
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
	"example.com/snapd/internal/catalogfile"
	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/failure"
	"example.com/snapd/internal/livedb"
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

	trial *repair.Trial
}

// Close drops the repaired copy, unless it became the database.
func (c *Case) Close() error { return c.trial.Discard() }

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
	state, err := c.Catalog.State()
	if err != nil {
		return integrity.Report{}, err
	}
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
	if f.candidates, f.stored, err = Candidates(c.Catalog); err != nil {
		return f, err
	}
	f.repair.hope = report.Damaged()
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
	if f.repair.hope && (c.DryRun || f.inUse == nil) {
		if err = c.tryRepair(ctx, &f); err != nil {
			return f, err
		}
	}
	f.disks, err = findDisks(f.database, c.Target.Dir)
	return f, err
}

// tryRepair repairs a private copy, and compares it with the backup that would be restored first.
func (c *Case) tryRepair(ctx context.Context, f *facts) (err error) {
	f.repair.tried = true
	donor, closeDonor := c.donor(ctx, f.candidates)
	defer closeDonor()
	o := repair.Options{Donor: donor}
	if !c.DryRun {
		o.Dir = c.Target.Dir
	}
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
		f.repair.unchanged, err = unchangedSince(f.database, f.candidates, c.trial.Result)
	}
	return err
}

// unchangedSince reports whether it is proven that nothing was committed since the newest backup: by the files' times, by
// the header, or by the log.
func unchangedSince(database string, candidates []catalog.Entry, saved repair.Result) (bool, error) {
	if len(candidates) == 0 {
		return false, nil
	}
	now, err := livedb.FingerprintIfAny(database)
	if err != nil {
		return false, err
	}
	from := catalogfile.OriginOf(candidates[0])
	at := from.Log
	whole := at != nil && saved.Dropped == 0 && at.Salts == saved.LogSalts && at.Frame == saved.LogFrame
	return saved.SameCommit || whole || from.Unchanged(now), nil
}

// donor opens the image of the backup that would be restored first; nil where that cannot be read.
func (c *Case) donor(ctx context.Context, from []catalog.Entry) (image *repair.Image, done func()) {
	if len(from) == 0 {
		return nil, func() {}
	}
	a, err := c.Catalog.OpenArchive(from[0])
	if err != nil {
		return nil, func() {} // restoring it says why
	}
	image = &repair.Image{R: a, Size: a.Info().ImageBytes}
	if !image.Readable(ctx) {
		image = nil
	}
	return image, func() { a.Close() } // it was only read
}

// Candidates returns the backups that a recovery may restore, in the order in which they are
// tried, and how many hold data, those that failed their proof too.
func Candidates(cat *catalogfile.Catalog) (usable []catalog.Entry, stored int, err error) {
	all, state, err := cat.Read()
	for _, e := range all {
		if e.DatabaseBytes > 0 {
			stored++
		}
	}
	return catalog.Candidates(all, state), stored, err
}

// Outlook is the plan for a damaged or missing database by the findings of the last check, without trying a repair.
// nil where nothing is wrong.
func (c *Case) Outlook(verdict *integrity.Verdict, probe integrity.Report) *Plan {
	if verdict == nil || *verdict == integrity.Healthy || *verdict == integrity.Violations {
		return nil
	}
	usable, stored, err := Candidates(c.Catalog)
	if err != nil {
		return nil // the caller fails for the same reason
	}
	f := facts{database: c.Target.Database, verdict: *verdict, report: probe, candidates: usable, stored: stored, onMissing: c.Missing}
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
