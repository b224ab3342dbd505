package catalogfile

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"example.com/snapd/catalog"
)

// Limits of Page.
const (
	DefaultPage = 100
	MaxPage     = 1000
)

// Page returns up to limit backups of a kind, "" for all, newest first, beginning
// after cursor; "" begins at the newest. next is the cursor for the following
// page, "" when there is none. Backups made or deleted meanwhile neither repeat
// nor skip any other. A limit below 1 is DefaultPage, one above MaxPage is that.
// Errors: ErrCursor.
func (c *Catalog) Page(kind catalog.Kind, cursor string, limit int) (page []catalog.Entry, next string, err error) {
	before := uint64(maxSeq + 1)
	if cursor != "" {
		if before, err = parseCursor(cursor); err != nil {
			return nil, "", err
		}
	}
	if limit < 1 {
		limit = DefaultPage
	}
	limit = min(limit, MaxPage)
	doc, err := c.view()
	if err != nil {
		return nil, "", fmt.Errorf("list backups: %w", err)
	}
	end, _ := doc.search(before)
	page = make([]catalog.Entry, 0, min(limit, end))
	for _, e := range slices.Backward(doc.entries[:end]) {
		if kind != "" && e.Kind != kind {
			continue
		}
		if len(page) == limit {
			return page, makeCursor(page[limit-1].Seq), nil
		}
		page = append(page, e)
	}
	return page, "", nil
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
