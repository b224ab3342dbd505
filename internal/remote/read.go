package remote

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/catalogfile"
	"example.com/snapd/internal/changes"
	"example.com/snapd/internal/store"
	"example.com/snapd/internal/store/seal"
)

// ErrNothing: the place answers, and has no copies of snapd.
var ErrNothing = errors.New("there are no copies of snapd")

// ErrUnsealed: there are copies, and none that is sealed. With a key those do not count: who can write to the store can have made them.
var ErrUnsealed = errors.New("none of the copies there is sealed")

// ReadOptions says what a Reader may use.
type ReadOptions struct {
	Identities seal.Identities // for sealed copies
	// Scratch is a directory for the segments of the change log that are needed. It is made when one is; the caller removes it.
	Scratch string
	// Sealed: copies are sealed where they are sent. Without a key that opens them, none is read.
	Sealed bool
}

// A Reader reads the copies at a store, with nothing but that and the identities. It takes the newest catalog that it can
// read; what the catalog does not know, or all without one, comes from the names and the archives themselves. Backups and
// recovery points prove themselves as they are read. With identities only sealed copies count, and what a sealed catalog has. Its methods are for one goroutine at a time.
type Reader struct {
	ReadOptions
	// Database is the file name of the database whose copies these are, "" where that is not known.
	Database string
	// Notes say what could not be read, and was done without.
	Notes []error

	ctx     context.Context
	from    store.Store
	objects map[Name]store.Object
	backups map[string]Name // by id; of an id that was given twice the older one has its number after it: ID~NUMBER
	entries []catalog.Entry // newest first; those that count are verified
	vouched map[string]bool // ids of entries whose verification the catalog has
	state   catalog.State
	staged  map[Name]bool
	lost    map[string]error // why a backup cannot be read, by id
	locked  error            // what was sealed for other keys; nil for nothing
	open    []*blocks
}

// NewReader looks at what is there. ctx bounds all that the Reader does. Errors: ErrNothing, and the store's.
func NewReader(ctx context.Context, from store.Store, o ReadOptions) (*Reader, error) {
	r := &Reader{ReadOptions: o, ctx: ctx, from: from, backups: map[string]Name{}, lost: map[string]error{}, vouched: map[string]bool{}, staged: map[Name]bool{}}
	var err error
	if r.objects, err = list(ctx, from); err != nil {
		return nil, fmt.Errorf("read %s: %w", from, err)
	}
	if len(r.objects) == 0 {
		return nil, fmt.Errorf("read %s: %w", from, ErrNothing)
	}
	unsealed := r.choose()
	if len(r.backups) > 0 && o.Sealed && !r.keyed() {
		return nil, fmt.Errorf("read %s: %d backups are there, and no secret key was given: %w", from, len(r.backups), seal.ErrNoIdentity)
	}
	if err := r.readCatalog(ctx, unsealed); err != nil {
		return nil, fmt.Errorf("read %s: %w", from, err)
	}
	if len(unsealed) > 0 && len(r.backups) == 0 {
		return nil, fmt.Errorf("read %s: %w", from, ErrUnsealed)
	}
	return r, nil
}

// keyed reports whether there is a key: then it is known that copies are sealed.
func (r *Reader) keyed() bool { return len(r.Identities.Strings()) > 0 }

// choose looks up the backups. With a key it leaves out what is not sealed, and returns that.
func (r *Reader) choose() (unsealed map[Name]bool) {
	unsealed = map[Name]bool{}
	var backups []Name
	for n := range r.objects {
		switch {
		case r.keyed() && !n.Sealed && (n.Kind == Backup || n.Kind == Segment || n.Kind == Catalog):
			unsealed[n] = true
		case n.Kind == Backup:
			backups = append(backups, n)
		}
	}
	// The newest first, and of one backup the plain copy, which is read without a key.
	slices.SortFunc(backups, func(a, b Name) int {
		return cmp.Or(cmp.Compare(b.Number, a.Number), cmp.Compare(a.ID, b.ID), compare(a.Sealed, b.Sealed))
	})
	for _, n := range backups {
		id := n.ID
		if before, twice := r.backups[id]; twice && before.Number != n.Number {
			id = fmt.Sprintf("%s~%d", id, n.Number) // the clock was set back between them
		}
		if _, both := r.backups[id]; !both {
			r.backups[id] = n
		}
	}
	for n := range unsealed {
		if n.Kind != Backup { // a catalog may have those
			delete(r.objects, n)
		}
	}
	return unsealed
}

// vouchFor takes those of the unsealed backups that a sealed catalog has, and notes what is left out.
func (r *Reader) vouchFor(unsealed map[Name]bool, doc Document) {
	for _, b := range doc.Backups {
		n, ok := Parse(b.Object)
		if _, sealed := r.backups[n.ID]; ok && !sealed && unsealed[n] && n.ID == b.Entry.ID {
			r.backups[n.ID] = n // OpenBackup compares the digest of its image
			delete(unsealed, n)
		}
	}
	if len(unsealed) > 0 {
		r.Notes = append(r.Notes, fmt.Errorf("%d objects are not sealed, and are left out: who can write to the store can have made them; without a key they are read", len(unsealed)))
	}
}

// Close ends what is being read. Images of the Reader cannot be read after it.
func (r *Reader) Close() error {
	for _, b := range r.open {
		b.Close() // only read
	}
	r.open = nil
	return nil
}

// lost reports whether err says that an object is not there, or not readable for good. Any other error may be gone the next time.
func lost(err error) bool {
	for _, is := range []error{store.ErrMissing, store.ErrChanged, seal.ErrNoIdentity, seal.ErrDamaged, changes.ErrDamaged, errDocument} {
		if errors.Is(err, is) {
			return true
		}
	}
	return damagedArchive(err)
}

// damagedArchive reports whether err is damage of an archive.
func damagedArchive(err error) bool {
	return errors.Is(err, archive.ErrDamaged) || errors.Is(err, archive.ErrTruncated) || errors.Is(err, archive.ErrNotArchive) || errors.Is(err, archive.ErrVersion)
}

// without keeps an error of an object that can be done without, and returns any other.
func (r *Reader) without(n Name, err error) error {
	if err == nil {
		return nil
	}
	err = fmt.Errorf("%s: %w", n, err)
	if !lost(err) {
		return err
	}
	if errors.Is(err, seal.ErrNoIdentity) {
		if r.locked != nil {
			return nil // once is enough
		}
		r.locked = err
	}
	r.Notes = append(r.Notes, err)
	return nil
}

// readCatalog lists the backups.
func (r *Reader) readCatalog(ctx context.Context, unsealed map[Name]bool) error {
	doc, err := r.newestDocument(ctx)
	if err != nil {
		return err
	}
	r.vouchFor(unsealed, doc)
	r.Database, r.state.PageSeed = doc.Name, doc.PageSeed
	var unknown []string
	for id, n := range r.backups {
		i := slices.IndexFunc(doc.Backups, func(s Stored) bool { return s.Entry.ID == n.ID && s.Entry.Seq == n.Number })
		if i < 0 || catalogfile.CheckEntry(doc.Backups[i].Entry) != nil {
			unknown = append(unknown, id)
			continue
		}
		e := doc.Backups[i].Entry
		e.ID, e.Copies = id, nil
		r.vouched[id] = e.Verification.State == catalog.Verified
		r.entries = append(r.entries, e)
	}
	if err := r.readUnknown(ctx, unknown); err != nil {
		return err
	}
	slices.SortFunc(r.entries, func(a, b catalog.Entry) int {
		if a.Seq != b.Seq {
			return int(int64(b.Seq) - int64(a.Seq))
		}
		return strings.Compare(b.ID, a.ID)
	})
	return nil
}

// newestDocument is the newest catalog that can be read, an empty one where none can.
func (r *Reader) newestDocument(ctx context.Context) (Document, error) {
	var numbered []Name
	for n := range r.objects {
		if n.Kind == Catalog {
			numbered = append(numbered, n)
		}
	}
	slices.SortFunc(numbered, func(a, b Name) int { return int(int64(b.Number) - int64(a.Number)) })
	for _, n := range numbered {
		doc, err := r.document(ctx, n)
		if err == nil {
			return doc, nil
		}
		if err := r.without(n, err); err != nil {
			return Document{}, err
		}
		if errors.Is(err, seal.ErrNoIdentity) {
			break // nor will those before it
		}
	}
	return Document{}, nil
}

func (r *Reader) document(ctx context.Context, n Name) (Document, error) {
	c, err := r.content(ctx, n)
	if err != nil {
		return Document{}, err
	}
	if c.Size() > maxDocument {
		return Document{}, fmt.Errorf("%w: it has %d bytes", errDocument, c.Size())
	}
	b := newBlocks(ctx, c)
	defer b.Close()
	text := make([]byte, c.Size())
	if _, err := b.ReadAt(text, 0); err != nil {
		return Document{}, err
	}
	return DecodeDocument(bytes.NewReader(text))
}

// atOnce is how many objects are read concurrently where each takes a few requests.
const atOnce = 8

// readUnknown makes entries of backups that the catalog does not have, from their archives.
func (r *Reader) readUnknown(ctx context.Context, ids []string) error {
	type found struct {
		entry    catalog.Entry
		database string
		seed     string
		err      error
	}
	all := make([]found, len(ids))
	turns := make(chan struct{}, atOnce)
	var wait sync.WaitGroup
	for i, id := range ids {
		turns <- struct{}{}
		wait.Go(func() {
			defer func() { <-turns }()
			f := &all[i]
			f.entry, f.database, f.seed, f.err = r.fromArchive(ctx, r.backups[id])
		})
	}
	wait.Wait()
	for i, id := range ids {
		f, n := all[i], r.backups[id]
		if f.err != nil {
			f.entry, r.lost[id] = r.fromName(n, f.err), fmt.Errorf("%s: %w", n, f.err)
			if err := r.without(n, f.err); err != nil {
				return err
			}
		}
		if r.Database == "" {
			r.Database = f.database
		}
		if r.state.PageSeed == "" {
			r.state.PageSeed = f.seed
		}
		f.entry.ID = id
		r.entries = append(r.entries, f.entry)
	}
	return nil
}

// fromArchive makes the entry of a backup from its archive. It counts as verified, for only those are sent; who restores it
// checks it, since nothing vouches for it.
func (r *Reader) fromArchive(ctx context.Context, n Name) (e catalog.Entry, database, seed string, err error) {
	c, err := r.content(ctx, n)
	if err != nil {
		return e, "", "", err
	}
	b := newBlocks(ctx, c)
	defer b.Close()
	a, err := archive.NewReader(b, c.Size())
	if err != nil {
		return e, "", "", err
	}
	info := a.Info()
	e = catalogfile.NewEntry(n.ID, info)
	e.Seq = n.Number
	e.Verification = catalog.Verification{State: catalog.Verified, Level: info.CheckLevel}
	if err := catalogfile.CheckEntry(e); err != nil {
		return e, "", "", fmt.Errorf("%w: %w", archive.ErrDamaged, err)
	}
	return e, info.Database, a.Seed().String(), nil
}

// fromName is all that can be said of a backup that cannot be read, and why.
func (r *Reader) fromName(n Name, why error) catalog.Entry {
	o := r.objects[n]
	e := catalog.Entry{
		ID: n.ID, File: n.ID + archive.Ext, Seq: n.Number, Kind: catalog.Auto, CreatedAt: o.Modified.UTC(), ArchiveBytes: o.Size,
		Verification: catalog.Verification{State: catalog.Unverified, Detail: why.Error()},
	}
	if damagedArchive(why) || errors.Is(why, seal.ErrDamaged) {
		e.Verification.State = catalog.Failed
	}
	if strings.Contains(n.ID, "_MANUAL_") {
		e.Kind = catalog.Manual
	}
	for rest := n.ID; rest != ""; {
		if len(rest) >= len(nameTime) {
			if at, err := time.Parse(nameTime, rest[:len(nameTime)]); err == nil {
				e.CreatedAt = at
			}
		}
		_, rest, _ = strings.Cut(rest, "_")
	}
	return e
}

// content opens an object.
func (r *Reader) content(ctx context.Context, n Name) (content, error) {
	o := r.objects[n]
	if n.Sealed {
		return seal.Open(ctx, r.from, o, r.Identities)
	}
	return unsealed{r.from, o}, nil
}

// unsealed is an object that is not sealed.
type unsealed struct {
	from store.Store
	o    store.Object
}

func (p unsealed) Size() int64 { return p.o.Size }

func (p unsealed) Get(ctx context.Context, off, n int64) (io.ReadCloser, error) {
	return p.from.Get(ctx, p.o.Name, p.o.Version, off, n)
}

// Backups lists the backups, newest first. Of those that the catalog does not vouch for nothing is claimed.
func (r *Reader) Backups() []catalog.Entry {
	all := slices.Clone(r.entries)
	for i := range all {
		if all[i] = all[i].Public(); !r.vouched[all[i].ID] && all[i].Verification.State == catalog.Verified {
			all[i].Verification = catalog.Verification{State: catalog.Unverified}
		}
	}
	return all
}

// Vouched reports whether the catalog says that the image of a backup passed its check: then the digests of its bytes prove
// it. Else it needs a check of its own.
func (r *Reader) Vouched(e catalog.Entry) bool { return r.vouched[e.ID] }

// OpenBackup opens the archive of a backup. Close of the Reader closes those that are open.
func (r *Reader) OpenBackup(e catalog.Entry) (*archive.Reader, error) {
	n, ok := r.backups[e.ID]
	if !ok {
		return nil, fmt.Errorf("backup %s: %w", e.ID, catalogfile.ErrNotFound)
	}
	c, err := r.content(r.ctx, n)
	if err != nil {
		return nil, fmt.Errorf("backup %s: %w", e.ID, err)
	}
	b := newBlocks(r.ctx, c)
	a, err := archive.NewReader(b, c.Size())
	if err != nil {
		return nil, fmt.Errorf("backup %s: %w", e.ID, errors.Join(err, b.Close()))
	}
	r.open = append(r.open, b)
	a.Closing(closing(func() error {
		r.open = slices.DeleteFunc(r.open, func(o *blocks) bool { return o == b })
		return b.Close()
	}))
	if got := a.Info().ImageBLAKE3; got != e.ImageBLAKE3 {
		return nil, errors.Join(fmt.Errorf("backup %s: %w: the archive's image digest %s is not the catalog's %s", e.ID, archive.ErrDamaged, got, e.ImageBLAKE3), a.Close())
	}
	return a, nil
}

// closing is an io.Closer.
type closing func() error

func (c closing) Close() error { return c() }
