package snapshot

import (
	"context"
	"errors"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/catalogfile"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/pages"
)

// rememberRestore keeps what the live database now descends from.
func (m *Manager) rememberRestore(r catalog.RestoreOutcome) {
	r.At = m.now()
	m.remembering("restore", func(tx *catalogfile.Tx) { restored(tx, r) })
}

// restored notes r as the last restore.
func restored(tx *catalogfile.Tx, r catalog.RestoreOutcome) {
	if all := tx.Entries(); len(all) > 0 {
		r.Newest = all[0].ID
	}
	tx.State().LastRestore, tx.State().Restoring = &r, nil
}

// aboutToCommit writes down a restore whose transaction is complete but for its
// commit: were the process to die right after that, nobody else would know of it.
func (m *Manager) aboutToCommit(tx *pages.WriteTx, e, safety Backup) {
	r := catalog.RestoreOutcome{ID: e.ID, At: m.now(), Action: "restore", Safety: safety.ID}
	m.rememberState("restore", func(s *catalog.State) { s.Restoring = &catalog.Restoring{RestoreOutcome: r, Cookie: tx.Cookie()} })
}

// settleRestore finds out what became of a restore that was about to be committed when
// its process died. The caller holds the operation lock. Where the database cannot be
// looked at, the next operation tries again.
func (m *Manager) settleRestore(ctx context.Context) {
	state, err := m.cat.State()
	if err != nil || state.Restoring == nil {
		return // whoever needs the state gets the error
	}
	now, err := m.cookie(ctx)
	if err != nil {
		m.ev.emit(ctx, Event{Type: EventWarning, Operation: "restore", Backup: state.Restoring.ID, Err: err,
			Message: "whether a restore that was cut short took effect is not known yet"})
		return
	}
	took := pages.TookEffect(state.Restoring.Cookie, now)
	m.remembering("restore", func(tx *catalogfile.Tx) {
		if r := tx.State().Restoring; r != nil && took {
			restored(tx, r.RestoreOutcome)
		}
		tx.State().Restoring = nil
	})
	if took {
		m.ev.emit(ctx, Event{Type: EventRestoreReset, Operation: "restore", Backup: state.Restoring.ID, Path: m.cfg.Database,
			Message: "a restore that was cut short had taken effect"})
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
