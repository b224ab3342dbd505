package catalogfile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/durable"
)

// LinkLatest makes the link ("data_latest.db.zst") point to the backup of [catalog.Latest]
// whose archive is there, and removes it when there is none. Nothing is written when it
// is right already. A link that cannot be made is no error, see link. Errors: ErrBusy,
// ErrReadOnly, ErrNoDirectory.
func (c *Catalog) LinkLatest() (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), rebuildWait)
	defer cancel()
	unlock, err := c.lock(ctx)
	if err != nil {
		return fmt.Errorf("link latest: %w", err)
	}
	defer func() { err = errors.Join(err, unlock()) }()
	doc, err := c.viewLocked()
	if err != nil {
		return fmt.Errorf("link latest: %w", err)
	}
	c.link(doc, nil)
	return nil
}

// Delete removes backups for good: the archive, then the entry. The link is
// moved away from them first, so that it never dangles; a crash in between
// leaves entries that Reconcile drops. Pins are the caller's business. With an
// unknown id nothing is deleted (ErrNotFound); when an archive cannot be
// removed its entry stays, and the others are deleted all the same.
func (c *Catalog) Delete(ctx context.Context, ids ...string) error {
	return c.DeleteIf(ctx, func(catalog.Entry) error { return nil }, ids...)
}

// DeleteIf is Delete of backups whose present entries pass may: the first error is
// returned, and nothing is deleted.
func (c *Catalog) DeleteIf(ctx context.Context, may func(catalog.Entry) error, ids ...string) (err error) {
	unlock, err := c.lock(ctx)
	if err != nil {
		return fmt.Errorf("delete backup: %w", err)
	}
	defer func() { err = errors.Join(err, unlock()) }()
	doc, err := c.viewLocked()
	if err != nil {
		return fmt.Errorf("delete backup: %w", err)
	}
	var going []catalog.Entry
	for _, id := range ids {
		e, err := doc.get(id)
		if err == nil {
			err = may(e)
		}
		if err != nil {
			return fmt.Errorf("delete backup: %w", err)
		}
		going = append(going, e)
	}
	doc = c.link(doc, going).clone()
	var errs []error
	for _, e := range going {
		if err := errors.Join(durable.Remove(c.Path(e)), durable.Remove(rowsPath(c, e.ID))); err != nil {
			errs = append(errs, fmt.Errorf("delete backup: %w", explain(err)))
			continue
		}
		doc.entries = slices.DeleteFunc(doc.entries, func(x catalog.Entry) bool { return x.ID == e.ID })
	}
	errs = append(errs, c.write(doc))
	if errs[0] != nil {
		c.link(doc, nil)
	}
	return errors.Join(errs...)
}

// link makes the link right for doc without the entries that are going, and returns the
// present document; the caller holds the lock. The link is a convenience, and some file systems
// (exFAT, FAT, SMB) have none: where it cannot be made there is none. That is reported once
// for each directory, and stops nothing.
func (c *Catalog) link(doc *document, going []catalog.Entry) *document {
	target, err := tryLink(c, doc, going)
	if (err != nil) == (doc.state.NoLink != "") || err == nil && target == "" {
		return doc
	}
	now := doc.clone()
	if now.state.NoLink = ""; err != nil {
		now.state.NoLink = cut(err.Error(), maxDetail)
	}
	if c.write(now) != nil {
		return doc // nothing can be written there, which another error says
	}
	if err != nil {
		c.remember(catalog.Changes{NoLink: err})
	}
	return now
}

// tryLink returns where the link leads, "" for nowhere. It fails without a link where the right
// one cannot be made: another would mislead.
func tryLink(c *Catalog, doc *document, going []catalog.Entry) (target string, err error) {
	path := filepath.Join(c.dir, c.linkName())
	target, right := c.linkTarget(doc, going)
	if right {
		return target, nil
	}
	info, err := os.Lstat(path)
	if err == nil && !info.Mode().IsRegular() && info.Mode()&fs.ModeSymlink == 0 { // a file is the link's other form
		if err := c.moveAway(c.linkName()); err != nil {
			return target, err
		}
	}
	if target == "" {
		return "", durable.Remove(path)
	}
	if err = durable.Symlink(target, path); err != nil && !c.pointsTo(path, target) {
		return target, errors.Join(err, durable.Remove(path))
	}
	return target, nil
}

// linkTarget names the file of the latest backup whose archive is there, "" for none, and
// reports whether the link is right already.
func (c *Catalog) linkTarget(doc *document, going []catalog.Entry) (target string, right bool) {
	path := filepath.Join(c.dir, c.linkName())
	there := func(yield func(catalog.Entry) bool) {
		for e := range doc.backward() {
			if !e.Usable() || slices.ContainsFunc(going, func(g catalog.Entry) bool { return g.ID == e.ID }) {
				continue
			}
			if info, err := os.Lstat(c.Path(e)); err == nil && info.Mode().IsRegular() && !yield(e) {
				return
			}
		}
	}
	if e, ok := catalog.Latest(there, doc.state); ok {
		return e.File, c.pointsTo(path, e.File)
	}
	_, err := os.Lstat(path)
	return "", errors.Is(err, fs.ErrNotExist)
}

// pointsTo recognises both forms of the link.
func (c *Catalog) pointsTo(path, target string) bool {
	info, err := os.Lstat(path)
	if err != nil {
		return false
	}
	if info.Mode()&os.ModeSymlink != 0 {
		to, err := os.Readlink(path)
		return err == nil && to == target
	}
	file, err := os.Lstat(filepath.Join(c.dir, target))
	return err == nil && os.SameFile(info, file)
}
