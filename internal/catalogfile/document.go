package catalogfile

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"example.com/snapd/catalog"
)

const (
	// maxSeq keeps numbers exact in every JSON reader (RFC 8259 §6).
	maxSeq = 1<<53 - 1

	maxNote   = 64 << 10 // bytes
	maxDetail = 4 << 10
	maxWord   = 64 // bytes of a kind, trigger, level
	maxSource = 64 << 10
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

// get resolves id, or "latest".
func (d *document) get(id string) (catalog.Entry, error) {
	if id == latestID {
		for _, e := range slices.Backward(d.entries) {
			if e.Usable() {
				return e, nil
			}
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
// pushes those that follow. A copy of an old backup thus stands beside the old
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

// normalise brings e into the form in which it is stored and read back.
func normalise(e *catalog.Entry) {
	e.CreatedAt = e.CreatedAt.UTC()
	if at := e.Verification.At; at != nil && at.Location() != time.UTC {
		utc := at.UTC()
		e.Verification.At = &utc
	}
	e.Note = strings.ToValidUTF8(e.Note, "\uFFFD")
	e.Verification.Detail = cut(strings.ToValidUTF8(e.Verification.Detail, "\uFFFD"), maxDetail)
	if e.Verification.State == "" {
		e.Verification.State = catalog.Unverified
	}
	if len(e.Source) == 0 || string(e.Source) == "null" {
		e.Source = nil
	}
}

// compactSource brings Source onto one line, as the layout of the file demands.
func compactSource(e *catalog.Entry) error {
	if e.Source == nil {
		return nil
	}
	var one bytes.Buffer
	if err := json.Compact(&one, e.Source); err != nil {
		return fmt.Errorf("entry %.80q: source: %w", e.ID, err)
	}
	if !utf8.Valid(one.Bytes()) {
		return fmt.Errorf("entry %.80q: source is not UTF-8", e.ID)
	}
	e.Source = one.Bytes()
	return nil
}

// cut shortens s to at most n bytes, at a rune's boundary.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// validate says what makes e impossible: the limits of what is written are
// those of what is read.
func validateEntry(e *catalog.Entry) error {
	v := e.Verification
	switch {
	case !validID(e.ID):
		return fmt.Errorf("entry %.80q: not a backup id", e.ID)
	case !isFileOf(e.File, e.ID):
		return fmt.Errorf("entry %q: file %.80q is not %q", e.ID, e.File, fileOf(e.ID))
	case e.Seq < 1 || e.Seq > maxSeq:
		return fmt.Errorf("entry %q: seq %d out of range", e.ID, e.Seq)
	case e.Kind != catalog.Auto && e.Kind != catalog.Manual:
		return fmt.Errorf("entry %q: kind %.20q", e.ID, e.Kind)
	case v.State != catalog.Unverified && v.State != catalog.Verified && v.State != catalog.Failed:
		return fmt.Errorf("entry %q: verification state %.20q", e.ID, v.State)
	case e.DatabaseBytes < 0 || e.ArchiveBytes < 0 || e.PageCount < 0 || e.DurationMS < 0:
		return fmt.Errorf("entry %q: a negative size", e.ID)
	case e.PageSize < 0 || e.PageSize > 65536:
		return fmt.Errorf("entry %q: page size %d", e.ID, e.PageSize)
	case e.CreatedAt.Year() < 0 || e.CreatedAt.Year() > 9999, v.At != nil && (v.At.Year() < 0 || v.At.Year() > 9999):
		return fmt.Errorf("entry %q: a year that RFC 3339 cannot write", e.ID)
	}
	return validateText(e)
}

func validateText(e *catalog.Entry) error {
	for _, s := range []string{string(e.Trigger), e.ImageBLAKE3, e.Verification.Level} {
		if len(s) > maxWord || !utf8.ValidString(s) {
			return fmt.Errorf("entry %q: %.20q… is longer than %d bytes, or not text", e.ID, s, maxWord)
		}
	}
	switch {
	case len(e.Note) > maxNote:
		return fmt.Errorf("entry %q: the note is longer than %d bytes", e.ID, maxNote)
	case len(e.Source) > maxSource:
		return fmt.Errorf("entry %q: the source fingerprint is longer than %d bytes", e.ID, maxSource)
	}
	return nil
}

// validate checks what holds between the entries, and mends a nextSeq that is
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
