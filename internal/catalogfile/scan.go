package catalogfile

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/lineage"
)

// listing is what a look at the backup directory saw, by name.
type listing struct {
	files   []sized           // those that may be archives of ours
	foreign []catalog.Foreign // those that cannot be
	debris  bool              // temporary files, in use or left over
}

type sized struct {
	name string
	size int64 // bytes
}

// scan lists the directory. A missing one is empty.
func (c *Catalog) scan(ctx context.Context) (l listing, err error) {
	files, err := os.ReadDir(c.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	if err != nil {
		return l, fmt.Errorf("scan backup directory: %w", err)
	}
	l.files = make([]sized, 0, len(files))
	for _, f := range files {
		if err := context.Cause(ctx); err != nil {
			return l, err
		}
		name := f.Name()
		if strings.HasPrefix(name, durable.TempPrefix) {
			l.debris = true
			continue
		}
		if !c.looksLikeArchive(name) {
			continue
		}
		info, err := f.Info()
		switch {
		case errors.Is(err, fs.ErrNotExist): // deleted since it was listed
		case err != nil:
			return l, fmt.Errorf("scan backup directory: %w", err)
		case !info.Mode().IsRegular():
			l.foreign = append(l.foreign, catalog.Foreign{File: name, Err: fmt.Errorf("%w: not a regular file", ErrForeign)})
		case !validID(strings.TrimSuffix(name, archive.Ext)):
			l.foreign = append(l.foreign, catalog.Foreign{File: name, Err: fmt.Errorf("%w: its name cannot be an id", ErrForeign)})
		default:
			l.files = append(l.files, sized{name, info.Size()})
		}
	}
	return l, nil
}

// compare returns which files doc does not list, by name, and whether it is right about
// all that it does.
func (l *listing) compare(doc *document) (unlisted []string, right bool) {
	size := make(map[string]int64, len(doc.entries))
	for i := range doc.entries {
		size[doc.entries[i].File] = doc.entries[i].ArchiveBytes
	}
	matching := 0
	for _, f := range l.files {
		listed, ok := size[f.name]
		switch {
		case !ok:
			unlisted = append(unlisted, f.name)
		case listed == f.size:
			matching++
		}
	}
	return unlisted, matching == len(doc.entries)
}

func (c *Catalog) looksLikeArchive(name string) bool {
	return strings.HasSuffix(name, archive.Ext) && name != c.linkName()
}

// anyArchive reports whether the directory holds anything that may be an archive.
func (c *Catalog) anyArchive() (bool, error) {
	files, err := os.ReadDir(c.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("scan backup directory: %w", err)
	}
	for _, f := range files {
		if f.Type().IsRegular() && c.looksLikeArchive(f.Name()) {
			return true, nil
		}
	}
	return false, nil
}

// reading is the entry that an archive's facts make, all of them claims, and the seed of its
// page digests, which shows the directory that made it.
type reading struct {
	catalog.Entry
	seed string
}

// readArchives opens the archives. What is none of this database's is returned as foreign.
func (c *Catalog) readArchives(ctx context.Context, names []string) (read []reading, foreign []catalog.Foreign, err error) {
	for _, name := range names {
		if err := context.Cause(ctx); err != nil {
			return nil, nil, err
		}
		r, err := c.readArchive(name)
		switch {
		case errors.Is(err, fs.ErrNotExist): // deleted since it was listed
		case err != nil:
			foreign = append(foreign, catalog.Foreign{File: name, Err: err})
		default:
			read = append(read, r)
		}
	}
	return read, foreign, nil
}

func (c *Catalog) readArchive(name string) (reading, error) {
	r, err := c.openArchive(name, false)
	if err != nil {
		return reading{}, err
	}
	info, seed := r.Info(), r.Seed()
	if err := r.Close(); err != nil {
		return reading{}, err
	}
	if !c.owns(info.Database) {
		return reading{}, fmt.Errorf("%w: it is one of %.80q", ErrForeign, info.Database)
	}
	e := NewEntry(strings.TrimSuffix(name, archive.Ext), info)
	probe := e
	probe.Seq = max(1, e.Seq)
	if err := validateEntry(&probe); err != nil {
		return reading{}, fmt.Errorf("%w: %w", ErrForeign, err)
	}
	return reading{e, seed.String()}, nil
}

// accept returns the entries of the archives that were read. One of another directory's, which
// has another seed, becomes the oldest, manual and unpinned, not what it claims. Where the
// catalog has lost the seed, it is the one that most archives have, of equals the newest's.
func (d *document) accept(read []reading) []catalog.Entry {
	if d.state.PageSeed == "" {
		d.state.PageSeed = commonSeed(read)
	}
	entries := make([]catalog.Entry, 0, len(read))
	for _, r := range read {
		e := r.Entry
		if r.seed != d.state.PageSeed {
			e.Seq, e.Kind, e.Pinned, e.Adopted, e.Timeline = 0, catalog.Manual, false, true, catalog.Timeline{}
		}
		entries = append(entries, e)
	}
	return entries
}

func commonSeed(read []reading) (seed string) {
	archives, newest := make(map[string]int), make(map[string]uint64)
	for _, r := range read {
		archives[r.seed]++
		newest[r.seed] = max(newest[r.seed], r.Seq)
	}
	for s, n := range archives {
		if seed == "" || cmp.Or(cmp.Compare(n, archives[seed]), cmp.Compare(newest[s], newest[seed]), cmp.Compare(s, seed)) > 0 {
			seed = s
		}
	}
	return seed
}

// owns takes the name with and without its extension, and an archive that does
// not say whose it is.
func (c *Catalog) owns(database string) bool {
	return database == "" || database == c.base || strings.TrimSuffix(database, filepath.Ext(database)) == c.base
}

// origin is the part of Entry.Source that an archive has, too.
type origin struct {
	Contents lineage.Facts `json:"contents"`
}

// NewEntry is the entry of the archive that info describes, unverified. Seq is the
// archive's, 0 where it has none that is possible. No known kind counts as manual: such a
// backup is never pruned.
func NewEntry(id string, info archive.Info) catalog.Entry {
	e := catalog.Entry{
		ID:            id,
		File:          fileOf(id),
		Seq:           info.Seq,
		Kind:          catalog.Kind(info.Kind),
		Trigger:       catalog.Trigger(info.Trigger),
		CreatedAt:     info.CreatedAt,
		DatabaseBytes: info.ImageBytes,
		ArchiveBytes:  info.ArchiveBytes,
		PageSize:      info.PageSize,
		PageCount:     info.PageCount,
		ImageBLAKE3:   info.ImageBLAKE3,
		Verification:  catalog.Verification{State: catalog.Unverified},
		Pinned:        info.Pinned,
		Note:          cut(info.Note, maxNote),
		DurationMS:    max(0, info.DurationMS),
		Timeline:      info.Timeline,
	}
	if e.Kind != catalog.Auto {
		e.Kind = catalog.Manual
	}
	if e.Seq > maxClaim {
		e.Seq = 0
	}
	if _, _, ok := catalog.ParsePoint(info.Point); ok && info.PointSum == info.Sum.Digits() {
		e.Point = info.Point
	}
	if origin, err := json.Marshal(origin{info.Contents}); err == nil && len(origin) <= maxSource {
		e.Source = origin
	}
	normalise(&e)
	return e
}
