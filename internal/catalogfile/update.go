package catalogfile

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"os"
	"slices"
	"syscall"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/durable"
)

// Tx is a change to the catalog, valid only inside the function given to Update.
type Tx struct {
	doc    *document
	relink bool // the link is to follow
}

// Update runs fn on the present catalog, which no other process changes
// meanwhile, and stores the outcome atomically; all or, when fn returns an
// error, nothing. fn must be quick, and must not call the Catalog. Nothing is
// written when fn changed nothing. Errors: fn's; ErrBusy when ctx ends while
// another process writes; ErrReadOnly; ErrNoDirectory; ErrVersion.
func (c *Catalog) Update(ctx context.Context, fn func(tx *Tx) error) (err error) {
	unlock, err := c.lock(ctx)
	if err != nil {
		return fmt.Errorf("update catalog: %w", err)
	}
	defer func() { err = errors.Join(err, unlock()) }()
	doc, err := c.viewLocked()
	if err != nil {
		return fmt.Errorf("update catalog: %w", err)
	}
	tx := &Tx{doc: doc.clone()}
	if err := fn(tx); err != nil {
		return err
	}
	shorten(tx.doc.state.LastFailure)
	if err := c.write(tx.doc); err != nil || !tx.relink {
		return err
	}
	c.link(tx.doc, nil)
	return nil
}

// shorten cuts the messages that could be as long as any error.
func shorten(failures map[catalog.Trigger]catalog.Outcome) {
	for trigger, o := range failures {
		o.Message = cut(o.Message, maxDetail)
		failures[trigger] = o
	}
}

// NextSeq reserves a number for a backup. It is used up even when no entry
// ever gets it, so take it in an Update of its own when it must stand in the
// archive before the entry exists.
func (t *Tx) NextSeq() uint64 {
	seq := t.doc.nextSeq
	t.doc.nextSeq++
	return seq
}

// NumberFrom has the backups to come numbered from seq on, at least.
func (t *Tx) NumberFrom(seq uint64) { t.doc.nextSeq = max(t.doc.nextSeq, seq) }

// Put adds e, or replaces the entry with its ID. A Seq of 0, or one that
// another entry has meanwhile, is replaced by the next number.
func (t *Tx) Put(e catalog.Entry) error { return t.doc.put(e) }

// Remove takes the entry out; its archive stays, see Catalog.Delete.
func (t *Tx) Remove(id string) error {
	i := t.doc.find(id)
	if i < 0 {
		_, err := t.doc.get(id)
		return err
	}
	t.doc.entries = slices.Delete(t.doc.entries, i, i+1)
	return nil
}

// Get returns the backup with exactly that id, or "latest".
func (t *Tx) Get(id string) (catalog.Entry, error) { return t.doc.get(id) }

// Entries returns all backups, newest first.
func (t *Tx) Entries() []catalog.Entry { return t.doc.newestFirst() }

// Present is the timeline that the database is on.
func (t *Tx) Present() catalog.Present { return catalog.PresentOf(t.doc.backward(), t.doc.state) }

// State returns the state for changing it in place.
func (t *Tx) State() *catalog.State { return &t.doc.state }

// BeginAfter begins a timeline after another one, and numbers backups from a number on.
func BeginAfter(ctx context.Context, c *Catalog, timeline, number uint64, why string, now time.Time) error {
	return c.Update(ctx, func(tx *Tx) error {
		from, _ := tx.Get("latest") // the zero Entry where there is none
		p := tx.Present()
		p.Number = timeline
		tx.State().Begin(p, catalog.NewLog, from, why, catalog.NotBefore(tx.Entries(), now))
		tx.NumberFrom(number)
		return nil
	})
}

// write stores doc; the caller holds the lock.
func (c *Catalog) write(doc *document) error {
	text, err := encode(doc)
	if err != nil {
		return fmt.Errorf("update catalog: %w", err)
	}
	sum := maphash.Bytes(seed, text)
	c.mu.Lock()
	unchanged := c.stamp.info != nil && c.stamp.sum == sum
	c.mu.Unlock()
	if unchanged {
		return nil
	}
	if err := c.writeText(text); err != nil {
		return fmt.Errorf("update catalog: %w", explain(err))
	}
	info, err := os.Stat(c.file())
	if err != nil {
		return fmt.Errorf("update catalog: %w", err)
	}
	c.adopt(doc, stamp{info: info, sum: sum, racyUntil: c.now().Add(-racyWindow)})
	return nil
}

// replaceFile is a seam for tests.
var replaceFile = durable.WriteFile

// writeText tries again when its temporary file vanishes: another process that
// holds the operation lock may sweep leftovers just then.
func (c *Catalog) writeText(text []byte) error {
	var err error
	for range 3 {
		if err = replaceFile(c.file(), text, 0o600); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return err
}

// explain adds what an error of writing means here.
func explain(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%w: %w", ErrReadOnly, err)
	}
	return err
}
