package snapshot

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/integrity"
	"example.com/snapd/internal/catalogfile"
	"example.com/snapd/internal/failure"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/proof"
	"example.com/snapd/internal/recovery"
	"example.com/snapd/internal/restore"
	"example.com/snapd/internal/swap"
)

// What a recovery does, see [Recovery].
type (
	Action = recovery.Action
	// RecoveryPlan says what a recovery does, and why.
	RecoveryPlan = recovery.Plan
	// RecoveryOption is one way to a usable database, and its price.
	RecoveryOption = recovery.Option
	// RecoveryRoom is what a way out needs of a disk.
	RecoveryRoom = recovery.Room
	// Recovered is a recovery that lost something, or may have, and that no person has acknowledged.
	Recovered = recovery.Recovered
)

const (
	ActionNone     = recovery.ActionNone     // the database is usable, or there is nothing to restore
	ActionRestored = recovery.ActionRestored // a backup took the damaged or missing database's place
	ActionRepaired = recovery.ActionRepaired // the database was repaired from what it holds itself, no backup was needed
	ActionSalvage  = recovery.ActionSalvage  // an option only, never done by itself: [Salvage] takes out what can be read
	ActionWaiting  = recovery.ActionWaiting  // damaged, but a process has it open: nothing was touched
)

// Recovery is the outcome of [Manager.Recover].
type Recovery struct {
	Action      Action  `json:"action"`
	Verdict     Verdict `json:"verdict"`
	Reason      string  `json:"reason"`           // why that action, in one sentence
	Restored    *string `json:"restored"`         // backup id
	Remote      *string `json:"remote,omitempty"` // name of the remote that it was read from; nil for a backup of the backup directory
	Quarantined *string `json:"quarantined"`      // absolute path of the preserved database
	// Unrestored counts the rows that can still be read in the preserved database and are not in the
	// restored backup; nil where that was not found out. Salvage brings them out.
	Unrestored *int64 `json:"unrestored,omitempty"`
	// Repair says what a repair did; nil after any other action.
	Repair *RepairResult `json:"repair,omitempty"`
	Report Report        `json:"-"`
	// LosesSince is when the restored backup was taken: what was committed
	// after that is only in the quarantined file.
	LosesSince time.Time `json:"-"`
}

// Recover is the start-up decision: it checks the database, and acts only if that
// proves it corrupt, or it is missing while backups exist. Then the way out that
// loses the least is taken, see [RecoveryPlan]: where the damage is confined to what can
// be rebuilt from sound tables, or to the end of the log, a repaired copy; else the newest
// backup that passes its proof; where none here does, the newest state at one of Config.Remotes. The damaged file is kept whole with its report.
// Call it before the application opens the database.
//
// A check that could not be made (locked, no permission, an I/O error, out of
// time) is an error, and nothing is touched. Errors: [ErrBusy], [ErrMissing]
// (with OnMissing fail), [ErrNoUsableBackup], *integrity.CheckError.
func (m *Manager) Recover(ctx context.Context) (Recovery, error) {
	r := &recovering{m: m, began: m.now()}
	op := &operation{kind: OpRecover, result: func() any { return r.out }}
	err := m.perform(ctx, op, func(ctx context.Context) (_ Event, err error) {
		m.start(ctx, "")
		r.found = caseOf(ctx, m)
		defer func() { _ = r.found.Close() }() // swept by the next operation, else
		if err = r.run(ctx); errors.Is(err, swap.ErrChanged) {
			err = hint(failure.As(ErrBusy, err), "stop the program that writes to the database, then try again")
		}
		if err == nil {
			return Event{}, nil
		}
		if err = explain(fmt.Errorf("recover: %w", err)); errors.Is(err, ErrBusy) && r.out.Verdict != "" {
			r.out.Action = ActionWaiting
		}
		return Event{}, err
	})
	return r.out, err
}

// PlanRecovery checks the database as [Manager.Recover] would, tries a repair on a
// private copy in the system's temporary directory where the findings allow one, and
// returns what Recover would do. It changes nothing. Errors: *integrity.CheckError
// where the check or the trial could not be made.
func (m *Manager) PlanRecovery(ctx context.Context) (p RecoveryPlan, err error) {
	c := caseOf(ctx, m)
	c.DryRun = true
	defer func() {
		if err = errors.Join(err, c.Close()); err != nil {
			p, err = RecoveryPlan{}, explain(fmt.Errorf("plan recovery: %w", err))
		}
	}()
	report, err := c.Check(ctx)
	if err != nil {
		return p, err
	}
	p, err = c.Plan(ctx, report)
	p.Err = explain(p.Err)
	return p, err
}

// caseOf is the live database as a case for a recovery.
func caseOf(ctx context.Context, m *Manager) *recovery.Case {
	return &recovery.Case{Catalog: m.cat, Target: targetOf(ctx, m), Missing: m.cfg.OnMissing, Level: m.cfg.RecoverLevel, LockWait: m.cfg.LockWait,
		Remotes: m.present.Load().Remotes,
		Repairing: func(bytes int64) {
			reporter{m, ctx, Event{Operation: OpRecover, Path: m.cfg.Database}}.Phase(PhaseRepair, bytes)
		}}
}

// recovering is one recovery on its way from the check to its outcome.
type recovering struct {
	m         *Manager
	began     time.Time
	found     *recovery.Case
	unchanged func() (bool, error) // since the check
	out       Recovery
}

// run checks, plans, and carries the plan out.
func (r *recovering) run(ctx context.Context) (err error) {
	m := r.m
	report, err := r.check(ctx)
	if err == nil && report.Verdict != integrity.Healthy && report.Verdict != integrity.Violations && m.capturing.Load() != nil {
		defer suspendCaptures(m)() // what closes its connection may change the state
		report, err = r.check(ctx)
	}
	if err != nil {
		return err
	}
	m.mem.Check(report)
	r.out = Recovery{Action: ActionNone, Verdict: report.Verdict, Report: report}
	r.reportCheck(ctx, report)
	p, err := r.found.Plan(ctx, report)
	if err != nil {
		return err
	}
	r.out.Reason = p.Reason
	if p.NoRepair != nil {
		m.ev.emit(ctx, Event{Type: EventWarning, Operation: OpRecover, Path: m.cfg.Database, Err: p.NoRepair,
			Message: "the database could not be repaired"})
	}
	if p.Err != nil {
		return p.Err
	}
	return r.carryOut(ctx, p)
}

// check judges the database. Only the state that it judged is replaced later.
func (r *recovering) check(ctx context.Context) (report Report, err error) {
	if r.unchanged, err = livedb.SameState(r.m.cfg.Database); err != nil {
		return report, err
	}
	return r.found.Check(ctx)
}

// reportCheck emits the outcome of the check that the recovery began with.
func (r *recovering) reportCheck(ctx context.Context, report Report) {
	switch report.Verdict {
	case integrity.Missing, integrity.Empty:
		return // what is done about it says it
	}
	r.m.ev.emit(ctx, checkEvent(r.m.cfg.Database, report, r.m.now().Sub(r.began)))
	if report.Verdict == integrity.Violations {
		for _, f := range report.Findings {
			r.m.ev.emit(ctx, Event{Type: EventWarning, Operation: OpCheck, Path: r.m.cfg.Database, Message: "the application's rules are broken: " + f.Message})
		}
	}
}

// errNoProof says that a way out failed its proof, and that the next one may be tried.
var errNoProof = errors.New("failed its proof")

// carryOut takes the plan's ways out in their order, until one passes its proof.
func (r *recovering) carryOut(ctx context.Context, p RecoveryPlan) error {
	if p.Action == ActionNone {
		return r.leave(ctx)
	}
	tried, err := r.tryInOrder(ctx, p)
	if !errors.Is(err, errNoProof) {
		return err
	}
	there := ""
	if p.Options[0].Remote == nil && len(r.found.Remotes) > 0 {
		p, err := r.found.Elsewhere(ctx, r.out.Report, tried)
		if err != nil {
			return err
		}
		if there = "; " + p.Reason; p.Err == nil {
			r.out.Reason = p.Reason
			more, err := r.tryInOrder(ctx, p)
			if !errors.Is(err, errNoProof) {
				return err
			}
			tried += more
		}
	}
	return hint(fmt.Errorf("%w: none of %d backups passed its proof; the database was left as it is%s", ErrNoUsableBackup, tried, there),
		"run verify --all to see why, and look for copies of the backups elsewhere")
}

// tryInOrder takes the first way out that passes its proof; errNoProof where none of so many backups does.
func (r *recovering) tryInOrder(ctx context.Context, p RecoveryPlan) (tried int, err error) {
	for _, way := range p.Options {
		if way.Action == ActionRepaired {
			err = r.installRepair(ctx)
		} else {
			err = r.restore(ctx, way)
			tried += len(way.From())
		}
		if !errors.Is(err, errNoProof) {
			return tried, err
		}
		r.out.Reason = "the backup that would lose less failed its proof"
	}
	return tried, errNoProof
}

// leave has nothing to put in place. An orphan log is kept: SQLite deletes it when the
// application creates the database.
func (r *recovering) leave(ctx context.Context) error {
	if r.out.Verdict != integrity.Missing && r.out.Verdict != integrity.Empty {
		return nil
	}
	kept, err := r.found.Target.KeepOrphans(ctx)
	if err != nil {
		return err
	}
	r.quarantined(kept)
	reportQuarantined(ctx, r.m, OpRecover, kept)
	r.m.ev.emit(ctx, Event{Type: EventChecked, Operation: OpCheck, Path: r.m.cfg.Database, Message: r.out.Reason})
	return nil
}

// quarantined notes where the damaged database was kept.
func (r *recovering) quarantined(kept string) {
	if kept != "" {
		r.out.Quarantined = &kept
	}
}

// restore puts the first backup of a way out in place that passes its proof; errNoProof
// where none does.
func (r *recovering) restore(ctx context.Context, way recovery.Option) error {
	for _, e := range way.From() {
		in, err := r.stageFrom(ctx, way, e)
		if err == nil {
			if err = r.putInPlace(ctx, in, e); err == nil {
				r.out.Remote = way.Remote
				r.countUnrestored(ctx, way, e)
			}
			return err
		}
		if !errors.Is(explain(err), ErrCorrupt) && !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrVersion) {
			return err
		}
		r.m.ev.emit(ctx, Event{Type: EventWarning, Operation: OpRecover, Backup: e.ID, Err: err, Message: "this " + proof.Kind(e) + " cannot be used; trying the next way out"})
	}
	return errNoProof
}

// replacer puts the backup of that id in place, or with "" what a repair made.
func (r *recovering) replacer(ctx context.Context, id string) *restore.Replacer {
	p := replacerOf(ctx, r.m, OpRecover, id)
	p.Began = r.began
	return p
}

// putInPlace swaps the proven image of e in.
func (r *recovering) putInPlace(ctx context.Context, in swap.Swap, e Backup) error {
	defer in.Staged.Discard()
	// A missing database leaves at most an orphan log to preserve.
	orphans, err := r.found.Target.HasSidecars()
	if err != nil {
		return fmt.Errorf("look for what is next to the database: %w", err)
	}
	in.Preserve = r.out.Report.Damaged() || orphans
	return r.install(ctx, in, func() {
		r.m.mem.Took(r.replacer(ctx, e.ID).Took())
		r.out.Action, r.out.Restored, r.out.LosesSince = ActionRestored, &e.ID, e.CreatedAt
		r.lost(func(o *catalog.RecoveryOutcome) { o.LosesSince = &r.out.LosesSince })
	}, Event{Type: EventRestored,
		Message: fmt.Sprintf("database recovered from %s, taken %s: %s", proof.Named(e), e.CreatedAt.UTC().Format(time.RFC3339), r.out.Reason)})
}

// installRepair swaps the repaired copy in.
func (r *recovering) installRepair(ctx context.Context) error {
	staged, done := r.found.Repaired()
	if staged == nil {
		return errors.New("there is no repaired copy")
	}
	atPoint("repaired")
	repaired := func() {
		r.out.Action, r.out.Repair = ActionRepaired, &done
		r.lost(func(o *catalog.RecoveryOutcome) {
			o.Rows, o.Transactions, o.Detail = done.RowsLost(), done.Dropped, done.Summary()
			o.Seen = done.Lossless()
		})
	}
	err := r.install(ctx, swap.Swap{Staged: staged, Preserve: true}, repaired,
		Event{Type: EventRepaired, Message: "database repaired: " + done.Summary() + " (" + r.out.Reason + ")", more: Activity{Action: "repair"}})
	if err == nil && done.Lossless() && !done.LeftOut {
		r.noteUnrestored(ctx, 0)
	}
	return err
}

// install swaps s in, if the database is still what was checked, has done note it, and
// ends with ev where the database is sound then.
func (r *recovering) install(ctx context.Context, s swap.Swap, done func(), ev Event) error {
	s.Report, s.Unchanged = r.out.Report, r.unchanged
	place := r.replacer(ctx, s.Note.Backup)
	res, err := place.Replace(ctx, s)
	if err != nil {
		return err
	}
	reportQuarantined(ctx, r.m, OpRecover, res.Kept)
	r.quarantined(res.Kept)
	r.out.Reason += restore.InPlaceReason(res.InPlace)
	ev.Message += restore.InPlaceReason(res.InPlace)
	done()
	if err := place.CheckRestored(ctx); err != nil {
		return err
	}
	ev.Operation, ev.Backup, ev.Path = OpRecover, s.Note.Backup, r.m.cfg.Database
	r.m.ev.emit(ctx, ev)
	return nil
}

// lost adds what is known of the loss to what is remembered of this recovery.
func (r *recovering) lost(add func(*catalog.RecoveryOutcome)) {
	r.m.mem.Update("recovery", func(s *State) {
		if o := s.LastRecovery(); o != nil {
			add(o)
		}
	})
}

// countUnrestored counts the rows that can still be read of the damaged files that were kept, and are not in the
// backup that was restored. What cannot be found out in a short time is not said.
func (r *recovering) countUnrestored(ctx context.Context, way recovery.Option, e Backup) {
	if r.out.Quarantined == nil {
		return
	}
	kept := *r.out.Quarantined
	image, err := r.imageOf(ctx, way, e)
	if err != nil {
		return
	}
	defer image.Close() // it was only read
	n, err := recovery.Unrestored(ctx, kept, image, r.m.cfg.Dir)
	if err != nil {
		return
	}
	r.out.Unrestored = &n
	r.lost(func(o *catalog.RecoveryOutcome) { o.Unrestored = &n })
	r.noteUnrestored(ctx, n)
	if n > 0 {
		r.m.ev.emit(context.WithoutCancel(ctx), Event{Type: EventWarning, Operation: OpRecover, Path: kept,
			Message: fmt.Sprintf("%d rows can still be read in %s that are not in the restored backup", n, filepath.Base(kept))})
	}
}

// imageOf opens the image of a backup of a way out, wherever that is.
func (r *recovering) imageOf(ctx context.Context, way recovery.Option, e Backup) (proof.Image, error) {
	if way.Remote != nil {
		return r.found.Copy(ctx, way, e)
	}
	return proof.Open(ctx, r.m.cat, e)
}

// noteUnrestored keeps the count next to the files: they are not removed for others to stay
// while they have rows that nothing else has, or may have.
func (r *recovering) noteUnrestored(ctx context.Context, n int64) {
	if r.out.Quarantined == nil {
		return
	}
	if err := catalogfile.NoteUnrestored(*r.out.Quarantined, n); err != nil {
		r.m.ev.emit(ctx, Event{Type: EventWarning, Operation: OpRecover, Path: *r.out.Quarantined, Err: err, Message: "the report of the kept files could not be completed"})
	}
}

// SalvageOptions of [Salvage].
type SalvageOptions = recovery.SalvageOptions

// SalvageResult of [Salvage].
type SalvageResult struct {
	To string `json:"to"`
	Salvaged
}

// Salvage writes every row that can still be read of the damaged database at path into a new
// database at to. The damaged one is only read, together with its write-ahead log and its rollback journal
// as far as checksums prove them, and not by SQLite: one page that is lost costs the rows on it. Rows that
// have no place in a table are kept in the table lost_and_found. It needs no Manager.
//
// Errors: [ErrMissing], [ErrRefused] (to exists, or is a part of the database), [ErrBusy] (path was
// written to meanwhile), [ErrCorrupt] where no page of a database can be recognised, [ErrNoSpace].
func Salvage(ctx context.Context, path, to string, o SalvageOptions) (SalvageResult, error) {
	c := Config{Database: path, Dir: o.Dir}
	if err := c.resolve(); err != nil {
		return SalvageResult{}, explain(err)
	}
	o.Dir = c.Dir
	said, err := recovery.Salvage(ctx, c.Database, c.base(), to, o)
	if err != nil {
		return SalvageResult{}, explain(err)
	}
	return SalvageResult{to, said}, nil
}
