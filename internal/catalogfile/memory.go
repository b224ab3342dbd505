package catalogfile

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"sync"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/integrity"
)

// Memory is what the catalog remembers next to the backups. What cannot be stored is a
// warning, and does not change the outcome of what is being remembered.
type Memory struct {
	cat  *Catalog
	wait time.Duration // for the catalog's lock
	now  func() time.Time
	warn func(err error, message string)

	mu       sync.Mutex
	failures catalog.State // LastFailure and PruneFailed only: those of this Manager's backups
}

// NewMemory returns what cat remembers. The catalog's lock is waited for as long as wait;
// warn hears of what could not be stored.
func NewMemory(cat *Catalog, wait time.Duration, now func() time.Time, warn func(error, string)) *Memory {
	return &Memory{cat: cat, wait: wait, now: now, warn: warn}
}

// State returns what the catalog remembers, and the failures that it does not: a full
// disk, or a directory that became read-only, keeps them from being stored.
func (r *Memory) State() (catalog.State, error) {
	s, err := r.cat.State()
	if err != nil {
		return catalog.State{}, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for trigger, f := range r.failures.LastFailure {
		if f.At.After(s.LastFailure[trigger].At) {
			s.Failed(trigger, f.At, f.Code, f.Message)
		}
	}
	if r.failures.PruneFailed != nil {
		s.PruneFailed = r.failures.PruneFailed
	}
	return s, nil
}

// PruneFailed keeps how the last pruning failed; nil for a success.
func (r *Memory) PruneFailed(o *catalog.Outcome) {
	if o != nil {
		o.At = r.now().UTC()
	}
	r.mu.Lock()
	r.failures.PruneFailed = o
	r.mu.Unlock()
	r.Update("pruning", func(s *catalog.State) { s.PruneFailed = o })
}

// Failure keeps a failed backup.
func (r *Memory) Failure(trigger catalog.Trigger, code, message string) {
	fail := func(s *catalog.State) { s.Failed(trigger, r.now(), code, message) }
	r.mu.Lock()
	fail(&r.failures)
	r.mu.Unlock()
	r.Update("failure", fail)
}

// Check keeps the outcome of a check of the live database. A shallow one that found
// nothing does not replace what a deeper one found, and an outcome already kept is not written again.
func (r *Memory) Check(report integrity.Report) {
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
	r.ReplaceCheck(report)
}

// ReplaceCheck keeps the outcome of a check in place of any earlier one.
func (r *Memory) ReplaceCheck(report integrity.Report) {
	last := catalog.CheckOutcome{At: r.now(), Level: report.Level.String(), Verdict: string(report.Verdict)}
	if report.FailedAt != nil {
		last.FailedAt = report.FailedAt.String()
	}
	r.Update("check", func(s *catalog.State) { s.LastCheck = &last })
}

// Update changes the state; what names it in the warning.
func (r *Memory) Update(what string, change func(*catalog.State)) {
	r.UpdateTx(what, func(tx *Tx) { change(tx.State()) })
}

func (r *Memory) UpdateTx(what string, change func(*Tx)) {
	ctx, cancel := context.WithTimeout(context.Background(), r.wait)
	defer cancel()
	err := r.cat.Update(ctx, func(tx *Tx) error {
		change(tx)
		return nil
	})
	if err != nil && !errors.Is(err, ErrNoDirectory) && !errors.Is(err, ErrReadOnly) && !errors.Is(err, fs.ErrNotExist) {
		r.warn(err, "could not remember the last "+what)
	}
}

// Restored keeps o as the last restore: what the live database now descends from.
func (r *Memory) Restored(o catalog.RestoreOutcome) {
	o.At = r.now()
	r.UpdateTx("restore", func(tx *Tx) { tx.Restored(o) })
}

// Took keeps how long the last restore took, which is known after it counts.
func (r *Memory) Took(ms int64) {
	r.Update("restore", func(s *catalog.State) {
		if s.LastRestore != nil {
			last := *s.LastRestore // a state that was handed out is not changed
			last.DurationMS = ms
			s.LastRestore = &last
		}
	})
}

// Restored records o as the last restore. Over the database only a person restores an archive
// that another directory made: that accepts it.
func (tx *Tx) Restored(o catalog.RestoreOutcome) {
	e, err := tx.Get(cmp.Or(o.Base, o.ID))
	if err != nil {
		e = catalog.Entry{ID: cmp.Or(o.Base, o.ID), Timeline: tx.Present().Timeline}
	} else if !e.Accepted() {
		e.Pinned = true
		_ = tx.Put(e) // it was valid before
	}
	s := tx.State()
	s.Begin(tx.Present(), catalog.Restored, e, "", catalog.NotBefore(tx.Entries(), o.At))
	if o.Base != "" {
		s.Timeline.Point = o.ID
	}
	s.LastRestore, s.Restoring, s.Placed = &o, nil, true
	tx.relink = true // to what was restored
}
