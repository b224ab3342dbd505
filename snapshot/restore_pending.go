package snapshot

import (
	"context"
	"errors"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/catalogfile"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/pages"
)

// rememberRestore records what the live database now descends from.
func (m *Manager) rememberRestore(r catalog.RestoreOutcome) {
	r.At = m.now()
	m.remembering("restore", func(tx *catalogfile.Tx) { restored(tx, r) })
}

// restored records r as the last restore.
func restored(tx *catalogfile.Tx, r catalog.RestoreOutcome) {
	if all := tx.Entries(); len(all) > 0 {
		r.Newest = all[0].ID
	}
	tx.State().LastRestore, tx.State().Restoring = &r, nil
}

// pendRestore records a restore whose transaction is complete except for its
// commit: if the process dies right after that, nothing else says that it was made.
func (m *Manager) pendRestore(tx *pages.WriteTx, e, safety Backup) {
	r := catalog.RestoreOutcome{ID: e.ID, At: m.now(), Action: "restore", Safety: safety.ID}
	m.rememberState("restore", func(s *catalog.State) { s.Restoring = &catalog.Restoring{RestoreOutcome: r, Cookie: tx.Cookie()} })
}

// resolveRestore finds out whether a pending restore was committed when its process died. The caller holds the operation lock. Where the database cannot be
// looked at, the next operation tries again.
func (m *Manager) resolveRestore(ctx context.Context) {
	state, err := m.cat.State()
	if err != nil || state.Restoring == nil {
		return // whoever needs the state gets the error
	}
	now, err := m.cookie(ctx)
	if err != nil {
		m.ev.emit(ctx, Event{Type: EventWarning, Operation: "restore", Backup: state.Restoring.ID, Err: err,
			Message: "whether a restore that was cut short was committed is not known yet"})
		return
	}
	committed := pages.TookEffect(state.Restoring.Cookie, now)
	m.remembering("restore", func(tx *catalogfile.Tx) {
		if r := tx.State().Restoring; r != nil && committed {
			restored(tx, r.RestoreOutcome)
		}
		tx.State().Restoring = nil
	})
	if committed {
		m.ev.emit(ctx, Event{Type: EventRestoreReset, Operation: "restore", Backup: state.Restoring.ID, Path: m.cfg.Database,
			Message: "a restore that was cut short had been committed"})
	}
}

// cookie is the database's schema cookie.
func (m *Manager) cookie(ctx context.Context) (c uint32, err error) {
	wait, cancel := m.lockContext(ctx)
	defer cancel()
	s, err := pages.Begin(wait, m.cfg.Database, livedb.Options{ScratchDir: m.cfg.Dir})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return uint32(s.Info().SchemaVersion), nil
}
