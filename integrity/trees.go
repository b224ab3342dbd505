package integrity

import (
	"context"
	"fmt"

	"example.com/snapd/internal/sqlite"
)

// tree is what the schema says about the b-tree with one root page.
type tree struct {
	kind  string // "table" or "index"; WITHOUT ROWID tables are tables
	name  string
	table string // that it belongs to
}

// schemaTrees has the trees of a schema by root page, and the tables of its indexes.
type schemaTrees struct {
	byRoot  map[int64]tree
	tableOf map[string]string
}

// trees returns the objects of the schema by root page. A schema that cannot be
// read gives those that could be, and no error: the levels report the damage.
func (s *sqlCheck) trees(ctx context.Context) (schemaTrees, error) {
	all := schemaTrees{map[int64]tree{1: {"table", "sqlite_schema", "sqlite_schema"}}, map[string]string{}}
	err := s.conn.Each(ctx, "SELECT rootpage, type, name, tbl_name FROM sqlite_schema WHERE rootpage>1", func(st *sqlite.Stmt) error {
		root, t := st.Int(0), tree{st.Text(1), st.Text(2), st.Text(3)}
		if t.kind == "index" {
			all.tableOf[t.name] = t.table
		}
		if have, twice := all.byRoot[root]; twice && have.kind == "table" {
			return nil // shared by two: damage there is the table's
		}
		all.byRoot[root] = t
		return nil
	})
	if err != nil && !sqlite.IsInexpressible(err) {
		err = s.judge(err)
	}
	return all, err
}

// nameTrees says which tables and indexes the findings are about.
func (s *sqlCheck) nameTrees(ctx context.Context) error {
	all, err := s.trees(ctx)
	for i, f := range s.found.findings {
		s.found.findings[i] = all.name(f)
	}
	return err
}

// name puts before a finding about a tree the object that the tree holds, and marks
// one about an index: an index can be rebuilt from its table.
func (all schemaTrees) name(f Finding) Finding {
	if f.Table == "" && f.Index != "" {
		f.Table = bounded(all.tableOf[f.Index])
	}
	of, known := all.byRoot[f.root]
	f.root = 0
	if !known {
		return f
	}
	f.Table = bounded(of.table)
	if of.kind == "index" {
		f.Index = bounded(of.name)
		if f.Code.Severity() >= SeverityDamage && f.Repair == "" {
			f.Repair = RepairRebuild
		}
	}
	f.Message = bounded(fmt.Sprintf("%s %s: %s", of.kind, of.name, f.Message))
	return f
}
