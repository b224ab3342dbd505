package snapshot

import (
	"context"
	"fmt"
	"path/filepath"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/catalogfile"
	"example.com/snapd/internal/proof"
	"example.com/snapd/internal/restore"
	"example.com/snapd/internal/swap"
)

// restorerOf restores over the database in the operation of ctx; id is the backup's, "" for none.
func restorerOf(ctx context.Context, m *Manager, id string) *restore.Restorer {
	return &restore.Restorer{
		Replacer: *replacerOf(ctx, m, OpRestore, id),
		Safety:   makerOf(ctx, m, Request{Kind: catalog.Auto, Trigger: catalog.TriggerPreRestore}, &marked{}),
		Release:  func(ctx context.Context) (func() error, error) { return releaseDatabase(ctx, m) },
	}
}

// replacerOf replaces the database's file in the operation of ctx.
func replacerOf(ctx context.Context, m *Manager, kind Operation, id string) *restore.Replacer {
	return &restore.Replacer{Prover: proverOf(ctx, m, Event{Operation: kind, Backup: id}), Target: targetOf(ctx, m), Operation: string(kind),
		LockWait: m.cfg.lockWait(ctx), Began: m.now()}
}

// releaseDatabase has the host, and the captures, close the database; reopen gives it back to them.
func releaseDatabase(ctx context.Context, m *Manager) (reopen func() error, err error) {
	if m.cfg.BeforeSwap != nil {
		if err := m.cfg.BeforeSwap(ctx); err != nil {
			return nil, fmt.Errorf("BeforeSwap: %w", err)
		}
	}
	resume := suspendCaptures(m)
	return func() error {
		resume()
		if m.cfg.AfterSwap != nil {
			if err := m.cfg.AfterSwap(context.WithoutCancel(ctx)); err != nil {
				return fmt.Errorf("AfterSwap: %w", err)
			}
		}
		return nil
	}, nil
}

// reportQuarantined says where a swap has kept what it replaced, if it has.
func reportQuarantined(ctx context.Context, m *Manager, kind Operation, kept string) {
	if kept == "" {
		return
	}
	what := "the damaged database"
	if filepath.Ext(kept) != ".db" {
		what = "an orphan log"
	}
	m.ev.emit(ctx, Event{Type: EventQuarantined, Operation: kind, Path: kept, Message: what + " was kept as " + filepath.Base(kept)})
	gone, err := catalogfile.ThinQuarantines(m.cfg.Dir)
	for _, q := range gone {
		words := "removed " + q.Name + ": " + q.Why
		m.ev.emit(ctx, Event{Type: EventRemoved, Operation: kind, Path: q.Name, Message: words, more: Activity{Detail: words}})
	}
	if err != nil {
		m.ev.emit(ctx, Event{Type: EventWarning, Operation: kind, Err: err, Message: "earlier damaged databases that were kept could not be compared"})
	}
}

// targetOf is the database's file for internal/swap, in the operation of ctx.
func targetOf(ctx context.Context, m *Manager) *swap.Target {
	return &swap.Target{Database: m.cfg.Database, Dir: m.cfg.Dir, LockWait: m.cfg.LockWait, AssumeUnused: m.cfg.AssumeUnused, NewHash: archive.NewImageHash, Now: m.cfg.Now,
		Observer: swap.Observer{
			Point: atPoint,
			Committed: func(n swap.Note, kept string) {
				if n.Backup != "" {
					m.mem.Restored(catalog.RestoreOutcome{ID: n.Backup, Base: n.Base, Action: n.Operation, Safety: n.Safety, Kept: nameOf(kept)})
				} else { // a repair
					m.mem.Update("repair", func(s *catalog.State) { s.Placed, s.Gone = true, nil })
				}
				if n.Operation == string(OpRecover) {
					recovered(m, n.Backup, kept)
				}
			},
			Warn: func(w swap.Warning) {
				m.ev.emit(ctx, Event{Type: EventWarning, Operation: OpRestore, Path: w.Path, Err: w.Err, Message: w.Message})
			},
		}}
}

// warnOfPlace reports what will be in the way of a restore that has to replace the file.
func warnOfPlace(ctx context.Context, m *Manager) {
	concerns, err := targetOf(ctx, m).Concerns()
	for _, what := range concerns {
		m.ev.emit(ctx, Event{Type: EventWarning, Path: m.cfg.Database, Message: what})
	}
	if err != nil {
		m.ev.emit(ctx, Event{Type: EventWarning, Path: m.cfg.Database, Err: err, Message: "what a restore would meet could not be looked at"})
	}
}

// finishSwap brings a swap that a crash cut short to its end, if there is one.
func finishSwap(ctx context.Context, m *Manager) error {
	end, err := targetOf(ctx, m).Finish(ctx)
	if err != nil {
		return err
	}
	ev := Event{Type: EventRestoreReset, Operation: OpRestore, Backup: end.Note.Backup, Path: m.cfg.Database, Message: end.String()}
	if ev.Message == "" {
		return nil
	}
	if end.Outcome != swap.Completed {
		ev.more = Activity{Outcome: "failed", Code: "interrupted"}
	}
	m.ev.emit(ctx, ev)
	return nil
}

// resolveRestore finds out whether a restore was committed when its process died.
// The caller holds the operation lock.
func resolveRestore(ctx context.Context, m *Manager) {
	id, committed, err := restorerOf(ctx, m, "").Resolve(ctx)
	ev := Event{Type: EventRestoreReset, Operation: OpRestore, Backup: id, Path: m.cfg.Database, Message: "a restore that was cut short had been committed"}
	if err != nil {
		ev = Event{Type: EventWarning, Operation: OpRestore, Backup: id, Err: err, Message: "whether a restore that was cut short was committed is not known yet"}
	}
	if committed || err != nil {
		m.ev.emit(ctx, ev)
	}
}

// nameOf is the file name of a path, "" of none.
func nameOf(path string) string {
	if path == "" {
		return ""
	}
	return filepath.Base(path)
}

// recovered remembers that a recovery has changed the database: with the backup of that id, or by a
// repair. What a repair lost is added by the process that made it, if that lives on.
func recovered(m *Manager, backup, kept string) {
	o := catalog.RecoveryOutcome{At: m.now(), Action: string(ActionRepaired), Backup: backup, Kept: nameOf(kept)}
	if backup != "" {
		o.Action = string(ActionRestored)
		if e, err := proof.Find(context.Background(), m.cat, backup); err == nil {
			o.LosesSince = &e.CreatedAt
		}
	}
	m.mem.Update("recovery", func(s *State) { s.Recover(o) })
}
