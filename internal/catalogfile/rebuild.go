package catalogfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/changes"
	"example.com/snapd/internal/durable"
)

// Rebuild makes the catalog again from the archives: all backups are unverified
// afterwards. Pins, notes, state and the next number are kept as far as the
// present catalog can be read. Order: by number as the catalog or the archive
// has it, then creation time, then name. Errors: ErrVersion, ErrReadOnly,
// ErrNoDirectory, ErrBusy.
func (c *Catalog) Rebuild(ctx context.Context) (ch catalog.Changes, err error) {
	found, err := c.gather(ctx)
	if err != nil {
		return ch, fmt.Errorf("rebuild catalog: %w", err)
	}
	unlock, err := c.lock(ctx)
	if err != nil {
		return ch, fmt.Errorf("rebuild catalog: %w", err)
	}
	defer func() { err = errors.Join(err, unlock()) }()
	prior, err := c.viewLocked() // one that had to be rebuilt is rebuilt already; once more does no harm
	if err != nil {
		return ch, fmt.Errorf("rebuild catalog: %w", err)
	}
	prior = prior.clone()
	doc, ch := c.compose(prior, prior.accept(found.read), found)
	if err := c.write(doc); err != nil {
		return ch, err
	}
	c.link(doc, nil)
	changes := c.TakeChanges()
	changes.Added = nil // all of them are in ch
	changes.Add(ch)
	return changes, nil
}

// gathered holds the facts from the archives and the change logs of the directory.
type gathered struct {
	read    []reading
	foreign []catalog.Foreign
	log     newestLog
}

func (c *Catalog) gather(ctx context.Context) (g gathered, err error) {
	l, err := c.scan(ctx)
	if err != nil {
		return g, err
	}
	names := make([]string, 0, len(l.files))
	for _, f := range l.files {
		names = append(names, f.name)
	}
	read, foreign, err := c.readArchives(ctx, names)
	if err != nil {
		return g, err
	}
	log, err := newestLogIn(ctx, c.dir)
	if err != nil && ctx.Err() == nil { // the archives can be restored without it
		foreign, err = append(foreign, catalog.Foreign{File: changes.Folder, Err: err}), nil
	}
	return gathered{read, append(l.foreign, foreign...), log}, err
}

// compose makes a document of the archives' entries and the prior document.
func (c *Catalog) compose(prior *document, entries []catalog.Entry, found gathered) (*document, catalog.Changes) {
	ch := catalog.Changes{Rebuilt: true, Foreign: found.foreign}
	doc := &document{nextSeq: prior.nextSeq, state: prior.state.Clone()}
	known := make(map[string]catalog.Entry, len(prior.entries))
	for _, e := range prior.entries {
		known[e.ID] = e
	}
	for i := range entries {
		e := &entries[i]
		if k, ok := known[e.ID]; ok {
			e.Pinned, e.Note, e.Copies, e.Seq = k.Pinned, k.Note, k.Copies, k.Seq
			delete(known, e.ID)
		}
	}
	unreadable := make(map[string]error)
	for _, f := range found.foreign {
		unreadable[f.File] = f.Err
	}
	for _, e := range prior.entries {
		if _, left := known[e.ID]; !left {
			continue
		}
		if why, bad := unreadable[e.File]; bad {
			// Its pin and note stay, and so does the file. It is not usable where it is damaged;
			// where it could not be read, that is for a verify to find out.
			e.Verification = catalog.Verification{State: catalog.Unverified}
			if provesDamage(why) {
				e.Verification = failure(c.now(), "the archive cannot be read: "+why.Error())
			}
			entries = append(entries, e)
		} else if _, err := os.Lstat(c.Path(e)); errors.Is(err, fs.ErrNotExist) {
			ch.Vanished = append(ch.Vanished, e)
		} else {
			entries = append(entries, e) // made since the directory was listed
		}
	}
	doc.merge(entries)
	ch.Added = doc.newestFirst()
	found.log.resume(&doc.state, ch.Added)
	return doc, ch
}

// provesDamage reports whether err says something about an archive, and not only that it
// could not be read.
func provesDamage(err error) bool {
	for _, proof := range []error{archive.ErrDamaged, archive.ErrTruncated, archive.ErrNotArchive, ErrForeign} {
		if errors.Is(err, proof) {
			return true
		}
	}
	return false
}

// replaceLost replaces a lost or damaged catalog.json and keeps a copy of it; the
// caller holds the lock. cause is what load said.
func (c *Catalog) replaceLost(cause error) (*document, error) {
	doc, ch, err := c.remake(cause)
	if err != nil {
		return nil, err
	}
	if errors.Is(cause, ErrDamaged) {
		if ch.SetAside, err = c.setAside(); err != nil {
			return nil, fmt.Errorf("keep the damaged catalog: %w", explain(err))
		}
	}
	c.adopt(doc, stamp{}) // the file has to be written, also where its stamp is as before
	if err := c.write(doc); err != nil {
		return nil, err
	}
	c.remember(ch)
	return doc, nil
}

// rebuildInMemory is replaceLost where nothing can be written, which is why.
func (c *Catalog) rebuildInMemory(cause, why error) (*document, error) {
	doc, ch, err := c.remake(cause)
	if err != nil {
		return nil, err
	}
	ch.Unsaved = why
	s := stamp{unsaved: true}
	if s.info, err = os.Lstat(c.file()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	c.adopt(doc, s)
	c.remember(ch)
	return doc, nil
}

// remake rebuilds in memory, with what the last good version and the damaged
// text still show.
func (c *Catalog) remake(cause error) (*document, catalog.Changes, error) {
	// Not bounded by a caller's patience: it can only be cut short, not done in part.
	found, err := c.gather(context.Background())
	if err != nil {
		return nil, catalog.Changes{}, errors.Join(cause, err)
	}
	salvaged, err := c.salvageFile()
	if err != nil {
		return nil, catalog.Changes{}, errors.Join(cause, err)
	}
	doc, ch := c.reassemble(cause, salvaged, found)
	return doc, ch, nil
}

// reassemble makes a document of the found archives and the salvaged lines, after cause.
func (c *Catalog) reassemble(cause error, salvaged *document, found gathered) (*document, catalog.Changes) {
	c.mu.Lock()
	known := c.doc
	c.mu.Unlock()
	if known != nil {
		salvaged.state = known.state.Clone()
	}
	entries := salvaged.accept(found.read)
	salvaged.correct(entries)
	prior := salvaged
	if known != nil {
		prior = known.over(salvaged)
	}
	var pinned []string
	if errors.Is(cause, ErrDamaged) {
		pinned = pinUnknown(prior, entries)
	}
	doc, ch := c.compose(prior, entries, found)
	ch.Reason, ch.Pinned = cause.Error(), pinned
	return doc, ch
}

// correct takes the numbers from the archives, whose digests prove them, where
// they have any: in a damaged text one may have become another.
func (d *document) correct(found []catalog.Entry) {
	recorded := make(map[string]uint64, len(found))
	for i := range found {
		recorded[found[i].ID] = found[i].Seq
	}
	for i := range d.entries {
		if seq := recorded[d.entries[i].ID]; seq > 0 {
			d.entries[i].Seq = seq
		}
	}
}

// pinUnknown pins the automatic backups for which a damaged catalog no longer shows
// whether they were: retention must never delete a pinned one.
func pinUnknown(prior *document, found []catalog.Entry) (ids []string) {
	known := make(map[string]bool, len(prior.entries))
	for i := range prior.entries {
		known[prior.entries[i].ID] = true
	}
	for i := range found {
		e := &found[i]
		if e.Kind == catalog.Auto && !e.Pinned && !known[e.ID] {
			e.Pinned = true
			ids = append(ids, e.ID)
		}
	}
	return ids
}

// over returns d, with the entries and pins that only other has, and other's state.
func (d *document) over(other *document) *document {
	out := d.clone()
	out.state = other.state
	out.nextSeq = max(out.nextSeq, other.nextSeq)
	at := make(map[string]int, len(d.entries))
	for i := range d.entries {
		at[d.entries[i].ID] = i
	}
	for _, e := range other.entries {
		if i, both := at[e.ID]; both {
			out.entries[i].Pinned = out.entries[i].Pinned || e.Pinned
		} else {
			out.entries = append(out.entries, e)
		}
	}
	return out
}

func (c *Catalog) salvageFile() (*document, error) {
	f, err := openOurs(c.file(), os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return newDocument(), nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return salvage(f), nil
}

// setAside keeps a durable copy of catalog.json; the file itself stays until
// it is replaced, so that a crash in between loses nothing.
func (c *Catalog) setAside() (string, error) {
	f, err := openOurs(c.file(), os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil // moved away
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	stem := catalogName + ".damaged-" + c.now().UTC().Format(timeLayout)
	if info.Size() > maxCatalog { // no catalog of ours, and perhaps more than the disk has room for twice
		name, err := c.freeName(stem)
		path := filepath.Join(c.dir, name)
		if err == nil {
			err = durable.Rename(c.file(), path)
		}
		return path, err
	}
	for name := range numbered(stem) {
		path := filepath.Join(c.dir, name)
		if same, err := sameText(f, info.Size(), path); err != nil || same {
			return path, err
		}
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			return path, durable.CopyFile(context.Background(), f, info.Size(), path, 0o600)
		}
	}
	return "", fmt.Errorf("too many files %s_N: remove some", stem)
}

// sameText reports whether the file at path, if any, holds what r does: one
// copy of a damage is enough, however often it is met.
func sameText(r io.ReaderAt, size int64, path string) (bool, error) {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil || !info.Mode().IsRegular() || info.Size() != size || size > maxCatalog {
		return false, err
	}
	old, err := os.ReadFile(path)
	if err != nil {
		return false, err
	}
	text := make([]byte, size)
	if _, err := r.ReadAt(text, 0); err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	return bytes.Equal(old, text), nil
}
