package snapshot

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/integrity"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/breaks"
	"example.com/snapd/internal/catalogfile"
	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/lineage"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/pages"
	"example.com/snapd/internal/recovery"
	"example.com/snapd/internal/sqlite"
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
	var made Backup
	op := &operation{kind: OpBackup, trigger: req.Trigger,
		failed: func(err error) { m.mem.Failure(req.Trigger, Code(err), err.Error()) }}
	err := m.perform(ctx, op, func(ctx context.Context) (Event, error) {
		b := &backing{m: m, req: req}
		entry, err := b.run(ctx)
		if err != nil {
			return Event{}, err
		}
		made = entry
		if b.file != nil && req.Kind == catalog.Auto {
			op.after = func(ctx context.Context) { pruneAfter(ctx, m, req.Trigger) }
		}
		return Event{}, nil
	})
	if err != nil {
		return Backup{}, err
	}
	return made.Public(), nil
}

// backing is one backup, from the live database to its entry:
//
//	capture   pin a state of the database; where writers would wait, copy it out
//	stage     compress the image into a temporary file while it is checked; read it back
//	publish   rename the file, write the entry, move the link to the latest
//
// A restore makes its safety backup by the same stages, in a transaction of its own.
type backing struct {
	m     *Manager
	req   Request
	began time.Time
	// source is the origin of the image; nil for a safety backup. It lets an image that is
	// equal to the newest one be recognised and not stored again.
	source   json.RawMessage
	position *sqlite.LogPosition // of the state, in the log; nil without one
	contents lineage.Facts       // what the database is recognised by
	mark     marked              // the state in the change log
	read     string              // by which strategy the live database was read, and why

	image
	seed  archive.Seed    // of the page digests
	base  *archive.Reader // of a similar image, whose frames are reused; nil for that of latest
	check check

	// What has been staged: written and read back, not yet synced and named.
	id   string
	file *durable.File
	info archive.Info
	from string // id of the backup that has some of its frames, "" for none
	kept int    // how many
	took time.Duration
}

// run is Backup under the operation lock, without pruning.
func (b *backing) run(ctx context.Context) (Backup, error) {
	m := b.m
	fingerprint, err := livedb.TakeFingerprint(m.cfg.Database)
	if errors.Is(err, fs.ErrNotExist) {
		return Backup{}, hint(fmt.Errorf("backup: %w: %s", ErrMissing, m.cfg.Database), "check the path; if the file was lost, run recover")
	}
	if err != nil {
		return Backup{}, fmt.Errorf("backup: %w", err)
	}
	if b.req.Kind == catalog.Auto {
		if e, ok := m.covering(fingerprint); ok {
			return e, b.unchanged(ctx, e)
		}
	}
	m.start(ctx, "")
	if err := m.damagedFiles(ctx); err != nil {
		return Backup{}, err
	}
	snap, err := m.pin(ctx, livedb.Options{SecondReader: b.parallel(), AvoidReadMark0: b.req.Trigger != catalog.TriggerShutdown})
	if err != nil {
		return Backup{}, err
	}
	defer snap.Close()
	if err := b.refuseEmptied(snap); err != nil {
		return Backup{}, err
	}
	b.read = snap.Choice().String()
	if err := b.recognise(ctx, snap.Tx); err != nil {
		return Backup{}, err
	}
	if _, err := notice(ctx, m, breaks.Sight{Facts: fingerprint.Lineage(b.contents)}); err != nil {
		return Backup{}, fmt.Errorf("backup: %w", err)
	}
	b.mark = markState(ctx, m, snap.Tx, fingerprint)
	from := catalogfile.Origin{Fingerprint: fingerprint, Contents: b.contents}
	if at, ok := snap.Position(); ok {
		b.position, from.Log = &at, &at
	}
	if a, err := swap.AccessOf(m.cfg.Database); err == nil { // else a restore of a missing database goes without
		kept := a.Kept()
		from.Access = &kept
	}
	if b.source, err = json.Marshal(from); err != nil {
		return Backup{}, fmt.Errorf("backup: %w", err)
	}
	return b.store(ctx, snap)
}

// recognise keeps what the database is recognised by. That it cannot be found out is no reason
// to do without the backup: then nothing is known of it.
func (b *backing) recognise(ctx context.Context, tx *livedb.Tx) (err error) {
	if b.contents, err = tx.Lineage(ctx); err != nil {
		b.contents = lineage.Facts{}
	}
	return ctx.Err()
}

// pin begins a snapshot of the live database.
func (m *Manager) pin(ctx context.Context, o livedb.Options) (*pages.Snapshot, error) {
	wait, cancel := context.WithTimeout(ctx, m.cfg.lockWait(ctx))
	defer cancel()
	o.ScratchDir = m.cfg.Dir
	return pages.Begin(wait, m.cfg.Database, o)
}

// damagedFiles returns a [CorruptError] where the files prove damage that SQLite does not
// report: it pads a file that is cut short, and drops the commits beyond a damaged frame
// of a -wal. Where another program is at work on them all the time, its SQLite has the
// whole log: that is no damage. What could not be looked at is an error. It is called
// without a lock held, which a waiting writer would make it wait for.
func (m *Manager) damagedFiles(ctx context.Context) error {
	report, err := integrity.Check(ctx, m.cfg.Database,
		integrity.Options{Level: integrity.LevelHeader, LockWait: min(m.cfg.lockWait(ctx), 2*time.Second)})
	switch {
	case errors.Is(explain(err), ErrBusy):
		return nil
	case err != nil:
		return err
	case !report.Damaged():
		return nil
	}
	return corrupt(m, report)
}

// corrupt keeps that the live database was proven damaged, and returns the error for it.
func corrupt(m *Manager, report Report) error {
	report.Path = m.cfg.Database
	m.mem.Check(report)
	err := &CorruptError{What: "database " + m.cfg.Database, Report: report}
	if usable, _, unknown := recovery.Candidates(m.cat); unknown == nil && len(usable) == 0 {
		return hint(err, adviceWithoutBackup(report))
	}
	return err
}

// adviceWithoutBackup is what helps with a damaged database of which there is no good backup.
func adviceWithoutBackup(report Report) string {
	if report.Verdict == integrity.NotADatabase {
		return "is it the right file? One that is encrypted cannot be read here; there is no good backup to put back"
	}
	return "there is no good backup to put back; recover repairs it where that loses no row, and salvage copies the rows that can still be read into a new file"
}

// refuseEmptied keeps a database that has become empty from covering up the
// backups that hold its data: recovery would otherwise trust the empty one.
func (b *backing) refuseEmptied(snap *pages.Snapshot) error {
	if snap.Info().PageCount > 0 {
		return nil
	}
	usable, stored, err := recovery.Candidates(b.m.cat)
	if err != nil || stored == 0 {
		return err
	}
	advice := "run recover to put the newest backup back"
	if len(usable) == 0 {
		advice = "run verify --all to see why none of them is usable, and look for copies of the backups elsewhere"
	}
	return hint(fmt.Errorf("backup: %w: %s has zero bytes, while %d backups hold data", ErrMissing, b.m.cfg.Database, stored), advice)
}

// store turns an open snapshot into a proven, listed backup.
func (b *backing) store(ctx context.Context, snap *pages.Snapshot) (Backup, error) {
	if err := b.capture(ctx, snap); err != nil {
		return Backup{}, err
	}
	defer b.close()
	var err error
	if b.seed, err = b.m.cat.PageSeed(ctx); err != nil {
		return Backup{}, fmt.Errorf("backup: %w", err)
	}
	if err := b.stage(ctx); err != nil {
		return Backup{}, err
	}
	if b.source != nil && b.req.Kind == catalog.Auto {
		if e, ok, err := b.sameImage(ctx); ok || err != nil {
			return e, err
		}
	}
	return b.publish(ctx)
}

// sameImage recognises that the image just staged is the head's, byte for byte:
// that backup then covers the database, and nothing is stored twice.
func (b *backing) sameImage(ctx context.Context) (Backup, bool, error) {
	head, err := b.m.cat.Get("latest")
	if errors.Is(err, catalogfile.ErrNotFound) || err == nil && head.ImageBLAKE3 != b.info.ImageBLAKE3 {
		return Backup{}, false, nil
	}
	if err != nil {
		return Backup{}, false, err
	}
	point := b.mark.proven(b.info.Sum.Digits())
	err = b.m.cat.Update(ctx, func(tx *catalogfile.Tx) (err error) {
		if head, err = tx.Get(head.ID); err != nil {
			return err
		}
		head.Source, head.Point = b.source, cmp.Or(head.Point, point)
		tx.State().Placed = false
		return tx.Put(head)
	})
	if err != nil {
		return Backup{}, false, err
	}
	return head, true, b.unchanged(ctx, head)
}

// unchanged reports that e still covers the database. A failure before is then
// over; otherwise nothing is written: idle means idle.
func (b *backing) unchanged(ctx context.Context, e Backup) error {
	m := b.m
	state, err := m.mem.State()
	if err != nil {
		return err
	}
	m.ev.emit(ctx, Event{Type: EventUnchanged, Operation: OpBackup, Trigger: string(b.req.Trigger), Backup: e.ID,
		Message: "database unchanged since " + e.ID, result: e.Public()})
	if _, failing := state.Failing(); failing {
		m.mem.Update("success", func(s *catalog.State) { s.Succeeded(b.req.Trigger, m.now()) })
	}
	return nil
}

// publish gives the staged archive its name and its entry.
func (b *backing) publish(ctx context.Context) (Backup, error) {
	m := b.m
	if err := b.file.CommitNew(); err != nil {
		return Backup{}, fmt.Errorf("backup: %w", err)
	}
	m.atPoint("archive named")
	e := catalogfile.NewEntry(b.id, b.info)
	e.DurationMS, e.Base = b.took.Milliseconds(), b.from
	e.Verification = verdictOf(b.check.report, m.now())
	if b.source != nil {
		e.Source = b.source
	}
	if e.Usable() {
		e.Point = b.mark.proven(b.info.Sum.Digits())
	}
	// The archive is complete and durable: its entry is written even when the
	// caller's context ends just now.
	ctx = context.WithoutCancel(ctx)
	err := m.cat.Update(ctx, func(tx *catalogfile.Tx) error {
		tx.State().Own(catalogfile.OwnerName(m.cfg.Dir, m.cfg.Database), e.Usable())
		if e.Usable() && b.req.Trigger != catalog.TriggerPreRestore {
			tx.State().Succeeded(b.req.Trigger, m.now())
			tx.State().Placed = false
		}
		return tx.Put(e)
	})
	if err != nil {
		return Backup{}, err
	}
	m.atPoint("entry written")
	m.capturing.Load().backedUp(b.mark, e)
	if err := m.cat.LinkLatest(); err != nil { // the backup is there all the same
		m.ev.emit(ctx, Event{Type: EventWarning, Operation: OpBackup, Trigger: string(b.req.Trigger), Backup: e.ID, Err: err,
			Message: "the link to the newest backup could not be moved"})
	}
	m.atPoint("latest linked")
	m.ev.emit(ctx, Event{Type: EventBackedUp, Operation: OpBackup, Trigger: string(b.req.Trigger), Backup: e.ID,
		Path: m.cat.Path(e), Done: e.DatabaseBytes, Total: e.DatabaseBytes, Message: "database backed up to " + e.File, Reason: b.reason(), result: e.Public(),
		more: Activity{Detail: e.Note, DatabaseBytes: e.DatabaseBytes, ArchiveBytes: e.ArchiveBytes, DurationMS: e.DurationMS}})
	return e, nil
}

// reason says how the image was read, and what had not to be compressed.
func (b *backing) reason() string {
	if b.from == "" {
		return b.read
	}
	copied := fmt.Sprintf("%d of %d frames are unchanged since %s", b.kept, b.info.Frames, b.from)
	if b.read == "" {
		return copied
	}
	return b.read + "; " + copied
}

// verdictOf is the proof of an archive whose image got report.
func verdictOf(report integrity.Report, at time.Time) catalog.Verification {
	v := catalog.Verification{State: catalog.Verified, Level: report.Level.String(), At: &at}
	if report.Damaged() {
		v.State = catalog.Failed
	}
	if report.FullOnly() { // it can be restored, and a recovery repairs it
		v.State, v.Level = catalog.Verified, integrity.LevelQuick.String()
	}
	if report.Verdict != integrity.Healthy {
		v.Detail = string(report.Verdict)
		if len(report.Findings) > 0 {
			v.Detail += ": " + report.Findings[0].Message
		}
	}
	return v
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
