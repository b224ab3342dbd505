package catalogfile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/durable"
)

// Reconcile brings the catalog in line with the directory: entries whose
// archive is gone are dropped, archives without entry are added as unverified,
// an archive of another size than its entry's makes it failed, leftovers of
// crashed runs are removed unless an operation runs, and the link to the newest
// verified backup is put right. Files that are no archives of this database
// are only reported; so is a directory that others can write in. Nothing is written when nothing changed. In a directory
// that cannot be written the outcome is kept in memory (Changes.Unsaved).
//
// The operation lock distinguishes leftovers from files in use: a process that
// makes temporary files in the directory holds it. op is that lock where the
// caller holds it, else nil.
func (c *Catalog) Reconcile(ctx context.Context, op *Lock) (catalog.Changes, error) {
	doc, err := c.view()
	if err != nil {
		return catalog.Changes{}, fmt.Errorf("reconcile: %w", err)
	}
	ch := c.TakeChanges()
	ch.Exposed = Exposure(c.dir)
	seen, err := c.scan(ctx)
	if err != nil {
		return ch, fmt.Errorf("reconcile: %w", err)
	}
	unlisted, right := seen.compare(doc)
	fresh, foreign, err := c.readArchives(ctx, unlisted)
	if err != nil {
		return ch, fmt.Errorf("reconcile: %w", err)
	}
	ch.Add(catalog.Changes{Foreign: append(seen.foreign, foreign...)})
	if seen.debris {
		swept, err := c.sweep(ctx, op)
		ch.Swept = append(ch.Swept, swept...)
		if err != nil {
			return ch, fmt.Errorf("reconcile: %w", err)
		}
	}
	if !right || len(fresh) > 0 {
		_, found := c.align(doc, seen, fresh)
		right = found.Empty()
	}
	if _, linked := c.linkTarget(doc, nil); right && linked {
		return ch, nil
	}
	found, err := c.store(ctx, seen, fresh)
	if errors.Is(err, ErrReadOnly) {
		found, err = c.keepInMemory(doc, seen, fresh, err), nil
	}
	ch.Add(found)
	if err != nil {
		return ch, fmt.Errorf("reconcile: %w", err)
	}
	return ch, nil
}

// align returns doc as the directory wants it, and the differences.
func (c *Catalog) align(doc *document, seen listing, fresh []reading) (*document, catalog.Changes) {
	var ch catalog.Changes
	out := &document{nextSeq: doc.nextSeq, state: doc.state.Clone(), entries: make([]catalog.Entry, 0, len(doc.entries)+len(fresh))}
	sizes := make(map[string]int64, len(seen.files))
	for _, f := range seen.files {
		sizes[f.name] = f.size
	}
	for _, e := range doc.entries {
		size, ok := sizes[e.File]
		if !ok || size != e.ArchiveBytes {
			size, ok = c.sizeNow(e) // another process may have been at work since the look
		}
		if !ok {
			ch.Vanished = append(ch.Vanished, e)
			continue
		}
		if size != e.ArchiveBytes && e.Verification.State != catalog.Failed {
			e.Verification = failure(c.now(), fmt.Sprintf("the archive has %d bytes, not %d", size, e.ArchiveBytes))
			ch.Resized = append(ch.Resized, e)
		}
		out.entries = append(out.entries, e)
	}
	for _, e := range out.accept(fresh) {
		if _, there := c.sizeNow(e); !there || out.find(e.ID) >= 0 {
			continue
		}
		inherit(&e, ch.Vanished)
		ch.Added = append(ch.Added, e)
	}
	if len(ch.Added) > 0 {
		out.merge(ch.Added)
	}
	return out, ch
}

// inherit gives a renamed archive the pin and note of its former entry. The
// number means nothing: the entry's may have been pushed up from the archive's.
func inherit(e *catalog.Entry, vanished []catalog.Entry) {
	for _, v := range vanished {
		if v.CreatedAt.Equal(e.CreatedAt) && v.Kind == e.Kind && v.ImageBLAKE3 == e.ImageBLAKE3 && v.ArchiveBytes == e.ArchiveBytes {
			e.Pinned, e.Note = v.Pinned, v.Note
		}
	}
}

// sizeNow looks at one archive. Only a proven absence counts as one.
func (c *Catalog) sizeNow(e catalog.Entry) (size int64, there bool) {
	info, err := os.Lstat(c.Path(e))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return 0, false
	case err != nil:
		return e.ArchiveBytes, true
	case !info.Mode().IsRegular():
		return -1, true
	}
	return info.Size(), true
}

// store aligns the present catalog under the lock and writes it.
func (c *Catalog) store(ctx context.Context, seen listing, fresh []reading) (ch catalog.Changes, err error) {
	unlock, err := c.lock(ctx)
	if err != nil {
		return ch, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	doc, err := c.viewLocked()
	if err != nil {
		return ch, err
	}
	doc, ch = c.align(doc, seen, fresh)
	if err := c.write(doc); err != nil {
		return catalog.Changes{}, err
	}
	c.link(doc, nil)
	return ch, nil
}

func (c *Catalog) keepInMemory(doc *document, seen listing, fresh []reading, why error) catalog.Changes {
	doc, ch := c.align(doc, seen, fresh)
	if ch.Empty() {
		return ch // only the link is wrong, and it cannot be corrected
	}
	ch.Unsaved = why
	c.mu.Lock()
	defer c.mu.Unlock()
	c.doc, c.stamp.unsaved = doc, true
	return ch
}

// sweep removes leftovers, unless an operation runs to which they may belong,
// or nothing can be removed. Writers of the catalog make temporary files too,
// and are kept out.
func (c *Catalog) sweep(ctx context.Context, op *Lock) (swept []string, err error) {
	if op == nil {
		op, err = c.LockOperation(ctx, false, "sweep")
		if errors.Is(err, ErrBusy) || errors.Is(err, ErrReadOnly) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, op.Unlock()) }()
	}
	unlock, err := c.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	swept, err = durable.Sweep(c.dir)
	if errors.Is(explain(err), ErrReadOnly) {
		err = nil
	}
	return swept, err
}

func failure(now time.Time, detail string) catalog.Verification {
	at := now.UTC()
	return catalog.Verification{State: catalog.Failed, At: &at, Detail: cut(detail, maxDetail)}
}
