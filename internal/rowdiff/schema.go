package rowdiff

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"example.com/snapd/internal/sqlite"
	"example.com/snapd/internal/sqlitefile"
)

// ErrTooMuch: a schema of too many objects, or one that costs too much to read.
var ErrTooMuch = errors.New("refused for safety")

const (
	maxObjects     = 20_000
	maxSchemaBytes = 32 << 20 // of names and SQL
	maxColumns     = 200_000  // of all tables
)

// Object is a line of the schema.
type Object struct {
	Type  string // "table", "index", "view" or "trigger"
	Name  string
	Table string // that it belongs to
	SQL   string // "" for an index that SQLite makes by itself
	Root  uint32 // page; 0 for none
}

// virtual reports whether it is a virtual table.
func (o Object) virtual() bool { return o.Type == "table" && o.Root == 0 }

// own reports whether it is SQLite's own: sqlite_sequence, sqlite_stat1, automatic indexes.
func (o Object) own() bool { return len(o.Name) >= 7 && strings.EqualFold(o.Name[:7], "sqlite_") }

// Schema is what a database is made of.
type Schema struct {
	Encoding    sqlitefile.Encoding
	UserVersion int64
	AppID       int64
	Objects     []Object // in the order in which they were made

	byName  map[string]int // of tables and views, by their folded names
	shadows map[string]bool
}

// fold is a name as SQLite compares them: only ASCII letters are folded.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, name)
}

// nameable reports whether SQL can name it.
func nameable(name string) bool {
	return name != "" && utf8.ValidString(name) && !strings.ContainsRune(name, 0)
}

// ReadSchema reads the schema of a database. An empty one has none. Errors: SQLite's, ErrTooMuch.
func ReadSchema(ctx context.Context, c *sqlite.Conn) (*Schema, error) {
	s := &Schema{byName: map[string]int{}, shadows: map[string]bool{}}
	encoding, err := c.Text(ctx, "PRAGMA encoding")
	if err != nil {
		return nil, err
	}
	for s.Encoding = sqlitefile.UTF8; s.Encoding < sqlitefile.UTF16BE && s.Encoding.String() != encoding; s.Encoding++ {
	}
	if s.UserVersion, err = c.Int(ctx, "PRAGMA user_version"); err != nil {
		return nil, err
	}
	if s.AppID, err = c.Int(ctx, "PRAGMA application_id"); err != nil {
		return nil, err
	}
	size := 0
	const query = "SELECT type, name, tbl_name, sql, rootpage FROM sqlite_schema ORDER BY rowid"
	err = c.Each(ctx, query, func(st *sqlite.Stmt) error {
		o := Object{Type: st.Text(0), Name: st.Text(1), Table: st.Text(2), SQL: st.Text(3), Root: uint32(st.Int(4))}
		if size += len(o.Name) + len(o.SQL); len(s.Objects) == maxObjects || size > maxSchemaBytes {
			return fmt.Errorf("%w: a schema of more than %d objects, or of more than %d bytes", ErrTooMuch, maxObjects, maxSchemaBytes)
		}
		s.Objects = append(s.Objects, o)
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i, o := range s.Objects {
		if o.Type == "table" || o.Type == "view" {
			s.byName[fold(o.Name)] = i
		}
		if o.virtual() {
			for _, suffix := range shadowSuffixes[moduleOf(o.SQL)] {
				s.shadows[fold(o.Name+suffix)] = true
			}
		}
	}
	return s, nil
}

// table returns the table of a name; ok is false where there is none, or a view.
func (s *Schema) table(name string) (Object, bool) {
	i, ok := s.byName[fold(name)]
	if !ok || s.Objects[i].Type != "table" {
		return Object{}, false
	}
	return s.Objects[i], true
}

// shadow reports whether a virtual table keeps its content in it.
func (s *Schema) shadow(o Object) bool {
	return (o.Type == "table" || o.Type == "index") && s.shadows[fold(o.Table)] && !o.virtual()
}

// shadowSuffixes are the ends of the names of the tables that virtual tables of a module keep their content in.
var shadowSuffixes = map[string][]string{
	"fts5":      {"_data", "_idx", "_content", "_docsize", "_config"},
	"fts4":      {"_content", "_segments", "_segdir", "_docsize", "_stat"},
	"fts3":      {"_content", "_segments", "_segdir"},
	"rtree":     {"_node", "_parent", "_rowid"},
	"rtree_i32": {"_node", "_parent", "_rowid"},
	"geopoly":   {"_node", "_parent", "_rowid"},
}

// moduleOf is the module that a virtual table's SQL names, in lower case; "" where it is not written in the usual way.
func moduleOf(sql string) string {
	words := strings.Fields(strings.ToLower(sql[:min(len(sql), 2000)]))
	for i, word := range words {
		if word == "using" && i+1 < len(words) {
			name, _, _ := strings.Cut(words[i+1], "(")
			return name
		}
	}
	return ""
}

// Table describes how the rows of a table are read.
type Table struct {
	Name         string
	From         string // the table that stores the rows: itself, but for a virtual table
	Root         uint32 // of From
	Columns      []Column
	Key          []Key  // of the declared primary key; none where there is none
	Alias        int    // the column that is another name of the rowid: INTEGER PRIMARY KEY; -1 for none
	RowID        string // a name of the rowid that no column has; "" where there is none
	WithoutRowID bool
	Unique       bool // another index than the key's is unique
	Unnamed      bool // a virtual table whose columns are not all known by name: its module is not there
}

// Column is a column that a row stores: generated ones are left out.
type Column struct {
	Name   string
	Stored string // its name in From
	slot   int    // its place in a record, of a table with rowids
	kind   string // its type and default: what SQLite makes of what is stored there
}

// Key is a column of a primary key, by its number in Columns.
type Key struct {
	Column    int
	Collation string // in upper case
	Desc      bool
}

// ErrNotRead: the rows of a table cannot be read; the message says why.
var ErrNotRead = errors.New("its rows cannot be compared")

// Describe describes a table of the schema, a virtual one by what it keeps its content in. Errors: SQLite's, ErrNotRead.
func (s *Schema) Describe(ctx context.Context, c *sqlite.Conn, o Object) (*Table, error) {
	if !nameable(o.Name) {
		return nil, fmt.Errorf("%w: no SQL can name it", ErrNotRead)
	}
	t := &Table{Name: o.Name, From: o.Name, Root: o.Root, Alias: -1}
	if o.virtual() {
		return s.describeVirtual(ctx, c, o, t)
	}
	return t, t.describe(ctx, c)
}

func (t *Table) describe(ctx context.Context, c *sqlite.Conn) error {
	name := sqlite.QuoteText(t.From)
	taken := map[string]bool{}
	primary := map[int64]int{} // place in the key → column
	integer, slots := false, 0
	const columns = "SELECT name, hidden, pk, upper(type)='INTEGER', upper(type)||' DEFAULT '||coalesce(dflt_value, '') FROM pragma_table_xinfo("
	err := c.Each(ctx, columns+name+")", func(st *sqlite.Stmt) error {
		column, hidden := st.Text(0), st.Int(1)
		taken[fold(column)] = true
		if hidden != 2 { // generated when it is read
			slots++
		}
		if hidden != 0 {
			return nil // generated
		}
		if len(t.Columns) == maxColumns || !nameable(column) {
			return fmt.Errorf("%w: no SQL can name its columns", ErrNotRead)
		}
		if place := st.Int(2); place > 0 {
			primary[place] = len(t.Columns)
			integer = st.Int(3) != 0
		}
		t.Columns = append(t.Columns, Column{column, column, slots - 1, st.Text(4)})
		return nil
	})
	if err != nil {
		return err
	}
	if len(t.Columns) == 0 {
		return fmt.Errorf("%w: SQLite does not know its columns", ErrNotRead)
	}
	for i := range len(primary) {
		column, ok := primary[int64(i)+1]
		if !ok {
			return fmt.Errorf("%w: its primary key is not one", ErrNotRead)
		}
		t.Key = append(t.Key, Key{Column: column, Collation: "BINARY"})
	}
	if err := t.indexes(ctx, c, name, len(primary) == 1 && integer); err != nil {
		return err
	}
	if !t.WithoutRowID {
		for _, id := range []string{"rowid", "_rowid_", "oid"} {
			if !taken[id] {
				t.RowID = id
				break
			}
		}
		if t.RowID == "" && t.Alias >= 0 {
			t.RowID = t.Columns[t.Alias].Stored
		}
	}
	return nil
}

// indexes finds out what the primary key is stored as.
func (t *Table) indexes(ctx context.Context, c *sqlite.Conn, name string, integer bool) error {
	primary := ""
	err := c.Each(ctx, "SELECT name, origin, \"unique\" FROM pragma_index_list("+name+")", func(st *sqlite.Stmt) error {
		if st.Text(1) == "pk" {
			primary = st.Text(0)
		} else if st.Int(2) != 0 {
			t.Unique = true
		}
		return nil
	})
	if err != nil {
		return err
	}
	if primary == "" {
		if integer {
			t.Alias = t.Key[0].Column
		}
		return nil
	}
	var keys []Key
	t.WithoutRowID = true
	err = c.Each(ctx, "SELECT cid, name, \"desc\", upper(coll), key FROM pragma_index_xinfo("+sqlite.QuoteText(primary)+")", func(st *sqlite.Stmt) error {
		if st.Int(0) == -1 {
			t.WithoutRowID = false // the entry ends with the rowid
			return nil
		}
		if st.Int(4) == 0 {
			return nil
		}
		column := slices.IndexFunc(t.Columns, func(c Column) bool { return fold(c.Name) == fold(st.Text(1)) })
		if column < 0 {
			return fmt.Errorf("%w: its primary key is generated", ErrNotRead)
		}
		keys = append(keys, Key{column, st.Text(3), st.Int(2) != 0})
		return nil
	})
	t.Key = keys
	if i := slices.IndexFunc(keys, func(k Key) bool { return !known(k.Collation) }); err == nil && t.WithoutRowID && i >= 0 {
		return fmt.Errorf("%w: it is kept in the order of the collation %s, which only the application has", ErrNotRead, keys[i].Collation)
	}
	return err
}

// describeVirtual describes the table that has the content of a full-text table. What others keep is their own matter.
func (s *Schema) describeVirtual(ctx context.Context, c *sqlite.Conn, o Object, t *Table) (*Table, error) {
	module := moduleOf(o.SQL)
	if strings.HasPrefix(module, "rtree") || module == "geopoly" {
		return t, t.describeRTree(ctx, c)
	}
	content, ok := s.table(o.Name + "_content")
	if !strings.HasPrefix(module, "fts") || !ok {
		return nil, fmt.Errorf("%w: its module %q keeps no rows of its own", ErrNotRead, module)
	}
	t.From, t.Root = content.Name, content.Root
	if err := t.describe(ctx, c); err != nil {
		return nil, err
	}
	names := t.virtualColumns(ctx, c)
	for i := range t.Columns {
		switch {
		case i == 0:
			t.Columns[0].Name = "rowid"
		case i <= len(names):
			t.Columns[i].Name = names[i-1]
		default: // FTS3 and FTS4 store the column "title" as "c0title"
			if name, ok := strings.CutPrefix(t.Columns[i].Stored, "c"+strconv.Itoa(i-1)); ok && name != "" {
				t.Columns[i].Name = name
			} else {
				t.Unnamed = true
			}
		}
	}
	return t, nil
}

// derived reports whether a virtual table has no content of its own: a full-text index of another table, or a module that keeps what it
// has in tables that are compared as any other.
func derived(o Object) bool {
	module := moduleOf(o.SQL)
	_, known := shadowSuffixes[module]
	return o.virtual() && (!known || module == "fts5" && contentOf(o.SQL) != "")
}

// virtualColumns are the names by which its columns are known; none where the module is not there.
func (t *Table) virtualColumns(ctx context.Context, c *sqlite.Conn) (names []string) {
	err := c.Each(ctx, "SELECT name FROM pragma_table_xinfo("+sqlite.QuoteText(t.Name)+") WHERE hidden=0", func(st *sqlite.Stmt) error {
		names = append(names, st.Text(0))
		return nil
	})
	if err != nil {
		return nil
	}
	return names
}

// describeRTree describes an R*Tree, which is read through its module: its key is its first column.
func (t *Table) describeRTree(ctx context.Context, c *sqlite.Conn) error {
	for _, name := range t.virtualColumns(ctx, c) {
		t.Columns = append(t.Columns, Column{Name: name, Stored: name})
	}
	if len(t.Columns) == 0 {
		return fmt.Errorf("%w: its module is not there", ErrNotRead)
	}
	t.Root, t.WithoutRowID = 0, true // it has no order
	t.Key = []Key{{Column: 0, Collation: "BINARY"}}
	return nil
}

// quoted is a list of columns in SQL.
func quoted(names []string) string {
	list := make([]string, len(names))
	for i, n := range names {
		list[i] = sqlite.QuoteName(n)
	}
	return strings.Join(list, ",")
}
