package catalogfile

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"regexp"
	"slices"
	"strings"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/archive"
)

// document is a catalog in memory. One that a Catalog has published is never
// changed again: changes are made to a clone.
type document struct {
	nextSeq uint64 // the number that the next backup gets; above every entry's
	state   catalog.State
	entries []catalog.Entry // by Seq, ascending
}

func newDocument() *document { return &document{nextSeq: 1} }

func (d *document) clone() *document {
	return &document{nextSeq: d.nextSeq, state: d.state.Clone(), entries: slices.Clone(d.entries)}
}

// find returns the index of the entry with exactly that id, or -1.
func (d *document) find(id string) int {
	return slices.IndexFunc(d.entries, func(e catalog.Entry) bool { return e.ID == id })
}

// backward gives the backups, newest first.
func (d *document) backward() iter.Seq[catalog.Entry] {
	return func(yield func(catalog.Entry) bool) {
		for i := len(d.entries) - 1; i >= 0; i-- {
			if !yield(d.entries[i]) {
				return
			}
		}
	}
}

// resolve returns the backup that a person means by name: an id, or one cut short where
// no other begins so, or a file name, or "latest". A name that is complete is never
// taken for the beginning of another: its backup may just have been deleted.
func (d *document) resolve(name string) (catalog.Entry, error) {
	e, err := d.get(name)
	if err == nil {
		return e, nil
	}
	name = strings.TrimSuffix(name, archive.Ext)
	if i := d.find(name); i >= 0 {
		return d.entries[i], nil
	}
	if !validID(name) || completeID.MatchString(name) {
		return e, err
	}
	var begin []string
	for other := range d.backward() {
		if strings.HasPrefix(other.ID, name) {
			e = other
			begin = append(begin, other.ID)
		}
	}
	switch n := len(begin); {
	case n == 0:
		return catalog.Entry{}, err
	case n > 1:
		return catalog.Entry{}, fmt.Errorf("%q: %w: %s", name, ErrAmbiguous, shortList(begin))
	}
	return e, nil
}

// completeID matches an id that NewFile made, whole.
var completeID = regexp.MustCompile(`_[0-9]{8}_[0-9]{6}(_[0-9]{1,4})?$`)

// shortList names a few of ids and counts the rest.
func shortList(ids []string) string {
	const most = 5
	if len(ids) <= most {
		return strings.Join(ids, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(ids[:most], ", "), len(ids)-most)
}

// get returns the backup with exactly that id, or "latest".
func (d *document) get(id string) (catalog.Entry, error) {
	if id == latestID {
		if e, ok := catalog.Latest(d.backward(), d.state); ok {
			return e, nil
		}
		return catalog.Entry{}, fmt.Errorf("latest: %w: %w", ErrNotFound, ErrNoVerified)
	}
	if i := d.find(id); i >= 0 {
		return d.entries[i], nil
	}
	if !validID(id) {
		return catalog.Entry{}, fmt.Errorf("%.80q is no backup id: %w; an id is a name from the list of backups, not a path", id, ErrNotFound)
	}
	return catalog.Entry{}, fmt.Errorf("%q: %w", id, ErrNotFound)
}

// newestFirst returns a copy of the entries.
func (d *document) newestFirst() []catalog.Entry {
	out := make([]catalog.Entry, len(d.entries))
	for i := range out {
		out[i] = d.entries[len(out)-1-i]
	}
	return out
}

// put adds e, or replaces the entry with its id.
func (d *document) put(e catalog.Entry) error {
	normalise(&e)
	if err := compactSource(&e); err != nil {
		return err
	}
	if i := d.find(e.ID); i >= 0 {
		if e.Seq == 0 {
			e.Seq = d.entries[i].Seq
		}
		d.entries = slices.Delete(d.entries, i, i+1)
	}
	at, taken := d.search(e.Seq)
	if e.Seq == 0 || taken {
		e.Seq, at = d.nextSeq, len(d.entries)
	}
	if err := validateEntry(&e); err != nil {
		return err
	}
	d.entries = slices.Insert(d.entries, at, e)
	d.nextSeq = max(d.nextSeq, e.Seq+1)
	return nil
}

func (d *document) search(seq uint64) (int, bool) {
	return slices.BinarySearchFunc(d.entries, seq, func(e catalog.Entry, s uint64) int { return cmp.Compare(e.Seq, s) })
}

// merge adds entries whose Seq is only a claim, 0 for unknown. The order is by
// claim, then time, then name, so that it comes out the same whenever and
// however often it is made; who finds the number taken gets the next one, and
// pushes those that follow. A copy of an old backup thus is next to the old
// one, never as the newest.
func (d *document) merge(added []catalog.Entry) {
	d.entries = append(d.entries, added...)
	slices.SortStableFunc(d.entries, func(a, b catalog.Entry) int {
		return cmp.Or(cmp.Compare(a.Seq, b.Seq), a.CreatedAt.Compare(b.CreatedAt), strings.Compare(a.File, b.File))
	})
	last := uint64(0)
	for i := range d.entries {
		last = max(last+1, d.entries[i].Seq)
		d.entries[i].Seq = last
	}
	d.nextSeq = max(d.nextSeq, last+1)
}

// validate checks what holds between the entries, and raises a nextSeq that is
// too low, so that no number is ever given twice.
func (d *document) validate() error {
	bySeq := func(a, b catalog.Entry) int { return cmp.Compare(a.Seq, b.Seq) }
	if !slices.IsSortedFunc(d.entries, bySeq) {
		slices.SortStableFunc(d.entries, bySeq)
	}
	ids := make(map[string]struct{}, len(d.entries))
	last := uint64(0)
	for i := range d.entries {
		e := &d.entries[i]
		if _, twice := ids[e.ID]; twice {
			return fmt.Errorf("entry %q: listed twice", e.ID)
		}
		if e.Seq == last {
			return fmt.Errorf("entry %q: seq %d given twice", e.ID, e.Seq)
		}
		ids[e.ID], last = struct{}{}, e.Seq
	}
	d.nextSeq = max(d.nextSeq, last+1)
	if d.nextSeq > maxSeq+1 {
		return errors.New("next_seq out of range")
	}
	return nil
}
