package remote

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/catalogfile"
	"example.com/snapd/internal/changes"
	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/recorder"
)

// Facts looks up what a backup directory has to send. What does not change of the change logs is looked up once. It is for one
// goroutine at a time.
type Facts struct {
	Catalog  *catalogfile.Catalog
	Replaced func() int64 // how long backups from before a break are counted by themselves, as catalog.State has it

	bases map[uint64]string // backups that logs begin with, by timeline
	sizes map[string]int64  // of segments, by path
}

// Local is what there is now.
func (f *Facts) Local(ctx context.Context) (l Local, err error) {
	if err := f.Catalog.CheckPlace(); err != nil {
		return l, err
	}
	if l.Backups, l.State, err = f.Catalog.Read(); err != nil {
		return l, err
	}
	l.State.Replaced = f.Replaced()
	if l.Next, err = catalogfile.Next(f.Catalog); err != nil {
		return l, err
	}
	dir := filepath.Join(f.Catalog.Dir(), recorder.Dir)
	timelines, err := changes.Timelines(dir)
	if err != nil {
		return l, err
	}
	sizes := map[string]int64{}
	for _, t := range timelines {
		list, err := f.segments(ctx, t, filepath.Join(dir, strconv.FormatUint(t, 10)))
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, changes.ErrDamaged) {
			continue // there is nothing in it; or it is for a person to look at
		}
		if err != nil {
			return l, err
		}
		for _, s := range list {
			sizes[s.Path] = s.Size
		}
		l.Segments = append(l.Segments, list...)
	}
	f.sizes = sizes
	return l, nil
}

// archived is the open archive of a backup, of which all that is read is proven.
type archived struct {
	*archive.Stored
	File
}

func (a archived) ReadAt(p []byte, off int64) (int, error) { return a.Stored.ReadAt(p, off) }

// Open opens the archive of a backup. What is read of it is proven on the way to be what the catalog has.
func (f *Facts) Open(ctx context.Context, e catalog.Entry) (File, error) {
	file, err := catalogfile.OpenFile(f.Catalog, e)
	if err != nil {
		return nil, err
	}
	stored, err := archive.NewStored(ctx, file, e.ArchiveBytes)
	if err == nil && stored.Info().ImageBLAKE3 != e.ImageBLAKE3 {
		err = fmt.Errorf("%w: the archive's image digest %s is not the catalog's %s", archive.ErrDamaged, stored.Info().ImageBLAKE3, e.ImageBLAKE3)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return archived{stored, file}, nil
}

// WholeSegment proves a segment as it lies here.
func (f *Facts) WholeSegment(path string) error {
	file, err := durable.OpenRegular(path, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer file.Close() // only read
	fi, err := file.Stat()
	if err != nil {
		return err
	}
	return changes.ProveSealed(filepath.Base(path), file, fi.Size())
}

// Whole proves the archive of a backup as it lies here, byte for byte.
func (f *Facts) Whole(ctx context.Context, e catalog.Entry) error {
	file, err := catalogfile.OpenFile(f.Catalog, e)
	if err != nil {
		return err
	}
	defer file.Close() // only read
	a, err := archive.NewReader(file, e.ArchiveBytes)
	if err != nil {
		return err
	}
	return a.Verify(ctx, archive.CopyOptions{})
}

// segments are the sealed ones of a timeline, in order.
func (f *Facts) segments(ctx context.Context, timeline uint64, dir string) (list []LocalSegment, err error) {
	base, err := f.base(ctx, timeline, dir)
	if err != nil {
		return nil, err
	}
	sealed, err := changes.SealedIn(dir)
	if err != nil {
		return nil, err
	}
	for _, s := range sealed {
		n, ok := ParseSegmentFile(timeline, s.Name)
		if !ok {
			continue
		}
		path := filepath.Join(dir, s.Name)
		size, known := f.sizes[path]
		if !known {
			if fi, err := os.Lstat(path); err == nil { // else it was joined with others meanwhile
				size = fi.Size()
			}
		}
		list = append(list, LocalSegment{Name: n, Base: base, Path: path, Size: size})
	}
	return list, nil
}

// base is the backup that the log of a timeline begins with.
func (f *Facts) base(ctx context.Context, timeline uint64, dir string) (string, error) {
	if id, known := f.bases[timeline]; known {
		return id, nil
	}
	v, err := changes.Read(ctx, dir)
	if err != nil {
		return "", err
	}
	if f.bases == nil {
		f.bases = map[uint64]string{}
	}
	f.bases[timeline] = v.Head().Base
	return v.Head().Base, v.Close()
}

// Statuses are those of the remotes that the service of a backup directory sends to, and of those that are configured here.
func Statuses(ctx context.Context, f *Facts, configured []Remote, now time.Time) (all []Status, err error) {
	ledgers, err := Ledgers(f.Catalog.Dir())
	if err != nil {
		return nil, err
	}
	for _, r := range configured {
		if _, err := os.Lstat(ledgerPath(f.Catalog.Dir(), r.Name)); errors.Is(err, fs.ErrNotExist) { // no service has begun with it
			ledgers = append(ledgers, Ledger{Remote: r.Name, Where: Where(r.URL), Sealed: r.Sealed(), Period: r.Period, Keep: r.Retention})
		}
	}
	if len(ledgers) == 0 {
		return nil, nil
	}
	local, err := f.Local(ctx)
	if err != nil {
		return nil, err
	}
	for _, l := range ledgers {
		all = append(all, Judge(l, local, now))
	}
	return all, nil
}

// Unsent says for the ids of backups to which remotes they are still to be sent.
func Unsent(ctx context.Context, f *Facts, now time.Time) (map[string][]string, error) {
	ledgers, err := Ledgers(f.Catalog.Dir())
	if err != nil || len(ledgers) == 0 {
		return nil, err
	}
	local, err := f.Local(ctx)
	if err != nil {
		return nil, err
	}
	names := map[string][]string{}
	for _, l := range ledgers {
		for _, i := range Decide(local, l.Copies, Rules{From: l.From, Keep: l.Keep, Now: now}).Send {
			if i.Entry != nil {
				names[i.Entry.ID] = append(names[i.Entry.ID], l.Remote)
			}
		}
	}
	return names, nil
}
