// Package backup makes a backup of a pinned state of the database: an archive in a temporary file, checked and read
// back before it has a name and an entry in the catalog. A restore makes its safety backup by the same stages.
package backup

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/integrity"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/catalogfile"
	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/lineage"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/pages"
	"example.com/snapd/internal/progress"
	"example.com/snapd/internal/proof"
)

// Maker makes backups of one database, for one operation.
type Maker struct {
	*proof.Prover // its Workers compress and read back
	Database      string
	Level         archive.Level
	// Published hears of each backup that is listed in the catalog, and how it was made.
	Published func(made catalog.Entry, reason string)
}

// Request says what kind of backup to make.
type Request struct {
	Kind    catalog.Kind
	Trigger catalog.Trigger
	Note    string
	Pin     bool
}

// preRestore: it is the safety backup of a restore, whose transaction it is read in.
func (r Request) preRestore() bool { return r.Trigger == catalog.TriggerPreRestore }

// Draft is one backup on its way from the live database to its entry:
//
//	capture   pin a state of the database; where writers would wait, copy it out
//	stage     compress the image into a temporary file while it is checked; read it back
//	publish   rename the file, write the entry, move the link to the latest
type Draft struct {
	*Maker
	Request
	Began time.Time
	Seed  archive.Seed    // of the page digests
	Base  *archive.Reader // of a similar image, whose frames are reused; nil for that of the latest backup
	Read  string          // by which strategy the live database was read, and why

	// Origin is where the image is from; nil for a safety backup. It lets an image that is
	// equal to the newest one be recognised and not stored again.
	Origin   *catalogfile.Origin
	Contents lineage.Facts // what the database is recognised by
	Mark     Mark

	image
	check check

	// What has been staged: written and read back, not yet synced and named.
	id     string
	file   *durable.File
	info   archive.Info
	source json.RawMessage // of Origin
	from   string          // id of the backup that has some of its frames, "" for none
	// checked is the recovery point as which the state was checked, "" where that was done for this backup.
	checked string
	reused  int // how many
	took    time.Duration
}

// Mark is the state in the change log; the zero Mark where it is no recovery point.
type Mark struct {
	Point, Sum string
	// Checked: a quick check by this program, of all pages of that state, found nothing.
	Checked bool
	// Proven compares Sum with that of the image which was read, and returns the point that the backup is of;
	// digests gives the pages of that image.
	Proven func(ctx context.Context, sum string, digests Digests) (point string)
}

// Digests calls fn with the digest of each page of an image, in order.
type Digests func(ctx context.Context, fn func(pgno int64, d archive.Digest) error) error

// Draft begins a backup.
func (k *Maker) Draft(r Request) *Draft { return &Draft{Maker: k, Request: r, Began: k.Now()} }

// BeginRead begins a snapshot of the live database, and waits for its locks as long as wait.
func (k *Maker) BeginRead(ctx context.Context, wait time.Duration, o livedb.Options) (*pages.Snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	o.ScratchDir = k.Catalog.Dir()
	return pages.Begin(ctx, k.Database, o)
}

// Recognise keeps what the database is recognised by. That it cannot be found out is no reason
// to do without the backup: then nothing is known of it.
func (d *Draft) Recognise(ctx context.Context, tx *livedb.Tx) (err error) {
	if d.Contents, err = tx.Lineage(ctx); err != nil {
		d.Contents = lineage.Facts{}
	}
	return ctx.Err()
}

// Store turns an open snapshot into a proven, listed backup. Where the image of an automatic one is that of the newest
// backup, it returns that, and new is false.
func (d *Draft) Store(ctx context.Context, snap *pages.Snapshot) (made catalog.Entry, new bool, err error) {
	if err := d.capture(ctx, snap); err != nil {
		return made, false, err
	}
	defer d.Close()
	if d.Seed, err = d.Catalog.PageSeed(ctx); err != nil {
		return made, false, fmt.Errorf("backup: %w", err)
	}
	if err := d.Stage(ctx); err != nil {
		return made, false, err
	}
	if d.Origin != nil && d.Kind == catalog.Auto {
		if e, same, err := d.sameImage(ctx); same || err != nil {
			return e, false, err
		}
	}
	made, err = d.Publish(ctx)
	return made, true, err
}

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

// Parallel reports whether the check may take a core while others compress. An
// automatic backup has promised its host one.
func (d *Draft) Parallel() bool { return d.Kind != catalog.Auto && d.Workers > 1 }

// capture opens the snapshot's image. In rollback-journal modes every writer waits for
// our read lock, so the image is first copied out at disk speed.
func (d *Draft) capture(ctx context.Context, snap *pages.Snapshot) error {
	d.Began = d.Now()
	if snap.Info().JournalMode == "wal" || d.preRestore() {
		d.InPlace(snap)
		return nil
	}
	if err := durable.Preflight(d.Catalog.Dir(), snap.Info().Bytes()); err != nil {
		return fmt.Errorf("backup: spool: %w", err)
	}
	return d.Spool(ctx, snap, snap.Close)
}

// InPlace reads the image in the transaction itself, which a restore keeps to the end.
func (d *Draft) InPlace(snap *pages.Snapshot) {
	d.image = image{live: snap.Info(), copyTo: snap.CopyTo, end: snap.Close}
	if d.preRestore() {
		d.end = func() error { return nil }
	}
	checked := snap.Tx
	if second := snap.SecondReader(); second != nil {
		checked, d.concurrent = second, true
	}
	d.judge = func(ctx context.Context) (integrity.Report, error) {
		defer checked.Prefetch(ctx)()
		return integrity.CheckTx(ctx, checked.Conn(), integrity.Options{Level: integrity.LevelQuick})
	}
}

// Spool copies the image to a private file, and calls release to end the snapshot.
func (d *Draft) Spool(ctx context.Context, snap *pages.Snapshot, release func() error) (err error) {
	live := snap.Info()
	spool, err := durable.Scratch(d.Catalog.Dir(), "spool")
	if err != nil {
		return fmt.Errorf("backup: spool: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, spool.Close())
		}
	}()
	if err := snap.Spool(ctx, spool, d.Phase(progress.Spool, live.Bytes())); err != nil {
		return err
	}
	d.Point("spooled")
	if err := release(); err != nil {
		return fmt.Errorf("backup: end snapshot: %w", err)
	}
	d.image = image{live: live, concurrent: d.Parallel(), end: spool.Close}
	d.copyTo = func(ctx context.Context, w io.Writer, progress func(int64)) error {
		return spool.CopyTo(ctx, w, live.Bytes(), progress)
	}
	d.judge = func(ctx context.Context) (integrity.Report, error) {
		report, err := integrity.CheckCopy(ctx, spool.Name(), integrity.Options{Level: integrity.LevelQuick})
		report.Path = d.Database
		return report, err
	}
	return nil
}

// Stage compresses the image into a temporary file and proves what was stored.
func (d *Draft) Stage(ctx context.Context) (err error) {
	if d.Origin != nil && d.source == nil {
		if d.source, err = json.Marshal(d.Origin); err != nil {
			return fmt.Errorf("backup: %w", err)
		}
	}
	if d.Mark.Proven == nil {
		d.Mark = newestCapture(ctx, d.Catalog)
	}
	latest, err := d.Catalog.Latest()
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	room := durable.Preflight
	if d.preRestore() {
		room = durable.Fits
	}
	if err := room(d.Catalog.Dir(), catalog.ArchiveSize(d.live.Bytes(), latest)); err != nil {
		d.startCheck(ctx, func() {}) // damage is worse news than a full disk
		if verdict := d.verdict(); IsDamage(verdict) {
			return verdict
		}
		return fmt.Errorf("backup: %w", err)
	}
	err = d.write(ctx, latest, latest != nil && d.sameAs(*latest))
	if errors.Is(err, errNotCopied) {
		err = d.write(ctx, latest, false)
	}
	return err
}

// errNotCopied: a stored backup is not what it was, and the image has to be read after all.
var errNotCopied = errors.New("the latest backup could not be copied")

// write writes the archive to a temporary file, and proves what was stored. With same it is a copy of latest.
func (d *Draft) write(ctx context.Context, latest *catalog.Entry, same bool) (err error) {
	var path string
	if d.id, path, err = d.Catalog.NewFile(d.Kind, d.Began); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	if d.file, err = durable.Create(path, 0o600); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.file.Discard())
		}
	}()
	w, err := d.compress(ctx, latest, same)
	if err != nil {
		return err
	}
	d.Point("compressed")
	if err := d.readBack(ctx, w); err != nil {
		return err
	}
	d.took = d.Now().Sub(d.Began)
	d.Point("staged")
	return nil
}

// compress writes the image as an archive, and checks it before or meanwhile. Frames in which
// nothing has changed since latest are copied from there.
func (d *Draft) compress(ctx context.Context, latest *catalog.Entry, same bool) (w *archive.Writer, err error) {
	base, broken := d.Base, error(nil)
	if base == nil && latest != nil {
		if base, broken = d.Catalog.OpenArchive(*latest); broken == nil {
			defer base.Close() // it was only read
		}
	}
	w, err = archive.NewWriter(d.file, archive.WriterOptions{
		PageSize: d.live.PageSize, Level: d.Level, Workers: d.Workers, ScratchDir: d.Catalog.Dir(), Seed: d.Seed, Base: base,
	})
	if err != nil {
		return nil, fmt.Errorf("backup: %w", err)
	}
	defer w.Abort()
	if same && base != nil && base.Info().SQLiteVersion == d.live.SQLiteVersion {
		err = w.CopyBase(ctx, d.Phase(progress.Compress, d.live.Bytes()))
		if w.BaseError() != nil {
			return nil, fmt.Errorf("%w: %w", errNotCopied, err)
		}
		d.check = d.checkedBefore()
	} else if d.Mark.Checked {
		err = d.copyOfChecked(ctx, w)
	} else {
		err = d.copyChecked(ctx, w)
	}
	if err != nil {
		return nil, err
	}
	if err := d.end(); err != nil { // the log of the database need not grow while we prove
		d.Warn(progress.Warning{Err: err, Message: "the snapshot did not end well; the backup goes on"})
	}
	facts := d.facts()
	err = d.Catalog.Update(ctx, func(tx *catalogfile.Tx) error {
		facts.Seq, facts.Timeline = tx.NextSeq(), tx.Present().Timeline
		return nil
	})
	if err != nil {
		return nil, err
	}
	if d.info, err = w.Finish(facts); err != nil {
		return nil, fmt.Errorf("backup: %w", err)
	}
	if d.Base == nil && latest != nil {
		d.noteReused(ctx, *latest, w.Reused(), errors.Join(broken, w.BaseError()))
	}
	return w, nil
}

// copyChecked copies the image to w, and returns once it has been checked as well.
func (d *Draft) copyChecked(ctx context.Context, w io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	d.startCheck(ctx, cancel)
	if !d.concurrent {
		if err := d.verdict(); err != nil {
			return err
		}
	}
	err := d.copyTo(ctx, w, d.Phase(progress.Compress, d.live.Bytes()))
	if err != nil && !IsDamage(err) {
		cancel()
	}
	// Damage that was in the way of copying is reported as the check sees it.
	if verdict := d.verdict(); IsDamage(verdict) || err == nil {
		return verdict
	}
	return err
}

// copyOfChecked copies the image to w where its state was checked before. The sum of what was read proves that it is that
// state; where it is not, it is checked now.
func (d *Draft) copyOfChecked(ctx context.Context, w *archive.Writer) error {
	var sum archive.Sum
	err := d.copyTo(ctx, w, d.Phase(progress.Compress, d.live.Bytes()))
	if err == nil {
		sum, err = w.Sum()
	}
	if err == nil && sum.Digits() == d.Mark.Sum {
		d.check, d.checked = d.checkedBefore(), d.Mark.Point
		return nil
	}
	if err != nil && !IsDamage(err) {
		return err
	}
	d.startCheck(ctx, func() {})
	return cmp.Or(d.verdict(), err)
}

// noteReused keeps how many frames are those of latest, and reports what was in the way of more.
// Where that proves the stored backup damaged, it is marked failed.
func (d *Draft) noteReused(ctx context.Context, latest catalog.Entry, frames int, broken error) {
	if d.from = ""; frames > 0 {
		d.from, d.reused = latest.ID, frames
	}
	if broken != nil {
		d.Warn(progress.Warning{Backup: latest.ID, Err: d.MarkFailed(ctx, latest, broken), Message: "unchanged parts could not all be taken from the backup before"})
	}
}

// facts is what the archive keeps in addition to the image, enough to rebuild its entry.
func (d *Draft) facts() archive.Facts {
	i := d.live
	f := archive.Facts{
		Database: d.Catalog.Base(), Kind: string(d.Kind), Trigger: string(d.Trigger), Note: d.Note, Pinned: d.Pin,
		CreatedAt: d.Began, DurationMS: d.Now().Sub(d.Began).Milliseconds(),
		JournalMode: i.JournalMode, UserVersion: i.UserVersion, ApplicationID: i.ApplicationID,
		Contents: d.Contents, SchemaVersion: i.SchemaVersion, Encoding: i.Encoding, AutoVacuum: i.AutoVacuum, SQLiteVersion: i.SQLiteVersion,
		Point: d.Mark.Point, PointSum: d.Mark.Sum,
	}
	if !d.check.report.Damaged() {
		f.CheckLevel = d.check.report.Level.String()
	}
	return f
}

// Reader reads what was staged, which is synced for that: Publish syncs it, too, and writers may be waiting then.
func (d *Draft) Reader() (*archive.Reader, error) {
	if err := d.file.Sync(); err != nil {
		return nil, err
	}
	return archive.NewReader(d.file, d.info.ArchiveBytes)
}

// Close ends the transaction or removes the private copy, and removes what was staged
// and not published. It may be called twice.
func (d *Draft) Close() error {
	var errs []error
	if d.end != nil {
		errs = append(errs, d.end())
	}
	if d.file != nil {
		errs = append(errs, d.file.Discard())
	}
	return errors.Join(errs...)
}
