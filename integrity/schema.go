package integrity

import (
	"context"
	"maps"
	"regexp"
	"slices"
	"strings"

	"example.com/snapd/internal/sqlite"
	"example.com/snapd/internal/sqlitefile"
)

// object is a row of the schema that has pages of its own, or should have.
type object struct {
	kind, name string
	root       int64
	// rowid and other say which kinds of b-tree it may be; both where its SQL leaves that open.
	rowid, other bool
}

// finding has the object's name as a finding's place.
func (o object) finding() Finding {
	if o.kind == "index" {
		return Finding{Index: o.name}
	}
	return Finding{Table: o.name}
}

// schemaRules looks for what SQLite believes of a schema without asking: the
// places of root pages, and rows of the schema that belong to each other. Of each
// table and index it reads one page.
func (s *sqlCheck) schemaRules(ctx context.Context) error {
	objects, modules, err := s.objects(ctx)
	if err != nil {
		return s.judge(err)
	}
	s.judgeRoots(objects)
	s.judgeShadows(objects, modules)
	if s.found.damaged() {
		return nil
	}
	if err := s.judgeKinds(ctx, objects); err != nil {
		return s.judge(err)
	}
	if s.found.damaged() {
		return s.nameTrees(ctx)
	}
	if s.shadowed {
		return nil
	}
	return s.judge(s.autoIndexes(ctx, objects))
}

// objects reads the tables and indexes, and the modules of virtual tables by their names.
func (s *sqlCheck) objects(ctx context.Context) (objects []object, modules map[string]string, err error) {
	modules = map[string]string{}
	err = s.conn.Each(ctx, "SELECT type, name, rootpage, sql FROM sqlite_schema WHERE type IN ('table','index')", func(st *sqlite.Stmt) error {
		o := object{kind: st.Text(0), name: st.Text(1), root: st.Int(2)}
		sql := st.Text(3)
		switch {
		case o.kind == "index":
			o.other = true
		case isVirtual(sql):
			modules[o.name] = moduleOf(sql)
			return nil
		default:
			o.rowid, o.other = treeKinds(sql)
		}
		objects = append(objects, o)
		return nil
	})
	return objects, modules, err
}

var withoutRowid = regexp.MustCompile(`(?i)\)\s*(strict\s*,\s*)?without\s+rowid\s*(,\s*strict\s*)?$`)

// treeKinds returns the kinds of b-tree that a table may be by its SQL. Only where no
// comment or name can have misled us is it one alone.
func treeKinds(sql string) (rowid, other bool) {
	if !strings.Contains(strings.ToLower(sql), "without") {
		return true, false
	}
	if strings.Contains(sql, "--") || strings.Contains(sql, "/*") || !withoutRowid.MatchString(sql) {
		return true, true
	}
	return false, true
}

func (s *sqlCheck) judgeRoots(objects []object) {
	owner := map[int64]object{}
	for _, o := range objects {
		if o.root <= 0 {
			s.found.addAt(o.finding(), CodeSchemaRoot, "%s %s has no root page: its row in the schema names page %d", o.kind, o.name, o.root)
			continue
		}
		if first, taken := owner[o.root]; taken {
			s.found.addAt(o.finding(), CodeSchemaRoot, "%s %s and %s %s have the same root page, %d", first.kind, first.name, o.kind, o.name, o.root)
		}
		owner[o.root] = o
	}
}

// shadows are the tables without which a module cannot read a virtual table, by the
// ends of their names.
var shadows = map[string][]string{
	"fts5":      {"_data", "_idx"},
	"rtree":     {"_node", "_parent", "_rowid"},
	"rtree_i32": {"_node", "_parent", "_rowid"},
	"geopoly":   {"_node", "_parent", "_rowid"},
}

func (s *sqlCheck) judgeShadows(objects []object, modules map[string]string) {
	names := map[string]bool{}
	for _, o := range objects {
		if o.kind == "table" {
			names[strings.ToLower(o.name)] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(modules)) { // in the same order every time
		module := modules[name]
		for _, end := range shadows[strings.ToLower(module)] {
			if !names[strings.ToLower(name+end)] {
				s.found.addAt(Finding{Table: name}, CodeShadow, "virtual table %s (%s) has lost its table %s", name, module, name+end)
			}
		}
	}
}

// pageKind reads what kind of b-tree a page belongs to.
const pageKind = "substr(d.data, CASE d.pgno WHEN 1 THEN 101 ELSE 1 END, 1)"

// judgeKinds compares the type of each root page with what the schema says is there.
func (s *sqlCheck) judgeKinds(ctx context.Context, objects []object) error {
	byRoot := make(map[int64]object, len(objects))
	for _, o := range objects {
		byRoot[o.root] = o
	}
	return s.conn.Each(ctx, "SELECT m.rootpage, "+pageKind+" FROM sqlite_schema m CROSS JOIN sqlite_dbpage d ON d.pgno=m.rootpage WHERE m.type IN ('table','index') AND m.rootpage>0", func(st *sqlite.Stmt) error {
		o, known := byRoot[st.Int(0)]
		b := st.Blob(1)
		if !known || len(b) != 1 {
			return nil
		}
		root := Finding{root: o.root, Page: o.root}
		switch kind := sqlitefile.PageType(b[0]); {
		case kind.Valid() && kind.Table():
			if !o.rowid {
				s.found.addAt(root, CodePage, "root page %d is one of a table with rowids", o.root)
			}
		case kind.Valid():
			if !o.other {
				s.found.addAt(root, CodePage, "root page %d is one of an index or of a table without rowids", o.root)
			}
		default:
			s.found.addAt(root, CodePage, "root page %d is no page of a b-tree: its type is %d", o.root, kind)
		}
		return nil
	})
}

// autoIndexes looks for indexes of UNIQUE and PRIMARY KEY constraints that the
// schema has no row for: SQLite then takes page 0 for their root.
func (s *sqlCheck) autoIndexes(ctx context.Context, objects []object) error {
	rows, pages := map[string]bool{}, map[string]bool{}
	for _, o := range objects {
		if o.kind == "index" {
			rows[strings.ToLower(o.name)] = true
		} else if !o.other {
			pages[o.name] = true // the primary key of a table without rowids is the table
		}
	}
	return s.conn.Each(ctx, "SELECT m.name, i.name FROM sqlite_schema m, pragma_index_list(m.name) i WHERE m.type='table' AND m.rootpage>0 AND i.origin<>'c'", func(st *sqlite.Stmt) error {
		table, index := st.Text(0), st.Text(1)
		if pages[table] && !rows[strings.ToLower(index)] {
			s.found.addAt(Finding{Table: table, Index: index}, CodeSchemaIndex, "the index %s, which keeps a key of table %s unique, is not in the schema", index, table)
		}
		return nil
	})
}
