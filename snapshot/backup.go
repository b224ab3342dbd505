package snapshot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/integrity"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/catalogfile"
	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/pages"
	"example.com/snapd/internal/sqlitefile"
)

// Request says what kind of backup to make; see [Manual] and [Auto].
type Request struct {
	Kind    catalog.Kind
	Trigger catalog.Trigger
	Note    string
	Pin     bool
}

// Manual asks for a backup that is kept until somebody deletes it.
func Manual(note string) Request {
	return Request{Kind: catalog.Manual, Trigger: catalog.TriggerManual, Note: note}
}

// Auto asks for an automatic backup, subject to retention. When the newest
// verified backup provably still covers the database, none is made and that
// one is returned.
func Auto(trigger catalog.Trigger) Request {
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
	var b Backup
	op := &operation{kind: OpBackup, trigger: req.Trigger,
		failed: func(err error) { m.recordFailure(req.Trigger, err) }}
	err := m.perform(ctx, op, func(ctx context.Context) (Event, error) {
		made, stored, err := m.backup(ctx, req)
		if err != nil {
			return Event{}, err
		}
		b = made
		if stored && req.Kind == catalog.Auto {
			op.after = func(ctx context.Context) { m.pruneAfter(ctx, req.Trigger) }
		}
		return Event{}, nil
	})
	if err != nil {
		return Backup{}, err
	}
	return b.Public(), nil
}

// backup is Backup under the operation lock, without pruning. stored is false where
// the files alone showed that the newest backup still covers the database.
func (m *Manager) backup(ctx context.Context, req Request) (b Backup, stored bool, err error) {
	print, err := livedb.TakeFingerprint(m.cfg.Database)
	if errors.Is(err, fs.ErrNotExist) {
		return Backup{}, false, hint(fmt.Errorf("backup: %w: %s", ErrMissing, m.cfg.Database), "check the path; if the file was lost, run recover")
	}
	if err != nil {
		return Backup{}, false, fmt.Errorf("backup: %w", err)
	}
	if req.Kind == catalog.Auto {
		if b, ok := m.covering(print); ok {
			return b, false, m.unchanged(ctx, req, b)
		}
	}
	m.start(ctx, "")
	if err := m.damagedFiles(ctx); err != nil {
		return Backup{}, false, err
	}
	wait, cancel := m.lockContext(ctx)
	snap, err := pages.Begin(wait, m.cfg.Database, livedb.Options{ScratchDir: m.cfg.Dir, SecondReader: m.besides(req), AvoidReadMark0: req.Trigger != catalog.TriggerShutdown})
	cancel()
	if err != nil {
		return Backup{}, false, err
	}
	defer snap.Close()
	if err := m.refuseEmptied(snap); err != nil {
		return Backup{}, false, err
	}
	from := &origin{Fingerprint: print}
	if at, ok := snap.Position(); ok {
		from.Log = &at
	}
	b, err = m.store(ctx, snap, req, from)
	return b, true, err
}

// damagedFiles returns a [CorruptError] where a look at the files proves damage
// that no SQL tells of: SQLite pads a file that is cut short, and drops
// the commits beyond a damaged frame of a -wal. Anything less than a proof is nil:
// what SQLite makes of the database is checked later. It is called without
// a lock held, which a waiting writer would make it wait for.
func (m *Manager) damagedFiles(ctx context.Context) error {
	report, err := integrity.Check(ctx, m.cfg.Database,
		integrity.Options{Level: integrity.LevelHeader, LockWait: min(m.cfg.LockWait, 2*time.Second)})
	if err != nil || !report.Damaged() {
		return nil
	}
	return m.corrupt(report)
}

// damagedByJournal reports whether a journal lies beside the database whose rollback,
// which SQLite makes with the first opening for writing, leaves a damaged one: it may
// be another database's. Anything less than a proof is no.
func (m *Manager) damagedByJournal(ctx context.Context) bool {
	f, err := livedb.OpenSidecar(sqlitefile.Journal(m.cfg.Database))
	if err != nil {
		return false
	}
	var first [1]byte
	_, err = f.ReadAt(first[:], 0)
	if err = errors.Join(err, f.Close()); err != nil || !sqlitefile.JournalPending(first[0]) {
		return false
	}
	report, err := m.look(ctx, integrity.LevelQuick, min(m.cfg.LockWait, 2*time.Second))
	return err == nil && report.Damaged()
}

// corrupt is the error for a live database that was proven damaged, which Status
// must know of.
func (m *Manager) corrupt(report Report) error {
	report.Path = m.cfg.Database
	m.rememberCheck(report)
	return &CorruptError{What: "database " + m.cfg.Database, Report: report}
}

// store turns an open snapshot into a proven, listed backup. from, when not nil, has
// the fingerprint from before the snapshot began: it lets an image equal to the newest
// verified one be recognised and not stored again.
func (m *Manager) store(ctx context.Context, snap *pages.Snapshot, req Request, from *origin) (Backup, error) {
	began := m.now()
	src, err := m.source(ctx, snap, req)
	if err != nil {
		return Backup{}, err
	}
	defer src.close()
	if src.seed, err = m.pageSeed(ctx); err != nil {
		return Backup{}, fmt.Errorf("backup: %w", err)
	}
	st, err := m.stage(ctx, src, req, began)
	if err != nil {
		return Backup{}, err
	}
	defer st.file.Discard()
	m.atPoint("staged")
	if from != nil && req.Kind == catalog.Auto {
		if b, ok, err := m.sameImage(ctx, req, st.info, *from); ok || err != nil {
			return b, err
		}
	}
	return m.publish(ctx, st, req, *src.report, from)
}

// staged is an archive that has been written, synced and read back, not yet named.
type staged struct {
	id   string
	file *durable.File
	info archive.Info
	took time.Duration
	at   time.Time
}

// stage compresses the image into a temp file and proves what was stored.
func (m *Manager) stage(ctx context.Context, src *source, req Request, began time.Time) (_ *staged, err error) {
	if err := durable.Preflight(m.cfg.Dir, m.estimate(src.info.Bytes())); err != nil {
		m.phase(ctx, req, PhaseCheck, 0)
		src.judge(ctx, func() {}) // damage is worse news than a full disk
		if verr := m.verdict(src); isDamage(verr) {
			return nil, verr
		}
		return nil, fmt.Errorf("backup: %w", err)
	}
	id, path, err := m.cat.NewFile(req.Kind, began)
	if err != nil {
		return nil, fmt.Errorf("backup: %w", err)
	}
	file, err := durable.Create(path, 0o600)
	if err != nil {
		return nil, fmt.Errorf("backup: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, file.Discard())
		}
	}()
	info, err := m.compress(ctx, src, file, req, began)
	if err != nil {
		return nil, err
	}
	m.atPoint("compressed")
	if err := m.readBack(ctx, file, info, req); err != nil {
		return nil, err
	}
	return &staged{id: id, file: file, info: info, took: m.now().Sub(began), at: began}, nil
}

// compress writes the image as an archive, and checks it before or meanwhile.
func (m *Manager) compress(ctx context.Context, src *source, file *durable.File, req Request, began time.Time) (archive.Info, error) {
	w, err := archive.NewWriter(file, archive.WriterOptions{
		PageSize: src.info.PageSize, Level: compressions[m.cfg.Compression], Workers: m.workersFor(req), ScratchDir: m.cfg.Dir,
		Seed: src.seed, Base: src.base,
	})
	if err != nil {
		return archive.Info{}, fmt.Errorf("backup: %w", err)
	}
	defer w.Abort()
	if err := m.copyChecked(ctx, src, w, req); err != nil {
		return archive.Info{}, err
	}
	if err := src.close(); err != nil { // the log of the database need not grow while we prove
		m.ev.emit(ctx, Event{Type: EventWarning, Operation: OpBackup, Trigger: string(req.Trigger), Err: err,
			Message: "the snapshot did not end well; the backup goes on"})
	}
	facts := m.facts(src, req, began)
	err = m.cat.Update(ctx, func(tx *catalogfile.Tx) error {
		facts.Seq = tx.NextSeq()
		return nil
	})
	if err != nil {
		return archive.Info{}, err
	}
	info, err := w.Finish(facts)
	if err != nil {
		return archive.Info{}, fmt.Errorf("backup: %w", err)
	}
	return info, nil
}

// copyChecked hands the image to w, and returns when it is judged as well.
func (m *Manager) copyChecked(ctx context.Context, src *source, w *archive.Writer, req Request) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	m.phase(ctx, req, PhaseCheck, 0)
	src.judge(ctx, cancel)
	if !src.beside {
		if err := m.verdict(src); err != nil {
			return err
		}
	}
	err := src.copyTo(ctx, w, m.phase(ctx, req, PhaseCompress, src.info.Bytes()))
	if err != nil && !isDamage(err) {
		cancel()
	}
	// Damage that was in the way of copying is told as the check sees it.
	if verr := m.verdict(src); isDamage(verr) || err == nil {
		return verr
	}
	return err
}

// pageSeed is the seed of the page digests in this backup directory. The first backup
// makes it; a catalog that lost it has it again from the newest readable archive.
func (m *Manager) pageSeed(ctx context.Context) (archive.Seed, error) {
	state, err := m.cat.State()
	if err != nil {
		return 0, err
	}
	if seed, err := archive.ParseSeed(state.PageSeed); err == nil {
		return seed, nil
	}
	entries, err := m.cat.Entries() // newest first
	if err != nil {
		return 0, err
	}
	seed := archive.NewSeed()
	for _, e := range entries {
		if r, err := m.openArchive(e); err == nil {
			seed = r.Seed()
			r.Close() // it was only read
			break
		}
	}
	err = m.cat.Update(ctx, func(tx *catalogfile.Tx) error {
		if first, err := archive.ParseSeed(tx.State().PageSeed); err == nil {
			seed = first // somebody else was faster
		}
		tx.State().PageSeed = seed.String()
		return nil
	})
	return seed, err
}

// facts is what the archive keeps beside the image, enough to rebuild its entry.
func (m *Manager) facts(src *source, req Request, began time.Time) archive.Facts {
	i := src.info
	f := archive.Facts{
		Database: m.cfg.base(), Kind: string(req.Kind), Trigger: string(req.Trigger), Note: req.Note, Pinned: req.Pin,
		CreatedAt: began, DurationMS: m.now().Sub(began).Milliseconds(),
		JournalMode: i.JournalMode, UserVersion: i.UserVersion, ApplicationID: i.ApplicationID,
		SchemaVersion: i.SchemaVersion, Encoding: i.Encoding, AutoVacuum: i.AutoVacuum, SQLiteVersion: i.SQLiteVersion,
	}
	if !src.report.Damaged() {
		f.CheckLevel = src.report.Level.String()
	}
	return f
}

// readBack proves the stored bytes: every frame's checksum, every page's
// digest, and the image's against what was written.
func (m *Manager) readBack(ctx context.Context, file *durable.File, info archive.Info, req Request) error {
	r, err := archive.NewReader(file, info.ArchiveBytes)
	if err != nil {
		return fmt.Errorf("backup: read back: %w", err)
	}
	defer r.Close()
	if got := r.Info().ImageBLAKE3; got != info.ImageBLAKE3 {
		return fmt.Errorf("backup: read back: %w: image digest %s, wrote %s", archive.ErrDamaged, got, info.ImageBLAKE3)
	}
	o := archive.CopyOptions{Workers: m.workersFor(req), Progress: m.phase(ctx, req, PhaseReadBack, info.ImageBytes)}
	if err := r.Verify(ctx, o); err != nil {
		return fmt.Errorf("backup: read back: %w", err)
	}
	return nil
}

// publish gives the staged archive its name and its entry.
func (m *Manager) publish(ctx context.Context, st *staged, req Request, report integrity.Report, from *origin) (Backup, error) {
	if err := st.file.CommitNew(); err != nil {
		return Backup{}, fmt.Errorf("backup: %w", err)
	}
	m.atPoint("archive named")
	e := catalogfile.NewEntry(st.id, st.info)
	e.DurationMS = st.took.Milliseconds()
	e.Verification = verdictOf(report, m.now())
	if from != nil {
		raw, err := json.Marshal(from)
		if err != nil {
			return Backup{}, fmt.Errorf("backup: %w", err)
		}
		e.Source = raw
	}
	// The archive is complete and durable: its entry is written even when the
	// caller's context ends just now.
	ctx = context.WithoutCancel(ctx)
	err := m.cat.Update(ctx, func(tx *catalogfile.Tx) error {
		m.recordOwner(tx.State(), e.Usable())
		if e.Usable() && req.Trigger != catalog.TriggerPreRestore {
			tx.State().Succeeded(req.Trigger, m.now())
		}
		return tx.Put(e)
	})
	if err != nil {
		return Backup{}, err
	}
	m.atPoint("entry written")
	if err := m.cat.LinkLatest(); err != nil {
		return Backup{}, err
	}
	m.atPoint("latest linked")
	m.ev.emit(ctx, Event{Type: EventBackedUp, Operation: OpBackup, Trigger: string(req.Trigger), Backup: e.ID,
		Path: m.cat.Path(e), Done: e.DatabaseBytes, Total: e.DatabaseBytes, Message: "database backed up to " + e.File, result: e.Public(),
		more: Activity{Detail: e.Note, DatabaseBytes: e.DatabaseBytes, ArchiveBytes: e.ArchiveBytes, DurationMS: e.DurationMS}})
	return e, nil
}

// verdictOf is the proof of an archive whose image got report.
func verdictOf(report integrity.Report, at time.Time) catalog.Verification {
	v := catalog.Verification{State: catalog.Verified, Level: report.Level.String(), At: &at}
	if report.Damaged() {
		v.State = catalog.Failed
	}
	if report.Verdict != integrity.Healthy {
		v.Detail = string(report.Verdict)
		if len(report.Findings) > 0 {
			v.Detail += ": " + report.Findings[0].Message
		}
	}
	return v
}

// estimate guesses the stored size of an image from the newest backup's ratio.
func (m *Manager) estimate(image int64) int64 {
	if b, err := m.cat.Get("latest"); err == nil && b.DatabaseBytes > 0 {
		return int64(float64(image) * min(1, 1.2*float64(b.ArchiveBytes)/float64(b.DatabaseBytes)))
	}
	return image / 2
}

// phase announces a phase of a backup and returns its meter.
func (m *Manager) phase(ctx context.Context, req Request, name Phase, total int64) func(int64) {
	return m.progress(ctx, Event{Operation: OpBackup, Trigger: string(req.Trigger), Phase: name, Total: total})
}

// feed writes size bytes of r to w in order.
func feed(ctx context.Context, w io.Writer, r io.ReaderAt, size int64, progress func(int64)) error {
	buf := make([]byte, 1<<20)
	for off := int64(0); off < size; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(int64(len(buf)), size-off)
		if _, err := r.ReadAt(buf[:n], off); err != nil {
			return fmt.Errorf("backup: read the private copy: %w", err)
		}
		if _, err := w.Write(buf[:n]); err != nil {
			return fmt.Errorf("backup: %w", err)
		}
		off += n
		progress(off)
	}
	return nil
}
