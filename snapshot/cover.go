package snapshot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/catalogfile"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/pages"
	"example.com/snapd/internal/sqlite"
)

// origin is what an entry keeps of the live database it was taken from.
type origin struct {
	livedb.Fingerprint
	// Log is how far into the log the backup reaches; nil without one.
	Log *sqlite.LogPosition `json:"log,omitempty"`
}

// originOf returns what e keeps of its origin, the zero value where it keeps nothing.
func originOf(e Backup) (o origin) {
	if json.Unmarshal(e.Source, &o) != nil {
		return origin{}
	}
	return o
}

// head returns the verified backup that the live database descends from: the
// one restored last, until a newer backup is taken, else the newest. Right after
// a restore the newest is the safety backup of the state that was given up.
func (m *Manager) head() (Backup, error) {
	latest, err := m.cat.Get("latest")
	if err != nil {
		return Backup{}, err
	}
	state, err := m.cat.State()
	if err != nil {
		return Backup{}, err
	}
	if m.nothingSince(state) {
		if b, err := m.cat.Get(state.LastRestore.ID); err == nil && b.Usable() {
			return b, nil
		}
	}
	return latest, nil
}

// covering returns the backup that the database descends from if print proves
// that it has not changed since.
func (m *Manager) covering(print livedb.Fingerprint) (Backup, bool) {
	b, err := m.head()
	if err != nil || !originOf(b).Unchanged(print) || !m.present(b) {
		return Backup{}, false
	}
	return b, true
}

// present reports whether a backup's archive is there, of the right size.
func (m *Manager) present(b Backup) bool {
	st, err := os.Lstat(m.cat.Path(b))
	return err == nil && st.Mode().IsRegular() && st.Size() == b.ArchiveBytes
}

// sameImage recognises that the image just staged is the head's, byte for byte:
// that backup then covers the database, and nothing is stored twice.
func (m *Manager) sameImage(ctx context.Context, req Request, info archive.Info, from origin) (Backup, bool, error) {
	b, err := m.head()
	if errors.Is(err, catalogfile.ErrNotFound) || err == nil && b.ImageBLAKE3 != info.ImageBLAKE3 {
		return Backup{}, false, nil
	}
	if err != nil {
		return Backup{}, false, err
	}
	raw, err := json.Marshal(from)
	if err != nil {
		return Backup{}, false, fmt.Errorf("backup: %w", err)
	}
	err = m.cat.Update(ctx, func(tx *catalogfile.Tx) error {
		e, err := tx.Get(b.ID)
		if err != nil {
			return err
		}
		e.Source = raw
		b = e
		return tx.Put(e)
	})
	if err != nil {
		return Backup{}, false, err
	}
	return b, true, m.unchanged(ctx, req, b)
}

// unchanged tells that b still covers the database. A failure before is then
// over; otherwise nothing is written: idle means idle.
func (m *Manager) unchanged(ctx context.Context, req Request, b Backup) error {
	state, err := m.State()
	if err != nil {
		return err
	}
	m.ev.emit(ctx, Event{Type: EventUnchanged, Operation: OpBackup, Trigger: string(req.Trigger), Backup: b.ID,
		Message: "database unchanged since " + b.ID, result: b.Public()})
	if f, failed := newest(state.LastFailure); failed {
		if ok, any := newest(state.LastSuccess); !any || f.At.After(ok.At) {
			m.rememberState("success", func(s *catalog.State) { s.Succeeded(req.Trigger, m.now()) })
		}
	}
	return nil
}

// nothingSince reports whether there was a restore, and no backup since.
func (m *Manager) nothingSince(state catalog.State) bool {
	if state.LastRestore == nil {
		return false
	}
	all, err := m.cat.All()
	if err != nil {
		return false
	}
	for newest := range all {
		return newest.ID == state.LastRestore.Newest
	}
	return false
}

// refuseEmptied keeps a database that has become empty from covering up the
// backups that hold its data: recovery would otherwise trust the empty one.
func (m *Manager) refuseEmptied(snap *pages.Snapshot) error {
	if snap.Info().PageCount > 0 {
		return nil
	}
	all, err := m.candidates()
	if err != nil || len(all) == 0 {
		return err
	}
	return hint(fmt.Errorf("backup: %w: %s has zero bytes, while %d backups hold data", ErrMissing, m.cfg.Database, len(all)),
		"run recover to put the newest backup back")
}
