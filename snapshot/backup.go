package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/backup"
	"example.com/snapd/internal/breaks"
	"example.com/snapd/internal/catalogfile"
	"example.com/snapd/internal/lineage"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/pages"
	"example.com/snapd/internal/swap"
)

// Request says what kind of backup to make; see [Manual] and [Auto].
type Request struct {
	Kind    Kind
	Trigger Trigger
	Note    string
	Pin     bool
}

// Manual asks for a backup that is kept until it is deleted by hand.
func Manual(note string) Request {
	return Request{Kind: catalog.Manual, Trigger: catalog.TriggerManual, Note: note}
}

// Auto asks for an automatic backup, subject to retention. When the newest
// verified backup provably still covers the database, none is made and that
// one is returned.
func Auto(trigger Trigger) Request {
	return Request{Kind: catalog.Auto, Trigger: trigger}
}

// Backup takes a snapshot of the live database, stores it and proves it: the
// stored bytes are read back and give the image's digest, and quick_check of
// that image said ok. Only then is there an entry. In WAL mode writers never
// wait; in rollback-journal modes they wait while the image is copied to a
// private file.
//
// Errors: [ErrBusy], [ErrMissing], [ErrCorrupt] (a damaged database gives no
// backup), [ErrNoSpace].
func (m *Manager) Backup(ctx context.Context, req Request) (Backup, error) {
	if err := checkNote(req.Note); err != nil {
		return Backup{}, fmt.Errorf("backup: %w", err)
	}
	var e Backup
	op := &operation{kind: OpBackup, trigger: req.Trigger,
		failed: func(err error) { m.mem.Failure(req.Trigger, Code(err), err.Error()) }}
	err := m.perform(ctx, op, func(ctx context.Context) (_ Event, err error) {
		looked := false
		if e, looked, err = backUp(ctx, m, req); looked && err == nil && req.Kind == catalog.Auto {
			op.after = func(ctx context.Context) { pruneAfter(ctx, m, req.Trigger) }
		}
		return Event{}, err
	})
	if err != nil {
		return Backup{}, err
	}
	return e.Public(), nil
}

// backUp is Backup under the operation lock, without pruning. looked is false where the files prove that an earlier
// backup covers the database.
func backUp(ctx context.Context, m *Manager, req Request) (e Backup, looked bool, err error) {
	fingerprint, err := livedb.TakeFingerprint(m.cfg.Database)
	if errors.Is(err, fs.ErrNotExist) {
		return e, false, hint(fmt.Errorf("backup: %w: %s", ErrMissing, m.cfg.Database), "check the path; if the file was lost, run recover")
	}
	if err != nil {
		return e, false, fmt.Errorf("backup: %w", err)
	}
	if req.Kind == catalog.Auto {
		if e, ok := m.covering(fingerprint); ok {
			return e, false, unchanged(ctx, m, req.Trigger, e)
		}
	}
	m.start(ctx, "")
	state := &marked{}
	draft := makerOf(ctx, m, req, state).Draft(backup.Request(req))
	if err := draft.CheckFiles(ctx, m.cfg.lockWait(ctx)); err != nil {
		return e, false, err
	}
	snap, err := draft.BeginRead(ctx, m.cfg.lockWait(ctx), livedb.Options{SecondReader: draft.Parallel(), AvoidReadMark0: req.Trigger != catalog.TriggerShutdown})
	if err != nil {
		return e, false, err
	}
	defer snap.Close()
	if err := refuseEmptied(m, snap); err != nil {
		return e, false, err
	}
	draft.Read = snap.Choice().String()
	if err := draft.Recognise(ctx, snap.Tx); err != nil {
		return e, false, err
	}
	if _, err := notice(ctx, m, breaks.Sight{Facts: fingerprint.Lineage(draft.Contents)}); err != nil {
		return e, false, fmt.Errorf("backup: %w", err)
	}
	if *state = markState(ctx, m, snap.Tx, fingerprint); state.by != nil {
		draft.Mark = backup.Mark{Point: state.Point(), Sum: state.Sum, Checked: state.by.Checked(state.Mark), Proven: state.proven}
	}
	draft.Origin = originOf(m.cfg.Database, snap, fingerprint, draft.Contents)
	e, made, err := draft.Store(ctx, snap)
	if err == nil && !made {
		err = unchanged(ctx, m, req.Trigger, e)
	}
	return e, true, err
}

// makerOf makes backups in the operation of ctx, of a state that is marked by then.
func makerOf(ctx context.Context, m *Manager, req Request, state *marked) *backup.Maker {
	of := Event{Operation: OpBackup, Trigger: string(req.Trigger)}
	k := &backup.Maker{Prover: proverOf(ctx, m, of), Database: m.cfg.Database, Level: compressions[m.cfg.Compression]}
	k.Workers = m.cfg.backupWorkers(req)
	k.Published = func(e Backup, reason string) {
		m.capturing.Load().backedUp(*state, e)
		of.Type, of.Backup, of.Path, of.Message, of.Reason = EventBackedUp, e.ID, m.cat.Path(e), "database backed up to "+e.File, reason
		of.Done, of.Total, of.result = e.DatabaseBytes, e.DatabaseBytes, e.Public()
		of.more = Activity{Detail: e.Note, DatabaseBytes: e.DatabaseBytes, ArchiveBytes: e.ArchiveBytes, DurationMS: e.DurationMS}
		m.ev.emit(ctx, of)
	}
	return k
}

// originOf is what a backup keeps of the database that it is taken from.
func originOf(database string, snap *pages.Snapshot, fingerprint livedb.Fingerprint, contents lineage.Facts) *catalogfile.Origin {
	o := &catalogfile.Origin{Fingerprint: fingerprint, Contents: contents}
	if at, ok := snap.Position(); ok {
		o.Log = &at
	}
	if a, err := swap.AccessOf(database); err == nil { // else a restore of a missing database goes without
		kept := a.Kept()
		o.Access = &kept
	}
	return o
}

// refuseEmptied keeps a database that has become empty from covering up the
// backups that hold its data: recovery would otherwise trust the empty one.
func refuseEmptied(m *Manager, snap *pages.Snapshot) error {
	if snap.Info().PageCount > 0 {
		return nil
	}
	usable, stored, err := catalogfile.Candidates(m.cat)
	if err != nil || stored == 0 {
		return err
	}
	advice := "run recover to put the newest backup back"
	if len(usable) == 0 {
		advice = "run verify --all to see why none of them is usable, and look for copies of the backups elsewhere"
	}
	return hint(fmt.Errorf("backup: %w: %s has zero bytes, while %d backups hold data", ErrMissing, m.cfg.Database, stored), advice)
}

// unchanged reports that e still covers the database. A failure before is then
// over; otherwise nothing is written: idle means idle.
func unchanged(ctx context.Context, m *Manager, trigger Trigger, e Backup) error {
	state, err := m.mem.State()
	if err != nil {
		return err
	}
	m.ev.emit(ctx, Event{Type: EventUnchanged, Operation: OpBackup, Trigger: string(trigger), Backup: e.ID,
		Message: "database unchanged since " + e.ID, result: e.Public()})
	if _, failing := state.Failing(); failing {
		m.mem.Update("success", func(s *catalog.State) { s.Succeeded(trigger, m.now()) })
	}
	return nil
}

// covering returns the backup that the database descends from if the fingerprint
// proves that it has not changed since.
func (m *Manager) covering(fingerprint livedb.Fingerprint) (Backup, bool) {
	b, err := m.cat.Get("latest")
	if err != nil || !catalogfile.OriginOf(b).Unchanged(fingerprint) || m.cat.Present(b) != nil {
		return Backup{}, false
	}
	return b, true
}
