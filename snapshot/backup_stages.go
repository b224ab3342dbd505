package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io"

	"example.com/snapd/catalog"
	"example.com/snapd/integrity"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/catalogfile"
	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/pages"
	"example.com/snapd/internal/sqlite"
)

// image is a state of the database that can be checked and copied: the open
// transaction, or a private copy after the transaction has ended.
type image struct {
	live   livedb.Info
	copyTo func(context.Context, io.Writer, func(int64)) error
	judge  func(context.Context) (integrity.Report, error)
	// concurrent: judge may run while copyTo does.
	concurrent bool
	end        func() error // ends the transaction, or removes the copy; may be called twice
}

// parallel reports whether the check may take a core while others compress. An
// automatic backup has promised its host one.
func (b *backing) parallel() bool { return b.req.Kind != catalog.Auto && b.m.cfg.workers() > 1 }

// capture opens the snapshot's image. In rollback-journal modes every writer waits for
// our read lock, so the image is first copied out at disk speed.
func (b *backing) capture(ctx context.Context, snap *pages.Snapshot) error {
	b.began = b.m.now()
	if snap.Info().JournalMode == "wal" || b.req.Trigger == catalog.TriggerPreRestore {
		b.inPlace(snap)
		return nil
	}
	if err := durable.Preflight(b.m.cfg.Dir, snap.Info().Bytes()); err != nil {
		return fmt.Errorf("backup: spool: %w", err)
	}
	return b.spool(ctx, snap, snap.Close)
}

// inPlace reads the image in the transaction itself, which a restore keeps to the end.
func (b *backing) inPlace(snap *pages.Snapshot) {
	b.image = image{live: snap.Info(), copyTo: snap.CopyTo, end: snap.Close}
	if b.req.Trigger == catalog.TriggerPreRestore {
		b.end = func() error { return nil }
	}
	checked := snap.Tx
	if second := snap.SecondReader(); second != nil {
		checked, b.concurrent = second, true
	}
	b.judge = func(ctx context.Context) (integrity.Report, error) {
		defer checked.Prefetch(ctx)()
		return integrity.CheckTx(ctx, checked.Conn(), integrity.Options{Level: integrity.LevelQuick})
	}
}

// spool copies the image to a private file, and calls release to end the snapshot.
func (b *backing) spool(ctx context.Context, snap *pages.Snapshot, release func() error) (err error) {
	m, live := b.m, snap.Info()
	spool, err := durable.Scratch(m.cfg.Dir, "spool")
	if err != nil {
		return fmt.Errorf("backup: spool: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, spool.Close())
		}
	}()
	if err := snap.Spool(ctx, spool, b.phase(ctx, PhaseSpool, live.Bytes())); err != nil {
		return err
	}
	m.atPoint("spooled")
	if err := release(); err != nil {
		return fmt.Errorf("backup: end snapshot: %w", err)
	}
	b.image = image{live: live, concurrent: b.parallel(), end: spool.Close}
	b.copyTo = func(ctx context.Context, w io.Writer, progress func(int64)) error {
		return spool.CopyTo(ctx, w, live.Bytes(), progress)
	}
	b.judge = func(ctx context.Context) (integrity.Report, error) {
		report, err := integrity.CheckCopy(ctx, spool.Name(), integrity.Options{Level: integrity.LevelQuick})
		report.Path = m.cfg.Database
		return report, err
	}
	return nil
}

// stage compresses the image into a temporary file and proves what was stored.
func (b *backing) stage(ctx context.Context) (err error) {
	m := b.m
	latest, err := m.cat.Latest()
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	room := durable.Preflight
	if b.req.Trigger == catalog.TriggerPreRestore {
		room = durable.Fits
	}
	if err := room(m.cfg.Dir, catalog.ArchiveSize(b.live.Bytes(), latest)); err != nil {
		b.startCheck(ctx, func() {}) // damage is worse news than a full disk
		if verdict := b.verdict(); isDamage(verdict) {
			return verdict
		}
		return fmt.Errorf("backup: %w", err)
	}
	err = b.write(ctx, latest, latest != nil && b.sameAs(*latest))
	if errors.Is(err, errNotCopied) {
		err = b.write(ctx, latest, false)
	}
	return err
}

// errNotCopied: a stored backup is not what it was, and the image has to be read after all.
var errNotCopied = errors.New("the latest backup could not be copied")

// sameAs reports whether the state is proven to be that of latest, and its check with it: nothing was
// committed since, the image is of the same size, and the same SQLite found nothing wrong. That says
// what was committed, not what the disk has: a restore writes where its safety backup differs from
// the image, so that one has to be read.
func (b *backing) sameAs(latest Backup) bool {
	v := latest.Verification
	if b.req.Trigger == catalog.TriggerPreRestore || !samePosition(catalogfile.OriginOf(latest).Log, b.position) {
		return false
	}
	now, err := livedb.TakeFingerprint(b.m.cfg.Database) // after the state was pinned
	return err == nil && b.base == nil && catalogfile.OriginOf(latest).Unchanged(now) && b.live.Bytes() == latest.DatabaseBytes && b.live.PageSize == latest.PageSize &&
		v.State == catalog.Verified && v.Level != "" && v.Detail == ""
}

// samePosition reports whether the log ends at the same commit; that takes no time stamp at its word.
func samePosition(a, b *sqlite.LogPosition) bool {
	return a == nil && b == nil || a != nil && b != nil && *a == *b
}

// write writes the archive to a temporary file, and proves what was stored. With same it is a copy of latest.
func (b *backing) write(ctx context.Context, latest *Backup, same bool) (err error) {
	m := b.m
	var path string
	if b.id, path, err = m.cat.NewFile(b.req.Kind, b.began); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	if b.file, err = durable.Create(path, 0o600); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.file.Discard())
		}
	}()
	w, err := b.compress(ctx, latest, same)
	if err != nil {
		return err
	}
	m.atPoint("compressed")
	// Every byte that was stored: what was compressed by decompressing it, a frame of the base by its bytes.
	err = w.ReadBack(ctx, b.file, archive.CopyOptions{Workers: m.cfg.backupWorkers(b.req), Progress: b.phase(ctx, PhaseReadBack, b.info.ImageBytes)})
	if err != nil {
		return fmt.Errorf("backup: read back: %w", err)
	}
	b.took = m.now().Sub(b.began)
	m.atPoint("staged")
	return nil
}

// compress writes the image as an archive, and checks it before or meanwhile. Frames in which
// nothing has changed since latest are copied from there.
func (b *backing) compress(ctx context.Context, latest *Backup, same bool) (w *archive.Writer, err error) {
	m, base, broken := b.m, b.base, error(nil)
	if base == nil && latest != nil {
		if base, broken = m.cat.OpenArchive(*latest); broken == nil {
			defer base.Close() // it was only read
		}
	}
	w, err = archive.NewWriter(b.file, archive.WriterOptions{
		PageSize: b.live.PageSize, Level: compressions[m.cfg.Compression], Workers: m.cfg.backupWorkers(b.req), ScratchDir: m.cfg.Dir,
		Seed: b.seed, Base: base,
	})
	if err != nil {
		return nil, fmt.Errorf("backup: %w", err)
	}
	defer w.Abort()
	if same && base != nil && base.Info().SQLiteVersion == b.live.SQLiteVersion {
		err = w.CopyBase(ctx, b.phase(ctx, PhaseCompress, b.live.Bytes()))
		if w.BaseError() != nil {
			return nil, fmt.Errorf("%w: %w", errNotCopied, err)
		}
		b.check = check{done: closed, report: integrity.Report{Path: m.cfg.Database, Verdict: integrity.Healthy, Level: integrity.LevelQuick}}
	} else {
		err = b.copyChecked(ctx, w)
	}
	if err != nil {
		return nil, err
	}
	if err := b.end(); err != nil { // the log of the database need not grow while we prove
		m.ev.emit(ctx, Event{Type: EventWarning, Operation: OpBackup, Trigger: string(b.req.Trigger), Err: err,
			Message: "the snapshot did not end well; the backup goes on"})
	}
	facts := b.facts()
	err = m.cat.Update(ctx, func(tx *catalogfile.Tx) error {
		facts.Seq, facts.Timeline = tx.NextSeq(), tx.Present().Timeline
		return nil
	})
	if err != nil {
		return nil, err
	}
	if b.info, err = w.Finish(facts); err != nil {
		return nil, fmt.Errorf("backup: %w", err)
	}
	if b.base == nil && latest != nil {
		b.reused(ctx, *latest, w.Reused(), errors.Join(broken, w.BaseError()))
	}
	return w, nil
}

// reused keeps how many frames are those of latest, and reports what was in the way of more.
// Where that proves the stored backup damaged, it is marked failed.
func (b *backing) reused(ctx context.Context, latest Backup, frames int, broken error) {
	if b.from = ""; frames > 0 {
		b.from, b.kept = latest.ID, frames
	}
	if broken != nil {
		b.m.ev.emit(ctx, Event{Type: EventWarning, Operation: OpBackup, Trigger: string(b.req.Trigger), Backup: latest.ID,
			Err: b.m.markFailed(ctx, latest, broken), Message: "unchanged parts could not all be taken from the backup before"})
	}
}

// copyChecked copies the image to w, and returns once it has been checked as well.
func (b *backing) copyChecked(ctx context.Context, w io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	b.startCheck(ctx, cancel)
	if !b.concurrent {
		if err := b.verdict(); err != nil {
			return err
		}
	}
	err := b.copyTo(ctx, w, b.phase(ctx, PhaseCompress, b.live.Bytes()))
	if err != nil && !isDamage(err) {
		cancel()
	}
	// Damage that was in the way of copying is reported as the check sees it.
	if verdict := b.verdict(); isDamage(verdict) || err == nil {
		return verdict
	}
	return err
}

// check is the check of an image. report and err are good once done is closed.
type check struct {
	done   chan struct{}
	report integrity.Report
	err    error
}

// closed is the channel of a check that is over.
var closed = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// startCheck checks the image: at once, or concurrently with what follows. damaged is
// called when it proves damage.
func (b *backing) startCheck(ctx context.Context, damaged func()) {
	b.phase(ctx, PhaseCheck, 0)
	b.check = check{done: make(chan struct{})}
	run := func() {
		defer close(b.check.done)
		if b.check.report, b.check.err = b.judge(ctx); b.check.err == nil && b.check.report.Damaged() {
			damaged()
		}
	}
	if b.concurrent {
		go run()
		return
	}
	run()
}

// verdict waits for the end of the check. It is a [CorruptError] where the image is
// damaged.
func (b *backing) verdict() error {
	<-b.check.done
	if b.check.err == nil && b.check.report.Damaged() {
		return corrupt(b.m, b.check.report)
	}
	return b.check.err
}

// facts is what the archive keeps in addition to the image, enough to rebuild its entry.
func (b *backing) facts() archive.Facts {
	i, m := b.live, b.m
	f := archive.Facts{
		Database: m.cfg.base(), Kind: string(b.req.Kind), Trigger: string(b.req.Trigger), Note: b.req.Note, Pinned: b.req.Pin,
		CreatedAt: b.began, DurationMS: m.now().Sub(b.began).Milliseconds(),
		JournalMode: i.JournalMode, UserVersion: i.UserVersion, ApplicationID: i.ApplicationID,
		Contents: b.contents, SchemaVersion: i.SchemaVersion, Encoding: i.Encoding, AutoVacuum: i.AutoVacuum, SQLiteVersion: i.SQLiteVersion,
	}
	if b.mark.by != nil {
		f.Point, f.PointSum = b.mark.Point(), b.mark.Sum
	}
	if !b.check.report.Damaged() {
		f.CheckLevel = b.check.report.Level.String()
	}
	return f
}

// close ends the transaction or removes the private copy, and removes what was staged
// and not published. It may be called twice.
func (b *backing) close() error {
	var errs []error
	if b.end != nil {
		errs = append(errs, b.end())
	}
	if b.file != nil {
		errs = append(errs, b.file.Discard())
	}
	return errors.Join(errs...)
}

// phase announces a phase and returns its meter.
func (b *backing) phase(ctx context.Context, name Phase, total int64) func(int64) {
	return b.m.progress(ctx, Event{Operation: OpBackup, Trigger: string(b.req.Trigger), Phase: name, Total: total})
}
