package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/catalogfile"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/progress"
	"example.com/snapd/internal/proof"
	"example.com/snapd/internal/sqlite"
)

// sameAs reports whether the state is proven to be that of latest, and its check with it: nothing was
// committed since, the image is of the same size, and the same SQLite found nothing wrong. That says
// what was committed, not what the disk has: a restore writes where its safety backup differs from
// the image, so that one has to be read.
func (d *Draft) sameAs(latest catalog.Entry) bool {
	v, was := latest.Verification, catalogfile.OriginOf(latest)
	if d.Origin == nil || !samePosition(was.Log, d.Origin.Log) {
		return false
	}
	now, err := livedb.TakeFingerprint(d.Database) // after the state was pinned
	return err == nil && was.Unchanged(now) && d.live.Bytes() == latest.DatabaseBytes && d.live.PageSize == latest.PageSize &&
		v.State == catalog.Verified && v.Level != "" && v.Detail == ""
}

// samePosition reports whether the log ends at the same commit; that takes no time stamp at its word.
func samePosition(a, b *sqlite.LogPosition) bool {
	return a == nil && b == nil || a != nil && b != nil && *a == *b
}

// sameImage recognises that the image just staged is that of the newest backup, byte for byte:
// that backup then covers the database, and nothing is stored twice.
func (d *Draft) sameImage(ctx context.Context) (catalog.Entry, bool, error) {
	newest, err := d.Catalog.Get("latest")
	if errors.Is(err, catalogfile.ErrNotFound) || err == nil && newest.ImageBLAKE3 != d.info.ImageBLAKE3 {
		return catalog.Entry{}, false, nil
	}
	if err != nil {
		return catalog.Entry{}, false, err
	}
	point := d.point(ctx, func() (*archive.Reader, error) { return archive.NewReader(d.file, d.info.ArchiveBytes) })
	err = d.Catalog.Update(ctx, func(tx *catalogfile.Tx) (err error) {
		if newest, err = tx.Get(newest.ID); err != nil {
			return err
		}
		newest.Source, newest.Point = d.source, cmp.Or(newest.Point, point)
		tx.State().Placed = false
		return tx.Put(newest)
	})
	return newest, err == nil, err
}

// point is the recovery point that the image is proven to be, "" for none. open opens its archive.
func (d *Draft) point(ctx context.Context, open func() (*archive.Reader, error)) string {
	if d.Mark.Proven == nil {
		return ""
	}
	return d.Mark.Proven(ctx, d.info.Sum.Digits(), func(ctx context.Context, fn func(int64, archive.Digest) error) error {
		r, err := open()
		if err != nil {
			return err
		}
		defer r.Close() // it was only read
		return r.PageDigests(ctx, fn)
	})
}

// Publish gives the staged archive its name and its entry.
func (d *Draft) Publish(ctx context.Context) (catalog.Entry, error) {
	if err := d.file.CommitNew(); err != nil {
		return catalog.Entry{}, fmt.Errorf("backup: %w", err)
	}
	d.Point("archive named")
	e := catalogfile.NewEntry(d.id, d.info)
	e.DurationMS, e.Base = d.took.Milliseconds(), d.from
	e.Verification = proof.Verdict(d.check.report, d.Now())
	if d.source != nil {
		e.Source = d.source
	}
	if e.Usable() {
		e.Point = d.point(ctx, func() (*archive.Reader, error) { return d.Catalog.OpenArchive(e) })
	}
	// The archive is complete and durable: its entry is written even when the
	// caller's context ends just now.
	err := d.Catalog.Update(context.WithoutCancel(ctx), func(tx *catalogfile.Tx) error {
		tx.State().Own(catalogfile.OwnerName(d.Catalog.Dir(), d.Database), e.Usable())
		if e.Usable() && !d.preRestore() {
			tx.State().Succeeded(d.Trigger, d.Now())
			tx.State().Placed = false
		}
		return tx.Put(e)
	})
	if err != nil {
		return catalog.Entry{}, err
	}
	d.Point("entry written")
	if err := d.Catalog.LinkLatest(); err != nil { // the backup is there all the same
		d.Warn(progress.Warning{Backup: e.ID, Err: err, Message: "the link to the newest backup could not be moved"})
	}
	d.Point("latest linked")
	d.Published(e, d.reason())
	return e, nil
}

// reason says how the image was read, and what had not to be compressed or checked.
func (d *Draft) reason() string {
	var parts []string
	if d.Read != "" {
		parts = append(parts, d.Read)
	}
	if d.from != "" {
		parts = append(parts, fmt.Sprintf("%d of %d frames are unchanged since %s", d.reused, d.info.Frames, d.from))
	}
	if d.checked != "" {
		parts = append(parts, "its pages are those of "+d.checked+", which was checked")
	}
	return strings.Join(parts, "; ")
}
