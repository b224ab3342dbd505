package rowdiff

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"example.com/snapd/internal/dump"
	"example.com/snapd/internal/sqlite"
	"example.com/snapd/internal/sqlitefile"
)

// ErrNoPatch: a difference cannot be written as SQL; the message says which.
var ErrNoPatch = errors.New("it cannot be written as SQL")

// Patch writes the SQL that makes of the first state what the second one is, in one transaction. With a table, it is that
// one alone, with its indexes and triggers.
//
//	foreign keys off, BEGIN
//	drop    triggers of every table that is touched, so that none runs; views, indexes, tables that are gone or others
//	create  tables that are new or others; these get all their rows
//	rows    of each other table: deletions first, then updates and insertions, so that no two rows of a UNIQUE index meet
//	        rebuild of full-text indexes over such a table
//	create  indexes, views, triggers
//	COMMIT
//
// Rows keep their rowids where those are their keys, or all they are known by. Statistics of ANALYZE are left alone.
func (d *Diff) Patch(ctx context.Context, w io.Writer, table string) error {
	p := &patch{Diff: d, w: bufio.NewWriterSize(w, 64<<10), only: fold(table), touched: map[string]bool{}, remade: map[string]bool{}}
	if table != "" {
		if _, err := d.pair(table); err != nil {
			return err
		}
	}
	err := p.write(ctx)
	if err == nil {
		err = p.w.Flush()
	}
	if err != nil {
		return fmt.Errorf("write the patch: %w", err)
	}
	return nil
}

type patch struct {
	*Diff
	w       *bufio.Writer // remembers its first error
	only    string        // folded name of the only table; "" for all
	touched map[string]bool
	remade  map[string]bool // dropped and created again, or created
}

func (p *patch) line(format string, args ...any) { _, _ = fmt.Fprintf(p.w, format+"\n", args...) }

func (p *patch) wants(o Object) bool { return p.only == "" || fold(o.Table) == p.only }

// target is the encoding of the database that is patched.
func (p *patch) target() sqlitefile.Encoding { return p.from.schema.Encoding }

func (p *patch) literal(v sqlitefile.Value) string { return dump.Literal(v, p.encoding, p.target()) }

func (p *patch) write(ctx context.Context) error {
	if err := p.findTouched(ctx); err != nil {
		return err
	}
	p.line("PRAGMA foreign_keys=OFF;")
	p.line("BEGIN IMMEDIATE;")
	p.line("PRAGMA defer_foreign_keys=ON;")
	p.line("PRAGMA ignore_check_constraints=ON;")
	p.drop()
	if err := p.createTables(); err != nil {
		return err
	}
	for _, t := range p.pairs {
		if err := p.rows(ctx, t); err != nil {
			return err
		}
	}
	p.rebuildFullText()
	if p.only == "" {
		if err := p.sequences(ctx); err != nil {
			return err
		}
	}
	if err := p.createOthers(); err != nil {
		return err
	}
	if p.only == "" {
		p.line("PRAGMA user_version=%d;", p.to.schema.UserVersion)
		p.line("PRAGMA application_id=%d;", p.to.schema.AppID)
	}
	p.line("PRAGMA ignore_check_constraints=OFF;")
	p.line("COMMIT;")
	return ctx.Err()
}

// findTouched finds the tables whose rows change, and those that are made again.
func (p *patch) findTouched(ctx context.Context) error {
	for _, t := range p.pairs {
		if p.only != "" && fold(t.name) != p.only {
			continue
		}
		a, b := t.objects[0], t.objects[1]
		if a == nil || b == nil || a.SQL != b.SQL || a.virtual() != b.virtual() {
			p.touched[fold(t.name)] = true
			p.remade[fold(t.name)] = b != nil
			continue
		}
		counts, err := t.count(ctx)
		if err != nil {
			return err
		}
		if counts.NotCompared != "" {
			return fmt.Errorf("%w: table %s: %s", ErrNoPatch, t.name, counts.NotCompared)
		}
		if counts.Differs() {
			if err := errors.Join(named(t.tables[0]), named(t.tables[1])); err != nil {
				return err
			}
			p.touched[fold(t.name)] = true
		}
	}
	return nil
}

// find returns the object of a schema that is of the kind and name of another one.
func (s *Schema) find(o Object) (Object, bool) {
	i := slices.IndexFunc(s.Objects, func(x Object) bool { return x.Type == o.Type && fold(x.Name) == fold(o.Name) })
	if i < 0 {
		return Object{}, false
	}
	return s.Objects[i], true
}

// stays reports whether an object of the first state is left as it is.
func (p *patch) stays(o Object) bool {
	other, ok := p.to.schema.find(o)
	if !ok || other.SQL != o.SQL {
		return false
	}
	switch o.Type {
	case "trigger":
		return !p.touched[fold(o.Table)]
	case "index":
		return !p.remade[fold(o.Table)]
	}
	return true
}

func (p *patch) ordinary(s *Schema, o Object) bool {
	return o.SQL != "" && !o.own() && !s.shadow(o) && p.wants(o)
}

func (p *patch) drop() {
	for _, kind := range []string{"trigger", "view", "index", "table"} {
		for _, o := range p.from.schema.Objects {
			if o.Type == kind && p.ordinary(p.from.schema, o) && !p.stays(o) {
				p.line("DROP %s IF EXISTS main.%s;", strings.ToUpper(kind), sqlite.QuoteName(o.Name))
			}
		}
	}
}

// createTables creates the tables that are new or others, virtual ones last: they may name others.
func (p *patch) createTables() error {
	for _, virtual := range []bool{false, true} {
		for _, o := range p.to.schema.Objects {
			if o.Type != "table" || o.virtual() != virtual || !p.ordinary(p.to.schema, o) || !p.remade[fold(o.Name)] {
				continue
			}
			if err := p.create(o); err != nil {
				return err
			}
		}
	}
	return nil
}

// createOthers creates the indexes, views and triggers that are new, others, or were dropped.
func (p *patch) createOthers() error {
	for _, kind := range []string{"index", "view", "trigger"} {
		for _, o := range p.to.schema.Objects {
			if o.Type != kind || !p.ordinary(p.to.schema, o) {
				continue
			}
			if before, ok := p.from.schema.find(o); ok && p.stays(before) {
				continue
			}
			if err := p.create(o); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *patch) create(o Object) error {
	if !dump.OneCreate(o.SQL) {
		return fmt.Errorf("%w: the SQL of %s %q is not one statement", ErrNoPatch, o.Type, o.Name)
	}
	p.line("%s", dump.Statement(o.SQL))
	return nil
}

// rebuildFullText has every full-text index whose rows are in another table made again where those changed.
func (p *patch) rebuildFullText() {
	for _, o := range p.to.schema.Objects {
		if !o.virtual() || moduleOf(o.SQL) != "fts5" || !p.wants(o) && p.only != "" {
			continue
		}
		if _, ok := p.to.schema.table(o.Name + "_content"); ok {
			continue
		}
		if content := contentOf(o.SQL); content != "" && (p.touched[fold(content)] || p.remade[fold(o.Name)]) {
			name := sqlite.QuoteName(o.Name)
			p.line("INSERT INTO %s(%s) VALUES('rebuild');", name, name)
		}
	}
}

// contentOf is the table that an FTS5 table's content option names; "" for none.
func contentOf(sql string) string {
	for rest := sql; ; {
		i := strings.Index(strings.ToLower(rest), "content")
		if i < 0 {
			return ""
		}
		rest = rest[i+len("content"):]
		value, ok := strings.CutPrefix(strings.TrimSpace(rest), "=")
		if !ok {
			continue
		}
		value, _, _ = strings.Cut(value, ",")
		return strings.Trim(strings.TrimSpace(value), "'\"`[]()")
	}
}

// sequences writes the counters of AUTOINCREMENT.
func (p *patch) sequences(ctx context.Context) error {
	_, before := p.from.schema.table("sqlite_sequence")
	if _, after := p.to.schema.table("sqlite_sequence"); !after {
		if before {
			p.line("DELETE FROM sqlite_sequence;")
		}
		return nil
	}
	cleared := false
	clear := func() {
		if !cleared {
			p.line("DELETE FROM sqlite_sequence;")
		}
		cleared = true
	}
	if before {
		clear()
	}
	return p.to.explain(p.to.Conn.Each(ctx, "SELECT name, seq FROM sqlite_sequence ORDER BY rowid", func(st *sqlite.Stmt) error {
		clear()
		name, seq := st.Value(0, p.to.schema.Encoding), st.Value(1, p.to.schema.Encoding)
		p.line("INSERT INTO sqlite_sequence(name,seq) VALUES(%s,%s);",
			dump.Literal(name, p.to.schema.Encoding, p.target()), dump.Literal(seq, p.to.schema.Encoding, p.target()))
		return nil
	}))
}
