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

// recordFailure keeps a failed backup for Status, and not in the catalog alone: a
// full disk or a directory that became read-only keeps that from being stored, too.
func (m *Manager) recordFailure(trigger catalog.Trigger, cause error) {
	fail := func(s *catalog.State) { s.Failed(trigger, m.now(), Code(cause), cause.Error()) }
	m.own.mu.Lock()
	fail(&m.own.failures)
	m.own.mu.Unlock()
	m.rememberState("failure", fail)
}

// ownFailures are those of this Manager's backups.
type ownFailures struct {
	mu       sync.Mutex
	failures catalog.State // LastFailure only
}

// State returns what the catalog remembers beside the backups, and the failures of
// this Manager's that it does not.
func (m *Manager) State() (State, error) {
	s, err := m.cat.State()
	if err != nil {
		return State{}, err
	}
	m.own.mu.Lock()
	defer m.own.mu.Unlock()
	for trigger, f := range m.own.failures.LastFailure {
		if f.At.After(s.LastFailure[trigger].At) {
			s.Failed(trigger, f.At, f.Code, f.Message)
		}
	}
	return s, nil
}

// rememberCheck keeps the outcome of a check of the live database. A shallow look
// that saw nothing does not take back what a deeper one found.
func (m *Manager) rememberCheck(r Report) {
	if last, err := m.cat.State(); err == nil && last.LastCheck != nil && r.Verdict == integrity.Healthy {
		deeper, err := integrity.ParseLevel(last.LastCheck.Level)
		if err == nil && deeper > r.Level && last.LastCheck.Verdict != string(r.Verdict) && last.LastCheck.Verdict != string(integrity.Missing) {
			return
		}
	}
	if last, err := m.cat.State(); err == nil && last.LastCheck != nil && r.Verdict == integrity.Healthy &&
		last.LastCheck.Verdict == string(r.Verdict) && m.now().Sub(last.LastCheck.At) < time.Minute {
		return // nothing new: no write
	}
	m.noteCheck(r)
}

// noteCheck keeps the outcome of a check, whatever an earlier one said.
func (m *Manager) noteCheck(r Report) {
	m.rememberState("check", func(s *catalog.State) {
		s.LastCheck = &catalog.CheckOutcome{At: m.now(), Level: r.Level.String(), Verdict: string(r.Verdict), Repairable: r.Repairable()}
	})
}

// rememberState keeps something beside the entries. That it could not be kept
// is said, and does not change the outcome of what is being remembered.
func (m *Manager) rememberState(what string, change func(*catalog.State)) {
	m.remembering(what, func(tx *catalogfile.Tx) { change(tx.State()) })
}

func (m *Manager) remembering(what string, change func(*catalogfile.Tx)) {
	ctx, cancel := context.WithTimeout(context.Background(), m.cfg.LockWait)
	defer cancel()
	err := m.cat.Update(ctx, func(tx *catalogfile.Tx) error {
		change(tx)
		return nil
	})
	if err != nil && !errors.Is(err, catalogfile.ErrNoDirectory) && !errors.Is(err, catalogfile.ErrReadOnly) && !errors.Is(err, fs.ErrNotExist) {
		m.ev.emit(ctx, Event{Type: EventWarning, Err: err, Message: "could not remember the last " + what})
	}
}
