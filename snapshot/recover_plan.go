package snapshot

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dustin/go-humanize"

	"example.com/snapd/catalog"
	"example.com/snapd/integrity"
	"example.com/snapd/internal/catalogfile"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/repair"
)

// RecoveryPlan says what a recovery does, and why.
type RecoveryPlan struct {
	Action  Action  `json:"action"` // none, repaired, restored, or waiting
	Verdict Verdict `json:"verdict"`
	Reason  string  `json:"reason"` // one sentence
	// Options are the ways out of a damaged or missing database, in the order in which
	// they are tried; never nil. Action none with damage and without options: nothing helps.
	Options []RecoveryOption `json:"options"`
	Report  Report           `json:"-"`
	// Err is the error that Recover ends with, nil where it does what Action says:
	// matches ErrNoUsableBackup, ErrMissing, ErrBusy.
	Err error `json:"-"`
}

// RecoveryOption is one way to a usable database, and its price.
type RecoveryOption struct {
	Action Action  `json:"action"` // repaired, restored or salvage
	Backup *string `json:"backup"` // id of the first that is tried; null for a repair
	Loses  string  `json:"loses"`  // one sentence
	// LosesSince is the time of the backup: later changes are lost. Null for a repair.
	LosesSince *time.Time `json:"loses_since"`
	// RowsLost counts the rows that are lost with this way, of those that the damaged database
	// still has or its indexes still name; null where that is not known.
	RowsLost *int64 `json:"rows_lost"`
	// LosesTransactions counts transactions that the damaged log no longer proves, at
	// least; null where that is not known.
	LosesTransactions *int64 `json:"loses_transactions"`
	// Proven: the way was tried on a private copy and passed its proof. Else that
	// comes when it is taken, and the next one is tried when it fails.
	Proven bool `json:"proven"`
	// Chosen: it is the way that Action names.
	Chosen bool `json:"chosen"`

	from []Backup // those to restore: the first that passes its proof
}

// recoveryFacts are all that a recovery is decided by.
type recoveryFacts struct {
	database string
	verdict  integrity.Verdict
	report   Report // of the check; where the verdict is a memory, of a shallower one
	// candidates are the backups that may be restored, in the order in which they are tried.
	candidates []Backup
	stored     int // backups that hold data, those that failed their proof too
	onMissing  OnMissing
	repair     repairFacts
	askedFull  bool  // somebody wants damage to be acted on that only a full check sees
	inUse      error // which process has the database open; nil for none
}

// repairFacts are what is known of a repair.
type repairFacts struct {
	hope   bool // the findings allow one
	tried  bool // on a private copy
	result repair.Result
	failed error // why it cannot be, after it was tried
	// backupLoses counts the rows of the repaired copy, and those that it lost, that the
	// newest backup does not have; nil where that is not known.
	backupLoses *int64
	// unchanged: it is proven that nothing was committed since the newest backup.
	unchanged bool
}

// facts gathers what a database with that report is recovered by. A repair that the
// findings allow is tried. Recover does not try it while a process has the database open.
func (r *recovery) facts(ctx context.Context, report Report) (f recoveryFacts, err error) {
	f = recoveryFacts{database: r.m.cfg.Database, verdict: report.Verdict, report: report, onMissing: r.m.cfg.OnMissing, askedFull: r.m.cfg.RecoverLevel == integrity.LevelFull}
	if report.Verdict == integrity.Healthy || report.Verdict == integrity.Violations {
		return f, nil
	}
	if f.candidates, f.stored, err = candidatesOf(r.m.cat); err != nil {
		return f, err
	}
	f.repair.hope = report.Damaged()
	if planRecovery(f).Action == ActionNone {
		return f, nil // no way out is taken: there is nothing to wait for
	}
	if r.dryRun {
		err = r.target.Unused()
	} else {
		err = r.target.WaitUnused(ctx)
	}
	if explained := explain(err); errors.Is(explained, ErrBusy) || errors.Is(explained, ErrRefused) {
		f.inUse = explained
	} else if err != nil {
		return f, err
	}
	if f.repair.hope && (r.dryRun || f.inUse == nil) {
		f.repair.tried = true
		donor, closeDonor := r.donor(ctx, f.candidates)
		defer closeDonor()
		o := repair.Options{Donor: donor}
		if !r.dryRun {
			o.Dir = r.m.cfg.Dir
		}
		r.trial, err = repair.Try(ctx, f.database, report, r.dryRun, o, func(bytes int64) {
			r.m.progress(ctx, Event{Operation: OpRecover, Phase: PhaseRepair, Path: f.database, Total: bytes})
		})
		if errors.Is(err, repair.ErrNotRepairable) {
			f.repair.failed, err = err, nil
		} else if err == nil {
			f.repair.result, f.repair.backupLoses = r.trial.Result, r.trial.DonorLoses
			f.repair.unchanged, err = r.unchangedSince(f.candidates, r.trial.Result)
		}
	}
	return f, err
}

// unchangedSince reports whether it is proven that nothing was committed since the newest backup: by the files' times, by
// the header, or by the log.
func (r *recovery) unchangedSince(candidates []Backup, saved repair.Result) (bool, error) {
	if len(candidates) == 0 {
		return false, nil
	}
	now, err := livedb.FingerprintIfAny(r.m.cfg.Database)
	if err != nil {
		return false, err
	}
	from := originOf(candidates[0])
	at := from.Log
	whole := at != nil && saved.Dropped == 0 && at.Salts == saved.LogSalts && at.Frame == saved.LogFrame
	return saved.SameCommit || whole || from.Unchanged(now), nil
}

// donor opens the image of the backup that would be restored first; nil where that cannot be read.
func (r *recovery) donor(ctx context.Context, from []Backup) (image *repair.Image, done func()) {
	if len(from) == 0 {
		return nil, func() {}
	}
	a, err := r.m.cat.OpenArchive(from[0])
	if err != nil {
		return nil, func() {} // restoring it says why
	}
	image = &repair.Image{R: a, Size: a.Info().ImageBytes}
	if !image.Readable(ctx) {
		image = nil
	}
	return image, func() { a.Close() } // it was only read
}

// planRecovery chooses the way out that loses the least.
func planRecovery(f recoveryFacts) RecoveryPlan {
	p := RecoveryPlan{Action: ActionNone, Verdict: f.verdict, Report: f.report, Options: []RecoveryOption{}}
	switch f.verdict {
	case integrity.Healthy, integrity.Violations:
		p.Reason = "the database is usable"
		return p
	case integrity.Missing, integrity.Empty:
		switch {
		case f.stored == 0:
			p.Reason = "there is no database yet, and no backup of one; the application will create it"
			return p
		case f.onMissing == MissingIgnore:
			p.Reason = "there is no database, and backups of one are to be ignored (on-missing ignore); the application will create it"
			return p
		case f.onMissing == MissingFail:
			p.Reason = "the database is missing while backups exist, which is an error here (on-missing fail)"
			p.Err = hint(fmt.Errorf("%w: %s, while %d backups exist", ErrMissing, f.database, f.stored),
				"restore one of them, or start once with on-missing=ignore to begin with a new database")
			return p
		case len(f.candidates) == 0:
			p.Reason = fmt.Sprintf("%s, and of %d stored backups none is usable", whyNoRepair(f), f.stored)
			p.Err = hint(fmt.Errorf("%w: %s: %s", ErrNoUsableBackup, f.database, p.Reason),
				"run verify --all to see why, and look for copies of the backups elsewhere; to begin with a new database, start once with on-missing=ignore")
			return p
		}
	}
	if p.Options, p.Reason = waysOut(f); len(p.Options) == 0 {
		p.Err = hint(fmt.Errorf("%w: %w; the damaged file was left as it is", ErrNoUsableBackup,
			&CorruptError{What: "database " + f.database, Report: f.report}),
			"look for copies of the backup directory elsewhere, and keep the damaged file: it may be the only copy of some rows")
		return p
	}
	if f.repair.failed != nil && seenByFullOnly(f.report) {
		p.Reason = "only a full check sees the damage, the database can be used as it is, and a backup would lose all changes since: " + p.Reason
		if f.askedFull {
			p.Err = hint(&CorruptError{What: "database " + f.database, Report: f.report}, "put the rows right that the findings name, or restore a backup by hand")
		}
		return p
	}
	if f.inUse != nil {
		p.Action, p.Reason, p.Err = ActionWaiting, f.inUse.Error(), f.inUse
		return p
	}
	p.Action, p.Options[0].Chosen = p.Options[0].Action, true
	return p
}

// waysOut returns the ways out of a damaged or missing database, the one that loses the
// least first, and why that is so.
func waysOut(f recoveryFacts) (options []RecoveryOption, reason string) {
	restore := restoreOption(f.candidates)
	if !f.repair.hope || f.repair.failed != nil {
		reason = whyNoRepair(f)
		if restore == nil {
			return []RecoveryOption{}, reason + "; no backup is usable: the database is left as it is"
		}
		return []RecoveryOption{*restore}, reason + "; the newest backup that passes its proof takes the database's place"
	}
	repair := RecoveryOption{Action: ActionRepaired, Loses: "what a trial on a private copy will say"}
	if !f.repair.tried {
		return inOrder(repair, restore), "a repair of a private copy may make whole what is damaged, and is tried first"
	}
	result := f.repair.result
	dropped, lost := result.Dropped, result.RowsLost()
	repair.Proven, repair.LosesTransactions, repair.Loses = true, &dropped, result.Summary()
	if restore != nil {
		restore.countRows(f.repair.backupLoses)
	}
	if dropped == 0 {
		repair.RowsLost = &lost
	}
	if holdsMore(f.candidates, result) {
		dropped, repair.RowsLost = max(dropped, 1), nil
		return []RecoveryOption{*restoreOption(f.candidates[:1]), repair}, "the newest backup holds transactions that the damaged log no longer proves: it loses less than a repair"
	}
	if better := f.repair.backupHasMore(result); better != "" && restore != nil {
		restore.from = f.candidates[:1] // what older ones lose was not counted
		return []RecoveryOption{*restore, repair}, better
	}
	gone, differ := result.OnlyInBackup()
	switch {
	case lost > 0 && f.repair.backupLoses != nil && *f.repair.backupLoses < lost:
		restore.from = f.candidates[:1]
		return []RecoveryOption{*restore, repair}, fmt.Sprintf("the damaged database has lost rows that the newest backup has: it loses %d rows, a repair %d", *f.repair.backupLoses, lost)
	case lost > 0:
		reason = fmt.Sprintf("a repair loses %d rows of which only index entries are left, or that an index says otherwise, and no backup is known to lose fewer", lost)
	case result.LeftOut:
		reason = "the database's file alone is whole, and what is next to it damages it: the log or journal belongs to another database, or to another time of this one; it is kept"
	case dropped > 0:
		reason = "a repair keeps all transactions that the damaged log still proves, and no backup is known to hold more"
	case gone+differ > 0:
		reason = fmt.Sprintf("a repair of a private copy passed its proof; of the newest backup's rows it lacks %d and has %d otherwise, deleted or changed since, or lost", gone, differ)
		if f.repair.backupLoses != nil {
			reason += fmt.Sprintf(", and the backup lacks %d of its rows", *f.repair.backupLoses)
		}
	default:
		reason = "a repair of a private copy passed its proof and loses nothing"
		if len(result.Removed)+len(result.Emptied) == 0 && !result.Donated {
			repair.Loses = "nothing: " + repair.Loses
		} else {
			reason = "a repair of a private copy passed its proof and loses no row"
			repair.Loses = "no row: " + repair.Loses
		}
	}
	return inOrder(repair, restore), reason
}

// backupHasMore says why the newest backup is closer to what the database was than its repaired copy, of which result is; ""
// where that is not so, as far as is known.
func (f repairFacts) backupHasMore(result repair.Result) string {
	gone, differ := result.OnlyInBackup()
	switch all := gone + differ + result.RowsLost(); {
	case f.backupLoses == nil:
		return ""
	case f.unchanged && gone+differ > 0: // else the backup may have the same damage
		return fmt.Sprintf("nothing was committed since the newest backup, and a repair has %d of its rows otherwise or not at all", gone+differ)
	case *f.backupLoses == 0 && all > 0:
		return fmt.Sprintf("the newest backup has every row that a repair saves, and %d more", all)
	}
	return ""
}

// inOrder are the ways out, that of a backup last, where there is one.
func inOrder(repair RecoveryOption, restore *RecoveryOption) []RecoveryOption {
	if restore == nil {
		return []RecoveryOption{repair}
	}
	return []RecoveryOption{repair, *restore}
}

// countRows notes how many rows the option loses; nil is not known.
func (o *RecoveryOption) countRows(n *int64) {
	if o.RowsLost = n; n != nil {
		o.Loses += fmt.Sprintf(": %d rows of the database as it is", *n)
	}
}

// whyNoRepair says why the database cannot be made whole from what it holds.
func whyNoRepair(f recoveryFacts) string {
	switch {
	case f.repair.failed != nil:
		return "a repair was tried on a private copy and failed: " + f.repair.failed.Error()
	case f.verdict == integrity.Missing:
		return "the database is missing"
	case f.verdict == integrity.Empty:
		return "the database has zero bytes"
	case f.verdict == integrity.NotADatabase:
		return "the file is no database any more"
	case len(f.report.Findings) > 0:
		return "the damage is in what no repair can make whole: " + f.report.Findings[0].Message
	}
	return "the damage is in what no repair can make whole"
}

// restoreOption is the option to restore the first of these backups that passes its
// proof; nil where there is none.
func restoreOption(from []Backup) *RecoveryOption {
	if len(from) == 0 {
		return nil
	}
	at := from[0].CreatedAt.UTC()
	return &RecoveryOption{Action: ActionRestored, Backup: &from[0].ID, LosesSince: &at, from: from,
		Loses: fmt.Sprintf("all changes since %s (%s)", at.Format(time.RFC3339), humanize.Time(at))}
}

// holdsMore reports whether the newest backup reaches further into the log than what a
// repair saved, as far as that is known. Of a log without a whole transaction it is not
// known whether a checkpoint had copied it.
func holdsMore(candidates []Backup, saved repair.Result) bool {
	if saved.Dropped == 0 && saved.LogFrame == 0 || len(candidates) == 0 {
		return false
	}
	at := originOf(candidates[0]).Log
	return at != nil && at.Salts == saved.LogSalts && at.Frame > saved.LogFrame
}

// candidatesOf returns the backups that a recovery may restore, in the order in which they are
// tried, and how many hold data, those that failed their proof too.
func candidatesOf(cat *catalogfile.Catalog) (usable []Backup, stored int, err error) {
	all, state, err := cat.Read()
	for _, e := range all {
		if e.DatabaseBytes > 0 {
			stored++
		}
	}
	return catalog.Candidates(all, state), stored, err
}

// errNoProof says that a way out failed its proof, and that the next one may be tried.
var errNoProof = errors.New("failed its proof")

// recoveryFor is the plan that Status shows for a damaged or missing database, from
// the findings of the last check, without trying a repair. nil where nothing is wrong.
func recoveryFor(ctx context.Context, m *Manager, verdict *integrity.Verdict, probe Report, state catalog.State) *RecoveryPlan {
	if verdict == nil || *verdict == integrity.Healthy || *verdict == integrity.Violations {
		return nil
	}
	usable, stored, err := candidatesOf(m.cat)
	if err != nil {
		return nil // Status fails for the same reason
	}
	f := recoveryFacts{database: m.cfg.Database, verdict: *verdict, report: probe, candidates: usable, stored: stored, onMissing: m.cfg.OnMissing}
	f.repair.hope = *verdict == integrity.Corrupt || *verdict == integrity.NotADatabase
	unused := explain(m.target(ctx).Unused())
	if errors.Is(unused, ErrBusy) {
		f.inUse = unused
	}
	p := planRecovery(f)
	if f.inUse == nil && p.Err == nil {
		p.Err = unused // who has it open is not known
	}
	return &p
}
