package snapshot

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/catalogfile"
)

// PlanPrune returns what Prune would decide, with the reasons, and removes nothing.
// Until is when a backup that is kept will go, as far as the schedule determines that.
// A nil policy is the Config's, see Config.FollowService.
func (m *Manager) PlanPrune(policy *Policy) ([]Decision, error) {
	p, err := m.present.Load().policy(m.cat, policy)
	if err != nil {
		return nil, fmt.Errorf("plan prune: %w", err)
	}
	entries, state, err := retained(m)
	if err != nil {
		return nil, fmt.Errorf("plan prune: %w", err)
	}
	now := m.now()
	decisions := catalog.Plan(entries, state, p, now)
	until := catalog.Forecast(entries, state, p, now, m.present.Load().nextRuns(state, now))
	for i := range decisions {
		if at, ok := until[decisions[i].ID]; ok && decisions[i].Keep {
			decisions[i].Until = &at
		}
	}
	return decisions, nil
}

// Prune carries out the retention policy and returns every decision with its reason.
// A nil policy is the Config's, see Config.FollowService.
func (m *Manager) Prune(ctx context.Context, policy *Policy) ([]Decision, error) {
	p, err := m.present.Load().policy(m.cat, policy)
	if err != nil {
		return nil, fmt.Errorf("prune: %w", err)
	}
	var decisions []Decision
	err = m.perform(ctx, pruning(m, ""), func(ctx context.Context) (Event, error) {
		m.start(ctx, "")
		d, err := prune(ctx, m, p)
		if err == nil {
			decisions = d
		}
		return Event{}, err
	})
	return decisions, err
}

// pruneAfter carries out the retention policy after an automatic backup, while its
// lock is held. A failed prune does not fail the backup: it is an
// operation of its own, and is tried again by itself.
func pruneAfter(ctx context.Context, m *Manager, trigger catalog.Trigger) {
	op := pruning(m, trigger)
	op.lockFree = true
	ctx = WithCaller(ctx, Caller{Who: callerOf(ctx).Who})             // with an id of its own
	_ = m.perform(ctx, op, func(ctx context.Context) (Event, error) { // its event, log entry and record in the catalog say it
		policy, err := m.present.Load().policy(m.cat, nil)
		if err == nil {
			_, err = prune(ctx, m, policy)
		}
		return Event{}, err
	})
}

// pruning is a pruning whose failure is remembered until one succeeds.
func pruning(m *Manager, trigger catalog.Trigger) *operation {
	return &operation{kind: OpPrune, trigger: trigger,
		failed: func(err error) { m.mem.PruneFailed(&catalog.Outcome{Code: Code(err), Message: err.Error()}) },
		after: func(context.Context) {
			if state, err := m.mem.State(); err == nil && state.PruneFailed != nil {
				m.mem.PruneFailed(nil)
			}
		}}
}

// retained returns what the retention is judged by: the backups, newest first, and the state with how long the
// backups from before a break are counted by themselves.
func retained(m *Manager) (all []Backup, state State, err error) {
	if all, state, err = m.cat.Read(); !m.cfg.FollowService || state.Retention == nil {
		state.Replaced = m.present.Load().keepReplaced()
	}
	return all, state, err
}

// prune plans over the catalog as it stands and removes what the plan says.
func prune(ctx context.Context, m *Manager, p Policy) ([]Decision, error) {
	entries, state, err := retained(m)
	if err != nil {
		return nil, fmt.Errorf("prune: %w", err)
	}
	decisions := catalog.Plan(entries, state, p, m.now())
	var ids []string
	for _, d := range decisions {
		if !d.Keep {
			ids = append(ids, d.ID)
		}
	}
	drop, err := catalogfile.GetAll(m.cat, ids)
	if err != nil {
		return nil, fmt.Errorf("prune: %w", err)
	}
	return decisions, m.remove(ctx, OpPrune, drop, false, "removed old backup ")
}

// errPinned keeps a backup from being removed.
var errPinned = fmt.Errorf("%w: it is pinned", ErrRefused)

// remove deletes backups, one after the other; those that are pinned by now only where
// pinned says so. One that cannot be removed does not keep the others. A crash within one leaves an entry without archive, which the next
// start drops.
func (m *Manager) remove(ctx context.Context, op Operation, going []Backup, pinned bool, message string) error {
	var errs []error
	waits := unsent(ctx, m)
	for _, e := range going {
		err := m.cat.DeleteIf(ctx, func(now Backup) error {
			if now.Pinned && !pinned {
				return errPinned
			}
			return nil
		}, e.ID)
		if errors.Is(err, catalogfile.ErrNotFound) || op == OpPrune && errors.Is(err, errPinned) {
			continue
		} else if err != nil {
			errs = append(errs, fmt.Errorf("remove %s: %w", e.ID, err))
			if ctx.Err() != nil {
				break
			}
			continue
		}
		atPoint("deleted " + e.ID)
		m.ev.emit(ctx, Event{Type: EventRemoved, Operation: op, Backup: e.ID, Message: message + e.File + waits(e.ID),
			more: Activity{Detail: strings.TrimPrefix(e.Note+waits(e.ID), ", "), DatabaseBytes: e.DatabaseBytes, ArchiveBytes: e.ArchiveBytes}})
	}
	return errors.Join(errs...)
}

// Delete removes backups, manual ones too, and damaged databases that were kept, by their
// names (see [Manager.Quarantines]). A pinned backup, and the last verified one, is refused with
// [ErrRefused] unless force; then none of ids is removed.
func (m *Manager) Delete(ctx context.Context, ids []string, force bool) error {
	op := &operation{kind: OpDelete}
	if len(ids) == 1 {
		op.backup = ids[0]
	}
	return m.perform(ctx, op, func(ctx context.Context) (Event, error) {
		kept, backups, err := catalogfile.QuarantinesNamed(m.cfg.Dir, ids)
		if err != nil {
			return Event{}, fmt.Errorf("delete: %w", err)
		}
		going, err := catalogfile.GetAll(m.cat, backups)
		if err == nil && !force && len(going) > 0 {
			var all []Backup
			if all, err = m.cat.Entries(); err == nil {
				if why, advice := catalog.Needed(going, all); why != "" {
					err = hint(fmt.Errorf("%w: %s", ErrRefused, why), advice)
				}
			}
		}
		if err != nil {
			return Event{}, fmt.Errorf("delete: %w", err)
		}
		if len(going) == 1 {
			op.backup = going[0].ID
		}
		m.start(ctx, op.backup)
		if err := m.remove(ctx, OpDelete, going, force, "deleted backup "); err != nil {
			return Event{}, err
		}
		return Event{}, op.removeQuarantines(ctx, m, kept)
	})
}

// SetPinned exempts a backup from pruning, or lifts that.
func (m *Manager) SetPinned(ctx context.Context, id string, pinned bool) (Backup, error) {
	op := OpPin
	if !pinned {
		op = OpUnpin
	}
	return m.edit(ctx, op, id, func(e *Backup) { e.Pinned = pinned })
}

// MaxNote is the largest note, in bytes.
const MaxNote = 4096

// SetNote replaces a backup's note.
func (m *Manager) SetNote(ctx context.Context, id, note string) (Backup, error) {
	if err := checkNote(note); err != nil {
		return Backup{}, err
	}
	return m.edit(ctx, OpNote, id, func(e *Backup) { e.Note = note })
}

func checkNote(note string) error {
	if len(note) > MaxNote {
		return hint(fmt.Errorf("the note has %d bytes, and at most %d fit", len(note), MaxNote), "shorten the note")
	}
	return nil
}

// edit changes what may be changed of an entry; op is what that is called.
// It is done in a moment, so there is no start; what changes nothing is no operation.
func (m *Manager) edit(ctx context.Context, kind Operation, id string, change func(*Backup)) (Backup, error) {
	var was, e Backup
	op := &operation{kind: kind, backup: id, lockFree: true}
	err := m.perform(ctx, op, func(ctx context.Context) (Event, error) {
		found, err := m.cat.Get(id)
		if err != nil {
			return Event{}, err
		}
		op.backup = found.ID
		err = m.cat.Update(ctx, func(tx *catalogfile.Tx) error {
			if was, err = tx.Get(found.ID); err != nil {
				return err
			}
			e = was
			change(&e)
			return tx.Put(e)
		})
		if err != nil || e.Pinned == was.Pinned && e.Note == was.Note {
			return Event{}, err
		}
		return Event{Type: EventDone, Message: string(kind) + ": " + e.ID, more: Activity{Detail: e.Note}}, nil
	})
	if err != nil {
		return Backup{}, err
	}
	return e.Public(), nil
}
