package repair

import (
	"slices"
	"strings"
)

// holding says what a table holds, where rows are counted.
type holding int

const (
	holdsRows    holding = iota
	holdsDerived         // what a virtual table derives from its rows
	holdsRowids          // a row for each of a virtual table's, with its rowid and the place of the rest
)

// shadows are the tables in which the modules of SQLite keep what they hold, by their suffixes. Not listed are those
// with ordinary rows.
var shadows = []struct {
	modules, suffixes []string
	holding           holding
}{
	{[]string{"fts5"}, []string{"_data", "_idx", "_docsize", "_config"}, holdsDerived},
	{[]string{"fts3", "fts4"}, []string{"_segments", "_segdir", "_docsize", "_stat"}, holdsDerived},
	{[]string{"rtree", "rtree_i32", "geopoly"}, []string{"_node", "_parent"}, holdsDerived},
	{[]string{"rtree", "rtree_i32", "geopoly"}, []string{"_rowid"}, holdsRowids},
}

// holdingOf says what the table with that name holds in a schema.
func holdingOf(name string, schema []object) holding {
	if strings.HasPrefix(strings.ToLower(name), "sqlite_") {
		return holdsDerived
	}
	for _, o := range schema {
		if len(name) <= len(o.name) || !o.virtual() || !sameName(name[:len(o.name)], o.name) {
			continue
		}
		for _, s := range shadows {
			if slices.Contains(s.modules, o.module()) && slices.Contains(s.suffixes, strings.ToLower(name[len(o.name):])) {
				return s.holding
			}
		}
	}
	return holdsRows
}

// module returns the module of a virtual table, in lower case.
func (o object) module() string {
	words := strings.Fields(strings.ToLower(o.sql))
	i := slices.Index(words, "using")
	if i < 0 || i+1 == len(words) {
		return ""
	}
	name, _, _ := strings.Cut(words[i+1], "(")
	return name
}

// as are the entries of a table as they are compared.
func (h holding) as(all entries) entries {
	if h != holdsRowids {
		return all
	}
	return func(visit func(entry)) error {
		return all(func(e entry) { visit(entry{hashRow(e.rowid, nil), e.rowid}) })
	}
}
