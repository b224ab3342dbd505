package integrity

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"example.com/snapd/internal/sqlite"
)

// tree is what the schema says about the b-tree with one root page.
type tree struct {
	kind string // "table" or "index"; WITHOUT ROWID tables are tables
	name string
}

// trees returns the objects of the schema by root page. A schema that cannot be
// read gives those that could be, and no error: the levels report the damage.
func (s *sqlCheck) trees(ctx context.Context) (map[uint32]tree, error) {
	all := map[uint32]tree{1: {"table", "sqlite_schema"}}
	err := s.conn.Each(ctx, "SELECT rootpage, type, name FROM sqlite_schema WHERE rootpage>1", func(st *sqlite.Stmt) error {
		root := uint32(st.Int(0))
		if have, twice := all[root]; twice && have.kind == "table" {
			return nil // shared by two: damage there is the table's
		}
		all[root] = tree{s.code.text(st, 1), s.code.text(st, 2)}
		return nil
	})
	if err != nil && !inexpressible(err) {
		err = s.judge(err)
	}
	return all, err
}

// treeOf returns the root page that a line of a check's output names.
func treeOf(line string) (root uint32, ok bool) {
	rest, ok := strings.CutPrefix(line, "Tree ")
	if !ok {
		return 0, false
	}
	digits, _, _ := strings.Cut(rest, " ")
	n, err := strconv.ParseUint(digits, 10, 32)
	return uint32(n), err == nil
}

// nameTrees tells what the damaged trees hold.
func (s *sqlCheck) nameTrees(ctx context.Context) error {
	all, err := s.trees(ctx)
	s.found.nameTrees(all)
	return err
}

// nameTrees puts before each finding about a tree the object that the tree holds,
// and marks those about indexes: an index can be made anew from its table.
func (t *results) nameTrees(all map[uint32]tree) {
	for i := range t.findings {
		f := &t.findings[i]
		root, ok := treeOf(f.Message)
		if !ok {
			continue
		}
		of, known := all[root]
		if !known {
			continue
		}
		if of.kind == "index" && f.Code.kind().severity >= damage && f.Repair == "" {
			f.Repair = RepairRebuild
		}
		f.Message = bounded(fmt.Sprintf("%s %s: %s", of.kind, of.name, f.Message))
	}
}
