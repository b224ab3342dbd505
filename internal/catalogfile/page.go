package catalogfile

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"example.com/snapd/catalog"
)

// Limits of Page.
const (
	DefaultPage = 100
	MaxPage     = 1000
)

// Query chooses backups. Zero values do not restrict.
type Query struct {
	Kind     catalog.Kind
	Text     string    // all its words are in the id or the note, in upper or lower case
	From, To time.Time // taken from then on, until then
	Cursor   string    // the Next of the page before
	Limit    int       // below 1 it is DefaultPage, above MaxPage that
}

// chooses returns the condition that q sets.
func (q Query) chooses() func(*catalog.Entry) bool {
	words := strings.Fields(strings.ToLower(q.Text))
	return func(e *catalog.Entry) bool {
		if q.Kind != "" && e.Kind != q.Kind || !q.From.IsZero() && e.CreatedAt.Before(q.From) || !q.To.IsZero() && e.CreatedAt.After(q.To) {
			return false
		}
		if len(words) == 0 {
			return true
		}
		text := strings.ToLower(e.ID + " " + e.Note)
		return !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(text, word) })
	}
}

// Page is a part of a list, the newest backup first.
type Page struct {
	Backups []catalog.Entry
	Next    string // the cursor of the next page; "" after the last
	Total   int    // how many there are on all pages
}

// Page returns the backups that q chooses. Backups made or deleted between two pages
// neither repeat nor skip any other. Errors: ErrCursor.
func (c *Catalog) Page(q Query) (page Page, err error) {
	before := uint64(maxSeq + 1)
	if q.Cursor != "" {
		if before, err = parseCursor(q.Cursor); err != nil {
			return page, err
		}
	}
	limit := q.Limit
	if limit < 1 {
		limit = DefaultPage
	}
	limit = min(limit, MaxPage)
	doc, err := c.view()
	if err != nil {
		return page, fmt.Errorf("list backups: %w", err)
	}
	chosen := q.chooses()
	for i := range slices.Backward(doc.entries) {
		e := &doc.entries[i]
		if !chosen(e) {
			continue
		}
		page.Total++
		switch {
		case e.Seq >= before:
		case len(page.Backups) < limit:
			page.Backups = append(page.Backups, *e)
		case page.Next == "":
			page.Next = makeCursor(page.Backups[limit-1].Seq)
		}
	}
	return page, nil
}

// A cursor is the number of the last entry shown.
func makeCursor(seq uint64) string {
	return base64.RawURLEncoding.EncodeToString([]byte("s" + strconv.FormatUint(seq, 10)))
}

func parseCursor(cursor string) (uint64, error) {
	if len(cursor) <= 64 {
		text, err := base64.RawURLEncoding.DecodeString(cursor)
		if digits, ok := strings.CutPrefix(string(text), "s"); ok && err == nil {
			if seq, err := strconv.ParseUint(digits, 10, 64); err == nil && seq <= maxSeq {
				return seq, nil
			}
		}
	}
	return 0, fmt.Errorf("%w: %.80q; start again without one", ErrCursor, cursor)
}
