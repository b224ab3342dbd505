package inspect

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/changes"
	"example.com/snapd/internal/message"
	"example.com/snapd/internal/sqlite"
)

// Table is a table, view or virtual table inside a backup.
type Table struct {
	Name string `json:"name"`
	Type string `json:"type"` // "table", "view" or "virtual"
	// Columns that a query sees; 0 where that could not be found out, e.g. of a view on a
	// table that is gone.
	Columns int `json:"columns"`
	// Rows is nil for a view or a virtual table, where counting took too long, and of a table that is Damaged.
	Rows *int64 `json:"rows"`
	// Damaged says that pages of it are damaged.
	Damaged bool `json:"damaged,omitempty"`
}

// ErrTooMuch: a schema of too many tables, or one that costs too much.
var ErrTooMuch = errors.New("refused for safety")

const (
	// maxTables and maxTableNames (bytes) bound what Tables returns.
	maxTables     = 10_000
	maxTableNames = 4 << 20
	// tablesTime is for everything: reading the schema, and counting in what is left.
	tablesTime = 2 * time.Second
	// viewTime is for finding the columns of one view or virtual table: SQLite
	// compiles the view, or connects to the module, for that.
	viewTime = 100 * time.Millisecond
	// tablesMemory is how much the process may grow, in bytes, over a schema.
	tablesMemory = 64 << 20
)

// Tables lists what is in the image, by name: no view is evaluated and no virtual table
// queried. SQLite's own tables, and those in which virtual tables keep their content,
// are left out. It takes some two seconds at most, for any schema. Errors: ErrDamaged,
// ErrTooMuch.
func (i *Image) Tables(ctx context.Context) (_ []Table, err error) {
	c, err := i.open()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	t := &tableList{c: c, judge: i.judge, until: time.Now().Add(tablesTime)}
	c.Limit(sqlite.Budget{Time: tablesTime, Memory: tablesMemory})
	if err := t.read(ctx); err != nil {
		if sqlite.Classify(err) == sqlite.ClassBudget {
			return nil, message.WithHint(fmt.Errorf("%w: %w", ErrTooMuch, err),
				"the schema is out of all proportion; restore the backup to another file and look there")
		}
		return nil, i.judge(err)
	}
	for n := range t.list {
		if err := t.describe(ctx, &t.list[n]); err != nil {
			return nil, err
		}
	}
	return t.list, nil
}

// tableList is the work on one image.
type tableList struct {
	c     *sqlite.Conn
	judge func(error) error
	until time.Time
	list  []Table
}

// shadowSuffixes are the ends of the names of the tables that virtual tables of a
// module keep their content in.
var shadowSuffixes = map[string][]string{
	"fts5":      {"_data", "_idx", "_content", "_docsize", "_config"},
	"fts4":      {"_content", "_segments", "_segdir", "_docsize", "_stat"},
	"fts3":      {"_content", "_segments", "_segdir"},
	"rtree":     {"_node", "_parent", "_rowid"},
	"rtree_i32": {"_node", "_parent", "_rowid"},
	"geopoly":   {"_node", "_parent", "_rowid"},
}

// read reads the names from the schema.
func (t *tableList) read(ctx context.Context) error {
	names, shadows := 0, map[string]bool{}
	const query = `SELECT name, type, CASE WHEN type='table' AND rootpage=0 THEN substr(sql, 1, 2000) END FROM sqlite_schema
		WHERE type IN ('table','view') AND typeof(name)='text' AND lower(substr(name, 1, 7))<>'sqlite_' ORDER BY name`
	err := t.c.Each(ctx, query, func(st *sqlite.Stmt) error {
		table := Table{Name: st.Text(0), Type: st.Text(1)}
		if sql := st.Text(2); sql != "" {
			table.Type = "virtual"
			for _, suffix := range shadowSuffixes[moduleOf(sql)] {
				shadows[strings.ToLower(table.Name+suffix)] = true
			}
		}
		if names += len(table.Name); len(t.list) == maxTables || names > maxTableNames {
			return message.WithHint(fmt.Errorf("%w: more than %d tables, or names of more than %d bytes", ErrTooMuch, maxTables, maxTableNames),
				"restore the backup to another file and look there")
		}
		t.list = append(t.list, table)
		return nil
	})
	if err != nil {
		return err
	}
	kept := t.list[:0]
	for _, table := range t.list {
		if table.Type != "table" || !shadows[strings.ToLower(table.Name)] {
			kept = append(kept, table)
		}
	}
	t.list = kept
	return nil
}

// moduleOf is the module that a virtual table's SQL names, in lower case; "" where
// it is not written in the usual way.
func moduleOf(sql string) string {
	words := strings.Fields(strings.ToLower(sql))
	for i, word := range words {
		if word == "using" && i+1 < len(words) {
			name, _, _ := strings.Cut(words[i+1], "(")
			return name
		}
	}
	return ""
}

// describe finds the columns and counts the rows, in the time that is left. What
// cannot be found stays unknown: only the end of ctx is an error.
func (t *tableList) describe(ctx context.Context, table *Table) error {
	if !utf8.ValidString(table.Name) || strings.ContainsRune(table.Name, 0) {
		table.Name = strings.ReplaceAll(strings.ToValidUTF8(table.Name, "\uFFFD"), "\x00", "\uFFFD")
		return ctx.Err() // no SQL can name it
	}
	most := time.Until(t.until)
	if table.Type != "table" {
		most = min(most, viewTime)
	}
	quoted := "'" + strings.ReplaceAll(table.Name, "'", "''") + "'"
	columns, _ := t.ask(ctx, most, "SELECT count(*) FROM pragma_table_xinfo("+quoted+") WHERE hidden<>1")
	if columns != nil {
		table.Columns = int(*columns)
	}
	if table.Type == "table" {
		// No table may use up what those after it need.
		name := `"` + strings.ReplaceAll(table.Name, `"`, `""`) + `"`
		table.Rows, table.Damaged = t.ask(ctx, time.Until(t.until)/2, "SELECT count(*) FROM main."+name)
	}
	return ctx.Err()
}

// ask returns a number, nil where it cannot be had in time, and whether damage is why. Counting is a single
// instruction that looks for an interrupt only, not at the budget.
func (t *tableList) ask(ctx context.Context, most time.Duration, query string) (_ *int64, damaged bool) {
	if most <= 0 {
		return nil, false
	}
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	t.c.Limit(sqlite.Budget{Time: most, Memory: tablesMemory})
	n, err := t.c.Int(ctx, query)
	if err != nil {
		err = t.judge(err)
		return nil, errors.Is(err, ErrDamaged) || errors.Is(err, archive.ErrDamaged) || errors.Is(err, archive.ErrTruncated) || errors.Is(err, changes.ErrDamaged)
	}
	return &n, false
}
