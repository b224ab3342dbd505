package snapshot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
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

// Action is what a recovery does.
type Action string

const (
	ActionNone     Action = "none"     // the database is usable, or there is nothing to restore
	ActionRestored Action = "restored" // a backup took the damaged or missing database's place
	ActionRepaired Action = "repaired" // the database was repaired from what it holds itself, no backup was needed
	ActionSalvage  Action = "salvage"  // an option only, never done by itself: [Salvage] takes out what can be read
	ActionWaiting  Action = "waiting"  // damaged, but a process has it open: nothing was touched
)

// Recovery is the outcome of [Manager.Recover].
type Recovery struct {
	Action      Action  `json:"action"`
	Verdict     Verdict `json:"verdict"`
	Reason      string  `json:"reason"`      // why that action, in one sentence
	Restored    *string `json:"restored"`    // backup id
	Quarantined *string `json:"quarantined"` // absolute path of the preserved database
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
// backup that passes its proof. The damaged file is kept whole with its report.
// Call it before the application opens the database.
//
// A check that could not be made (locked, no permission, an I/O error, out of
// time) is an error, and nothing is touched. Errors: [ErrBusy], [ErrMissing]
// (with OnMissing fail), [ErrNoUsableBackup], *integrity.CheckError.
func (m *Manager) Recover(ctx context.Context) (Recovery, error) {
	r := &recovery{replacing: replacing{m, OpRecover, m.now()}}
	op := &operation{kind: OpRecover, result: func() any { return r.out }}
	err := m.perform(ctx, op, func(ctx context.Context) (_ Event, err error) {
		m.start(ctx, "")
		r.target = m.target(ctx)
		defer func() { _ = r.trial.Discard() }() // swept by the next operation, else
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
func (m *Manager) PlanRecovery(ctx context.Context) (_ RecoveryPlan, err error) {
	r := &recovery{replacing: replacing{m, OpRecover, m.now()}, target: m.target(ctx), dryRun: true}
	report, err := r.check(ctx)
	if err != nil {
		return RecoveryPlan{}, explain(fmt.Errorf("plan recovery: %w", err))
	}
	defer func() { err = errors.Join(err, r.trial.Discard()) }()
	f, err := r.facts(ctx, report)
	if err != nil {
		return RecoveryPlan{}, explain(fmt.Errorf("plan recovery: %w", err))
	}
	p := planRecovery(f)
	p.Err = explain(p.Err)
	if err := r.salvageOption(ctx, &p, f); err != nil {
		return RecoveryPlan{}, explain(fmt.Errorf("plan recovery: %w", err))
	}
	return p, nil
}

// recovery is one recovery on its way from the check to its outcome.
type recovery struct {
	replacing
	target    *swap.Target
	dryRun    bool                 // the plan is all that is wanted
	unchanged func() (bool, error) // since the check
	trial     *repair.Trial
	out       Recovery
}

// run checks, plans, and carries the plan out.
func (r *recovery) run(ctx context.Context) (err error) {
	m := r.m
	// Taken before the check: only the state that was judged is replaced later.
	if r.unchanged, err = livedb.SameState(m.cfg.Database); err != nil {
		return err
	}
	report, err := r.check(ctx)
	if err != nil {
		return err
	}
	m.mem.Check(report)
	r.out = Recovery{Action: ActionNone, Verdict: report.Verdict, Report: report}
	r.reportCheck(ctx, report)
	f, err := r.facts(ctx, report)
	if err != nil {
		return err
	}
	p := planRecovery(f)
	r.out.Reason = p.Reason
	if f.repair.failed != nil {
		m.ev.emit(ctx, Event{Type: EventWarning, Operation: OpRecover, Path: m.cfg.Database, Err: f.repair.failed,
			Message: "the database could not be repaired"})
	}
	if p.Err != nil {
		return p.Err
	}
	return r.carryOut(ctx, p, f)
}

// check judges the database, and what it finds twice. It is a full check where that was asked for, where
// the last one found damage, and where broken rules are news: a page that is not what it was may show
// as nothing else.
func (r *recovery) check(ctx context.Context) (Report, error) {
	m := r.m
	o := integrity.Options{Level: m.cfg.RecoverLevel, LockWait: m.cfg.LockWait}
	if !r.dryRun {
		o.ScratchDir = m.cfg.Dir
	}
	state, err := m.cat.State()
	if err != nil {
		return Report{}, err
	}
	if state.LastCheck.FullOnly() {
		o.Level = integrity.LevelFull
	}
	report, err := integrity.Check(ctx, m.cfg.Database, o)
	if err == nil && report.Verdict == integrity.Violations && o.Level < integrity.LevelFull {
		news, nerr := r.brokenSince()
		if err = nerr; news {
			o.Level = integrity.LevelFull
			report, err = integrity.Check(ctx, m.cfg.Database, o)
		}
	}
	if err == nil && report.Damaged() {
		err = integrity.Confirm(ctx, report, o)
	}
	return report, err
}

// brokenSince reports whether the newest verified backup kept the rules that are broken now.
func (r *recovery) brokenSince() (bool, error) {
	latest, err := r.m.cat.Latest()
	return err == nil && latest != nil && !strings.HasPrefix(latest.Verification.Detail, string(integrity.Violations)), err
}

// reportCheck emits the outcome of the check that the recovery began with.
func (r *recovery) reportCheck(ctx context.Context, report Report) {
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

// carryOut takes the plan's ways out in their order, until one passes its proof.
func (r *recovery) carryOut(ctx context.Context, p RecoveryPlan, f recoveryFacts) error {
	if p.Action == ActionNone {
		return r.leave(ctx)
	}
	tried := 0
	for _, way := range p.Options {
		var err error
		if way.Action == ActionRepaired {
			err = r.installRepair(ctx, f.repair.result)
		} else {
			err = r.restore(ctx, way.from)
			tried += len(way.from)
		}
		if !errors.Is(err, errNoProof) {
			return err
		}
		r.out.Reason = "the backup that would lose less failed its proof"
	}
	return hint(fmt.Errorf("%w: none of %d backups passed its proof; the database was left as it is", ErrNoUsableBackup, tried),
		"run verify --all to see why, and look for copies of the backups elsewhere")
}

// leave has nothing to put in place. An orphan log is kept: SQLite deletes it when the
// application creates the database.
func (r *recovery) leave(ctx context.Context) error {
	if r.out.Verdict != integrity.Missing && r.out.Verdict != integrity.Empty {
		return nil
	}
	kept, err := r.target.KeepOrphans(ctx)
	if err != nil {
		return err
	}
	r.quarantined(kept)
	r.reportQuarantined(ctx, kept)
	r.m.ev.emit(ctx, Event{Type: EventChecked, Operation: OpCheck, Path: r.m.cfg.Database, Message: r.out.Reason})
	return nil
}

// quarantined notes where the damaged database was kept.
func (r *recovery) quarantined(kept string) {
	if kept != "" {
		r.out.Quarantined = &kept
	}
}

// restore puts the first of these backups in place that passes its proof; errNoProof
// where none does.
func (r *recovery) restore(ctx context.Context, from []Backup) error {
	for _, e := range from {
		staged, sum, err := r.stage(ctx, e)
		if err == nil {
			if err = r.putInPlace(ctx, staged, sum, e); err == nil {
				r.countUnrestored(ctx, e)
			}
			return err
		}
		if !errors.Is(explain(err), ErrCorrupt) && !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrVersion) {
			return err
		}
		r.m.ev.emit(ctx, Event{Type: EventWarning, Operation: OpRecover, Backup: e.ID, Err: err, Message: "this backup cannot be used; trying the next way out"})
	}
	return errNoProof
}

// stage unpacks e next to the database and proves the image: its digests, and
// a check. A backup that fails is marked in the catalog. One with damage that only a full check sees is
// repaired: its rows stay as they are. sum is the digest of what was staged, "" of a repaired image.
func (r *recovery) stage(ctx context.Context, e Backup) (_ *durable.File, sum string, err error) {
	m := r.m
	level := m.cfg.RecoverLevel
	if e.Verification.Detail != "" {
		level = integrity.LevelFull
	}
	f, report, err := r.unpacked(ctx, e, level)
	if err == nil && report.Damaged() {
		err = r.readBack(ctx, f, e)
	}
	if err == nil {
		err = m.remember(ctx, &e, verdictOf(report, m.now()))
	}
	if err == nil && report.Damaged() && !seenByFullOnly(report) {
		err = &CorruptError{What: "backup " + e.ID, Report: report}
	}
	if err != nil {
		return nil, "", discarding(f, err)
	}
	if !report.Damaged() {
		return f, e.ImageBLAKE3, nil
	}
	if _, err = repair.Copy(ctx, f.Name(), report, repair.Options{Dir: m.cfg.Dir}); err == nil {
		return f, "", nil
	}
	if !errors.Is(err, repair.ErrNotRepairable) {
		return nil, "", discarding(f, err)
	}
	if err := f.Discard(); err != nil {
		return nil, "", err
	}
	f, _, err = r.unpacked(ctx, e, integrity.LevelQuick) // as it was backed up
	return f, e.ImageBLAKE3, discarding(f, err)
}

// discarding drops the file where there is an error, and returns that.
func discarding(f *durable.File, err error) error {
	if err != nil && f != nil {
		err = errors.Join(err, f.Discard())
	}
	return err
}

// unpacked unpacks e next to the database, with its digests proven, and checks it.
func (r *recovery) unpacked(ctx context.Context, e Backup, level Level) (*durable.File, Report, error) {
	m := r.m
	a, err := m.cat.OpenArchive(e)
	if err != nil {
		return nil, Report{}, m.markFailed(ctx, e, err)
	}
	defer a.Close()
	f, err := r.unpack(ctx, a, e, m.cfg.Database)
	if err != nil {
		return nil, Report{}, m.markFailed(ctx, e, err)
	}
	m.atPoint("unpacked")
	report, err := integrity.CheckCopy(ctx, f.Name(), integrity.Options{Level: level})
	return f, report, err
}

// putInPlace swaps the proven image of e in.
func (r *recovery) putInPlace(ctx context.Context, staged *durable.File, sum string, e Backup) error {
	defer staged.Discard()
	// A missing database leaves at most an orphan log to preserve.
	orphans, err := r.target.HasSidecars()
	if err != nil {
		return fmt.Errorf("look for what is next to the database: %w", err)
	}
	preserve := r.out.Report.Damaged() || orphans
	return r.install(ctx, swap.Swap{Staged: staged, Sum: sum, Preserve: preserve, Note: swap.Note{Backup: e.ID}}, func(kept string) {
		r.m.mem.Restored(catalog.RestoreOutcome{ID: e.ID, Action: string(OpRecover), DurationMS: r.took(), Kept: nameOf(kept)})
		r.out.Action, r.out.Restored, r.out.LosesSince = ActionRestored, &e.ID, e.CreatedAt
	}, Event{Type: EventRestored,
		Message: fmt.Sprintf("database recovered from %s, taken %s: %s", e.ID, e.CreatedAt.UTC().Format(time.RFC3339), r.out.Reason)})
}

// installRepair swaps the repaired copy in.
func (r *recovery) installRepair(ctx context.Context, done repair.Result) error {
	staged := r.trial.Staged()
	if staged == nil {
		return errors.New("there is no repaired copy")
	}
	r.m.atPoint("repaired")
	repaired := func(string) {
		r.out.Action, r.out.Repair = ActionRepaired, &done
		r.lost(func(o *catalog.RecoveryOutcome) {
			o.Rows, o.Transactions, o.Detail = done.RowsLost(), done.Dropped, done.Summary()
			o.Seen = o.Rows == 0 && o.Transactions == 0 && len(done.Emptied)+len(done.Removed) == 0
		})
	}
	err := r.install(ctx, swap.Swap{Staged: staged, Preserve: true}, repaired,
		Event{Type: EventRepaired, Message: "database repaired: " + done.Summary() + " (" + r.out.Reason + ")", more: Activity{Action: "repair"}})
	if err == nil && len(done.Lost) == 0 && done.Dropped == 0 {
		r.noteUnrestored(ctx, 0)
	}
	return err
}

// install swaps s in, if the database is still what was checked, has done note it, and
// ends with ev where the database is sound then.
func (r *recovery) install(ctx context.Context, s swap.Swap, done func(kept string), ev Event) error {
	s.Report, s.Unchanged = r.out.Report, r.unchanged
	res, err := r.replace(ctx, r.target, s)
	if err != nil {
		return err
	}
	r.quarantined(res.Kept)
	r.out.Reason += inPlaceReason(res.InPlace)
	ev.Message += inPlaceReason(res.InPlace)
	done(res.Kept)
	if err := r.checkRestored(ctx, s.Note.Backup); err != nil {
		return err
	}
	ev.Operation, ev.Backup, ev.Path = OpRecover, s.Note.Backup, r.m.cfg.Database
	r.m.ev.emit(ctx, ev)
	return nil
}

// recovered remembers that a recovery has changed the database: with the backup of that id, or by a
// repair. What a repair lost is added by the process that made it, if that lives on.
func recovered(m *Manager, backup, kept string) {
	o := catalog.RecoveryOutcome{At: m.now(), Action: string(ActionRepaired), Backup: backup, Kept: nameOf(kept)}
	if backup != "" {
		o.Action = string(ActionRestored)
		if e, err := m.cat.Get(backup); err == nil {
			o.LosesSince = &e.CreatedAt
		}
	}
	m.mem.Update("recovery", func(s *State) { s.Recover(o) })
}

// lost adds what is known of the loss to what is remembered of this recovery.
func (r *recovery) lost(add func(*catalog.RecoveryOutcome)) {
	r.m.mem.Update("recovery", func(s *State) {
		if o := s.LastRecovery(); o != nil {
			add(o)
		}
	})
}

// Recovered is a recovery that lost something, or may have, and that no person has acknowledged.
type Recovered struct {
	At         time.Time  `json:"at"`
	Action     Action     `json:"action"`      // restored or repaired
	Backup     *string    `json:"backup"`      // that was restored
	LosesSince *time.Time `json:"loses_since"` // when that was taken: later changes are lost
	// RowsLost and TransactionsLost are what a repair lost, as far as that is known.
	RowsLost         int64   `json:"rows_lost"`
	TransactionsLost int64   `json:"transactions_lost"`
	Unrestored       *int64  `json:"unrestored"` // rows that can still be read in Kept and are not in Backup; null: not known
	Kept             *string `json:"kept"`       // path of the damaged database; null where there was none
	Loses            string  `json:"loses"`      // one sentence
}

// unseen are the recoveries that Status reports, the newest first.
func unseen(m *Manager, state State) []Recovered {
	all := []Recovered{}
	for _, o := range slices.Backward(state.Recovered) {
		if o.Seen {
			continue
		}
		r := Recovered{At: o.At.UTC(), Action: Action(o.Action), LosesSince: o.LosesSince, RowsLost: o.Rows, TransactionsLost: o.Transactions, Unrestored: o.Unrestored}
		if o.Backup != "" {
			r.Backup = &o.Backup
		}
		if o.Kept != "" {
			r.Kept = new(filepath.Join(m.cfg.Dir, o.Kept))
		}
		r.Loses = r.loss(o.Detail)
		all = append(all, r)
	}
	return all
}

// loss says what was lost; detail is what a repair said of itself.
func (r *Recovered) loss(detail string) string {
	if r.Action == ActionRepaired {
		return cmp.Or(detail, "what is not known: the program ended before it could say so")
	}
	loses := "all changes since the backup"
	if r.LosesSince != nil {
		loses = "all changes since " + r.LosesSince.UTC().Format(time.RFC3339)
	}
	if n := r.Unrestored; n != nil && r.Kept != nil {
		loses += fmt.Sprintf("; %d rows that are not in the database can still be read in the file that was kept", *n)
	}
	return loses
}

// AcknowledgeRecovery notes that a person knows what the recoveries up to now have lost, and returns
// them: [Status] reports them no longer. The files that they kept stay. Errors: [ErrBusy].
func (m *Manager) AcknowledgeRecovery(ctx context.Context) (known []Recovered, err error) {
	ctx, cancel := context.WithTimeout(ctx, m.cfg.LockWait)
	defer cancel()
	err = m.cat.Update(ctx, func(tx *catalogfile.Tx) error {
		known = unseen(m, *tx.State())
		for i := range tx.State().Recovered {
			tx.State().Recovered[i].Seen = true
		}
		return nil
	})
	if errors.Is(err, catalogfile.ErrNoDirectory) {
		return []Recovered{}, nil // there was no recovery
	}
	if err != nil {
		return nil, fmt.Errorf("acknowledge the recovery: %w", explain(err))
	}
	for _, r := range known {
		m.Record(Activity{Who: callerOf(ctx).Who, Action: "acknowledge", Outcome: "done", Detail: "the recovery of " + r.At.Format(time.RFC3339) + " lost " + r.Loses})
	}
	return known, nil
}
