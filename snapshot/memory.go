package snapshot

import (
	"context"
	"errors"
	"io/fs"
	"sync"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/integrity"
	"example.com/snapd/internal/catalogfile"
)

// memory is what the catalog remembers next to the backups. What cannot be stored is a
// warning, and does not change the outcome of what is being remembered.
type memory struct {
	cat  *catalogfile.Catalog
	wait time.Duration // for the catalog's lock
	now  func() time.Time
	warn func(err error, message string)

	mu       sync.Mutex
	failures catalog.State // LastFailure only: those of this Manager's backups
}

// state returns what the catalog remembers, and the failures that it does not: a full
// disk, or a directory that became read-only, keeps them from being stored.
func (r *memory) state() (State, error) {
	s, err := r.cat.State()
	if err != nil {
		return State{}, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for trigger, f := range r.failures.LastFailure {
		if f.At.After(s.LastFailure[trigger].At) {
			s.Failed(trigger, f.At, f.Code, f.Message)
		}
	}
	return s, nil
}

// failure keeps a failed backup.
func (r *memory) failure(trigger catalog.Trigger, cause error) {
	fail := func(s *catalog.State) { s.Failed(trigger, r.now(), Code(cause), cause.Error()) }
	r.mu.Lock()
	fail(&r.failures)
	r.mu.Unlock()
	r.update("failure", fail)
}

// check keeps the outcome of a check of the live database. A shallow one that found
// nothing does not replace what a deeper one found, and an outcome already kept is not written again.
func (r *memory) check(report Report) {
	if state, err := r.cat.State(); err == nil && state.LastCheck != nil && report.Verdict == integrity.Healthy {
		last := state.LastCheck
		same := last.Verdict == string(report.Verdict)
		deeper, err := integrity.ParseLevel(last.Level)
		if err == nil && deeper > report.Level && !same && last.Verdict != string(integrity.Missing) {
			return
		}
		if same && r.now().Sub(last.At) < time.Minute {
			return
		}
	}
	r.replaceCheck(report)
}

// replaceCheck keeps the outcome of a check in place of any earlier one.
func (r *memory) replaceCheck(report Report) {
	r.update("check", func(s *catalog.State) {
		s.LastCheck = &catalog.CheckOutcome{At: r.now(), Level: report.Level.String(), Verdict: string(report.Verdict)}
	})
}

// update changes the state; what names it in the warning.
func (r *memory) update(what string, change func(*catalog.State)) {
	r.updateTx(what, func(tx *catalogfile.Tx) { change(tx.State()) })
}

func (r *memory) updateTx(what string, change func(*catalogfile.Tx)) {
	ctx, cancel := context.WithTimeout(context.Background(), r.wait)
	defer cancel()
	err := r.cat.Update(ctx, func(tx *catalogfile.Tx) error {
		change(tx)
		return nil
	})
	if err != nil && !errors.Is(err, catalogfile.ErrNoDirectory) && !errors.Is(err, catalogfile.ErrReadOnly) && !errors.Is(err, fs.ErrNotExist) {
		r.warn(err, "could not remember the last "+what)
	}
}

// corrupt keeps that the live database was proven damaged, and returns the error for it.
func (r *memory) corrupt(database string, report Report) error {
	report.Path = database
	r.check(report)
	return &CorruptError{What: "database " + database, Report: report}
}

// restored keeps o as the last restore: what the live database now descends from.
func (r *memory) restored(o catalog.RestoreOutcome) {
	o.At = r.now()
	r.updateTx("restore", func(tx *catalogfile.Tx) { restored(tx, o) })
}
