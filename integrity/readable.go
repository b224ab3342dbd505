package integrity

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/dustin/go-humanize"

	"example.com/snapd/internal/sqlite"
	"example.com/snapd/internal/sqlitefile"
)

// RowCount is how much of a damaged table can still be read, page by page.
type RowCount struct {
	Readable        int64 `json:"readable"`
	UnreadableRows  int64 `json:"unreadable_rows"`  // on pages that can be read
	UnreadablePages int64 `json:"unreadable_pages"` // with all that was below them: how many rows that is is not known
	Complete        bool  `json:"complete"`         // false: the table is too large to be counted in passing
}

const (
	// countTime bounds how long a check counts rows.
	countTime = time.Second
	// countTables is how many damaged tables are counted.
	countTables = 10
	// maxDepth is more than the deepest tree of a database has levels.
	maxDepth = 50
)

// countRows adds to the findings how many rows can be read of each table that is damaged itself.
// Where only its indexes are nothing is counted: entries of theirs may name rows that are gone.
func (s *sqlCheck) countRows(ctx context.Context) error {
	if s.shadowed {
		return nil
	}
	var tables []string
	for _, f := range s.found.findings {
		if f.Code.Severity() >= SeverityDamage && f.Table != "" && f.Index == "" && f.Repair == "" && !slices.Contains(tables, f.Table) {
			tables = append(tables, f.Table)
		}
	}
	if len(tables) == 0 {
		return nil
	}
	all, err := s.trees(ctx)
	if err != nil {
		return err
	}
	c, err := newRowCounter(ctx, s)
	if err != nil {
		return err
	}
	defer c.read.Close()
	for _, name := range tables[:min(len(tables), countTables)] {
		for root, t := range all.byRoot {
			if t.kind != "table" || bounded(t.name) != name {
				continue
			}
			n, err := c.count(root)
			if err != nil {
				return err
			}
			s.found.keep(Finding{Code: CodeRowsReadable, Message: n.words(t.name), Table: name, Rows: &n})
		}
	}
	return nil
}

// words is the count for people.
func (n RowCount) words(table string) string {
	rows := humanize.Comma(n.Readable) + " rows"
	switch n.Readable {
	case 0:
		rows = "no row"
	case 1:
		rows = "one row"
	}
	if !n.Complete {
		rows = "at least " + rows
	}
	s := fmt.Sprintf("%s of table %s can be read", rows, table)
	if n.UnreadablePages > 0 {
		s += "; " + some(n.UnreadablePages, "one of its pages", "of its pages") + " cannot"
	}
	if n.UnreadableRows > 0 {
		s += "; " + some(n.UnreadableRows, "one row", "rows") + " cannot"
	}
	if !n.Complete {
		s += "; the table is too large to be counted to its end here, salvage does"
	}
	return s
}

func some(n int64, one, more string) string {
	if n == 1 {
		return one
	}
	return humanize.Comma(n) + " " + more
}

// rowCounter counts rows in the pages themselves: SQLite gives up at the first page that is damaged.
type rowCounter struct {
	ctx    context.Context
	read   *sqlite.Stmt
	until  time.Time
	pages  uint32
	usable int
	seen   map[uint32]bool // no page is in a tree twice
	n      RowCount
}

func newRowCounter(ctx context.Context, s *sqlCheck) (*rowCounter, error) {
	pages, err := s.conn.Int(ctx, "PRAGMA page_count")
	if err != nil {
		return nil, err
	}
	size, err := s.conn.Int(ctx, "PRAGMA page_size")
	if err != nil {
		return nil, err
	}
	reserved, err := s.reservedBytes(ctx)
	if err != nil {
		return nil, err
	}
	c := &rowCounter{ctx: ctx, until: time.Now().Add(countTime), pages: uint32(min(max(pages, 0), math.MaxUint32)), usable: int(size - reserved)}
	c.read, err = s.conn.Prepare("SELECT data FROM sqlite_dbpage WHERE pgno=?1")
	return c, err
}

func (c *rowCounter) count(root int64) (RowCount, error) {
	c.seen, c.n = map[uint32]bool{}, RowCount{Complete: true}
	if root < 1 || root > int64(c.pages) {
		c.n.UnreadablePages = 1
		return c.n, nil
	}
	err := c.tree(uint32(root), nil, math.MinInt64, math.MaxInt64, 0)
	return c.n, err
}

// page returns a copy of page n; nil where there is none, or no time for it.
func (c *rowCounter) page(n uint32) (b []byte, err error) {
	if err := c.ctx.Err(); err != nil {
		return nil, err
	}
	if n == 0 || n > c.pages || c.seen[n] {
		return nil, nil
	}
	if time.Now().After(c.until) {
		c.n.Complete = false
		return nil, nil
	}
	c.seen[n] = true
	if err := c.read.BindInt(1, int64(n)); err != nil {
		return nil, err
	}
	more, err := c.read.StepFast()
	if more {
		b = slices.Clone(c.read.Blob(0))
	}
	c.read.Reset()
	if sqlite.Classify(err) == sqlite.ClassCorrupt {
		return nil, nil
	}
	return b, err
}

// tree counts below page n, whose rowids are those after low up to high. of is the kind of
// the page above it; nil for the root.
func (c *rowCounter) tree(n uint32, of *sqlitefile.PageType, low, high int64, depth int) error {
	b, err := c.page(n)
	if err != nil || !c.n.Complete {
		return err
	}
	page, malformed := sqlitefile.ParsePage(b, n, c.usable)
	if malformed != nil || depth > maxDepth || of != nil && page.Type().Table() != of.Table() {
		c.n.UnreadablePages++
		return nil
	}
	kind := page.Type()
	for i := range page.Cells() {
		cell, malformed := page.Cell(i)
		within := !kind.Table() || cell.RowID <= high && (cell.RowID > low || low == math.MinInt64)
		if holdsRow := kind != sqlitefile.TableInterior; holdsRow {
			whole := malformed == nil && within
			if whole {
				if whole, err = c.overflow(cell); err != nil || !c.n.Complete {
					return err
				}
			}
			if whole {
				c.n.Readable++
			} else {
				c.n.UnreadableRows++
			}
		}
		if kind.Leaf() {
			continue
		}
		if malformed != nil || !within {
			c.n.UnreadablePages++
			continue
		}
		last := high
		if kind.Table() {
			last = cell.RowID
		}
		if err := c.tree(cell.Child, &kind, low, last, depth+1); err != nil || !c.n.Complete {
			return err
		}
		if kind.Table() {
			low = cell.RowID
		}
	}
	if kind.Leaf() {
		return nil
	}
	return c.tree(page.RightChild(), &kind, low, high, depth+1)
}

// overflow reports whether the rest of a row's content is there.
func (c *rowCounter) overflow(cell sqlitefile.Cell) (whole bool, err error) {
	next := cell.Overflow
	for rest := cell.Size - int64(len(cell.Local)); rest > 0; rest -= int64(c.usable - 4) {
		b, err := c.page(next)
		if err != nil || len(b) < c.usable {
			return false, err
		}
		next = uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	}
	return next == 0, nil
}
