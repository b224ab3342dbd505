// Package rowlog says which rows each recovery point changed, against the one before it: when did this row vanish?
//
//	point 57 ── point 56 ── point 55 ── …        newest first, each opened once
//	    \__diff__/  \__diff__/                   the rows on pages that the change log has for the newer one
//
// Where a point does not follow from the other one in the change log, page digests say which pages differ. Interior pages of trees that the
// states have in common are read once.
package rowlog

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"example.com/snapd/internal/dump"
	"example.com/snapd/internal/inspect"
	"example.com/snapd/internal/points"
	"example.com/snapd/internal/rowdiff"
	"example.com/snapd/internal/sqlite"
)

// Query chooses what is looked at. Zero values do not restrict.
type Query struct {
	From, To time.Time // of the points
	Table    string    // only points that changed it
	Key      string    // only points that changed the row of Table with this key, see KeyText
	Limit    int       // most points in the answer
	Cursor   string    // the next of a Read before
}

// Entry is a recovery point with what it changed.
type Entry struct {
	ID     string                 `json:"id"`
	At     time.Time              `json:"at"`
	Schema []rowdiff.SchemaChange `json:"schema"`
	Tables []rowdiff.TableChanges `json:"tables"` // with a Key the change of its row
}

// most is how many points one Read looks at.
const most = 1000

// Read looks at the points of the set, newest first. next goes on after them, "" at the end. The oldest point has none to be
// compared with, and is not listed.
func Read(ctx context.Context, set *points.Set, open points.Opener, scratch string, q Query) (page []Entry, next string, err error) {
	l := &log{set: set, open: open, scratch: scratch, q: q, page: []Entry{}}
	defer func() { err = errors.Join(err, l.close()) }()
	next, err = l.run(ctx)
	return l.page, next, err
}

type log struct {
	set     *points.Set
	open    points.Opener
	scratch string
	q       Query
	page    []Entry
	newer   *state         // that is open
	back    *points.Back   // whose last image newer is; nil where it is another
	listed  []points.Point // after newer
	known   bool           // a state has the table
}

// ahead is how many points are listed at a time.
const ahead = 256

func (l *log) run(ctx context.Context) (next string, err error) {
	list := points.Query{To: l.q.To, Limit: ahead, Cursor: l.q.Cursor}
	var newer points.Point
	for looked := 0; ; {
		some, more, err := l.set.List(list)
		if err != nil {
			return "", err
		}
		for i, older := range some {
			l.listed = some[i:]
			if newer.ID != "" {
				if newer.At.Before(l.q.From) {
					return "", nil
				}
				if err := l.step(ctx, newer, older); err != nil {
					return "", fmt.Errorf("recovery point %s: %w", newer.ID, err)
				}
				if looked++; looked == most || l.q.Limit > 0 && len(l.page) == l.q.Limit {
					return newer.ID, nil
				}
			}
			newer = older
		}
		if list.Cursor = more; more == "" && l.q.Table != "" && looked > 0 && !l.known && l.q.Cursor == "" {
			return "", fmt.Errorf("%w in any of these recovery points: %s", rowdiff.ErrNoTable, l.q.Table)
		}
		if more == "" {
			return "", nil
		}
	}
}

// step compares two points that follow one another.
func (l *log) step(ctx context.Context, newer, older points.Point) error {
	before, changed, err := l.next(ctx, newer, older)
	if err != nil {
		return err
	}
	r, err := l.compare(ctx, before, l.newer, changed)
	err = errors.Join(err, l.newer.close())
	l.newer = before
	if err != nil {
		return err
	}
	if l.q.Table == "" || len(r.Tables)+len(r.Schema) > 0 {
		l.page = append(l.page, Entry{newer.ID, newer.At, r.Schema, r.Tables})
	}
	return nil
}

// next opens the older of two points, and the newer one unless it is open. changed are the pages in which they may differ; nil where that is not
// known.
func (l *log) next(ctx context.Context, newer, older points.Point) (before *state, changed []uint32, err error) {
	for range 2 { // the images that there were may be used up
		if l.back == nil {
			if err := l.begin(ctx, newer); err != nil {
				return nil, nil, err
			}
		}
		if l.back == nil {
			break
		}
		image, changed, err := l.back.Older()
		if image != nil {
			before, err = open(image, older)
			return before, changed, err
		}
		if errClose := l.close(); errClose != nil {
			return nil, nil, errClose
		}
		if err != nil { // opened by itself it says what is damaged, or has another base
			break
		}
	}
	if l.newer == nil {
		if l.newer, err = l.state(ctx, newer); err != nil {
			return nil, nil, err
		}
	}
	before, err = l.state(ctx, older)
	return before, nil, err
}

// begin opens the images from newer back, where they follow from each other.
func (l *log) begin(ctx context.Context, newer points.Point) error {
	back, err := l.set.Back(ctx, append([]points.Point{newer}, l.listed...), l.open)
	if err != nil {
		return ctx.Err() // each point by itself
	}
	if err := l.close(); err != nil {
		return errors.Join(err, back.Close())
	}
	l.back = back
	l.newer, err = open(back.Newest(), newer)
	return err
}

func (l *log) compare(ctx context.Context, before, after *state, changed []uint32) (r rowdiff.Result, err error) {
	d, err := rowdiff.New(ctx, before.side, after.side, l.scratch)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	var pages *rowdiff.Pages
	if changed != nil {
		pages = rowdiff.PagesOf(before.image, after.image, changed)
	} else {
		pages, err = rowdiff.ComparePages(ctx, before.image, after.image)
	}
	if err == nil {
		err = d.Narrow(ctx, pages)
	}
	if err != nil {
		return r, err
	}
	o := rowdiff.Options{Table: l.q.Table}
	var rows []rowdiff.Change
	if l.q.Key != "" {
		is := l.row(d)
		o.Each = func(_ string, c rowdiff.Change) error {
			if is(c.Key) {
				rows = append(rows, c)
			}
			return nil
		}
	}
	r, err = d.Compare(ctx, o)
	l.known = l.known || err == nil
	if errors.Is(err, rowdiff.ErrNoTable) { // not yet, or no longer
		return rowdiff.Result{Schema: []rowdiff.SchemaChange{}, Tables: []rowdiff.TableChanges{}}, nil
	}
	if l.q.Key != "" && err == nil {
		r.Schema = []rowdiff.SchemaChange{}
		r.Tables = ofRow(r.Tables, rows)
	}
	return r, err
}

// ofRow are the changes of a table, with those of one row; none where that did not change. Where rows have no key that holds in both
// states, whether it did is not known, and the table stays.
func ofRow(tables []rowdiff.TableChanges, rows []rowdiff.Change) (kept []rowdiff.TableChanges) {
	kept = []rowdiff.TableChanges{}
	for _, t := range tables {
		if t.NotCompared == "" && t.ComparedBy == rowdiff.ByRow {
			t.NotCompared = "rows of it changed; which of them is this one cannot be said, for it has no key that holds in both states"
		}
		if t.Rows, t.Truncated = rows, false; len(rows) > 0 || t.NotCompared != "" {
			kept = append(kept, t)
		}
	}
	return kept
}

// row returns what finds the row with the key that is asked for: texts as the collations of the key compare them.
func (l *log) row(d *rowdiff.Diff) func(rowdiff.Fields) bool {
	same := func(key string) string { return key }
	if m, err := d.Planned(l.q.Table); err == nil && len(m.Key) > 0 {
		t := m.To
		if t == nil {
			t = m.From
		}
		for _, k := range t.Key {
			switch k.Collation {
			case "NOCASE":
				same = strings.ToLower
			case "RTRIM":
				same = func(key string) string { return strings.TrimRight(key, " ") }
			}
		}
	}
	return func(key rowdiff.Fields) bool {
		if same(KeyText(key)) == same(l.q.Key) {
			return true
		}
		points := slices.Clone(key) // 2.0 for 2
		for i, f := range key {
			if real, ok := f.Value.(float64); ok {
				points[i].Value = dump.Real(real)
			}
		}
		return same(KeyText(points)) == same(l.q.Key)
	}
}

// close closes what is open.
func (l *log) close() (err error) {
	if l.newer != nil {
		err = l.newer.close()
	}
	if l.back != nil {
		err = errors.Join(err, l.back.Close())
	}
	l.newer, l.back = nil, nil
	return err
}

// KeyText is a key as a person writes it: the values of its columns, with commas between them.
func KeyText(key rowdiff.Fields) string {
	values := make([]string, len(key))
	for i, f := range key {
		switch v := f.Value.(type) {
		case nil:
			values[i] = "NULL"
		case []byte:
			values[i] = "x'" + hex.EncodeToString(v) + "'"
		default:
			values[i] = fmt.Sprint(v)
		}
	}
	return strings.Join(values, ",")
}

// state is an open point.
type state struct {
	image *points.Image
	seen  *inspect.Image
	conn  *sqlite.Conn
	side  *rowdiff.Side
}

func (l *log) state(ctx context.Context, p points.Point) (*state, error) {
	image, err := l.set.Open(ctx, p, l.open)
	if err != nil {
		return nil, err
	}
	return open(image, p)
}

// open shows the image of a point to SQLite.
func open(image *points.Image, p points.Point) (_ *state, err error) {
	s := &state{image: image}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if s.seen, err = inspect.New(s.image, s.image.Shape().Bytes(), p.At, func(error) {}); err != nil {
		return nil, err
	}
	if s.conn, err = s.seen.Conn(); err != nil {
		return nil, err
	}
	s.side = &rowdiff.Side{Conn: s.conn, Bytes: s.seen.Size(), Explain: s.seen.Explain, Keep: s.seen.Keep}
	return s, nil
}

func (s *state) close() (err error) {
	if s.conn != nil {
		err = s.conn.Close()
	}
	if s.seen != nil {
		err = errors.Join(err, s.seen.Close())
	}
	if s.image != nil {
		err = errors.Join(err, s.image.Close())
	}
	return err
}
