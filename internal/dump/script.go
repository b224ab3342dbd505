package dump

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"example.com/snapd/internal/sqlite"
	"example.com/snapd/internal/sqlitefile"
)

// ErrNoScript: what is there cannot be written as an SQL script.
var ErrNoScript = errors.New("it cannot be written as an SQL script")

// ErrNoTable: the database has no table of that name.
var ErrNoTable = errors.New("no such table")

// Written counts what a script has.
type Written struct {
	Tables int   `json:"tables"`
	Rows   int64 `json:"rows"`
}

// maxSchema bounds the SQL of a schema, in bytes: it is kept while the script is written.
const maxSchema = 64 << 20

// Script writes the database as SQL that gives an equal one, in a new file: schema, rows with their rowids, sequences,
// statistics, encoding, and the two numbers of the header that are the application's. With a table, it is that one alone
// with its indexes and triggers.
//
// The parts, in order:
//
//	encoding; BEGIN; application_id, user_version
//	each table, and its rows: with those in which virtual tables keep their content, as they are
//	sqlite_sequence and the statistics of ANALYZE, which no one may create but with writable_schema
//	indexes, views, triggers: after the rows, so that no trigger runs
//	virtual tables, as entries of the schema: their modules run only when the file is opened again
//	COMMIT
func Script(ctx context.Context, c *sqlite.Conn, table string, w io.Writer) (Written, error) {
	s := &script{ctx: ctx, c: c, w: bufio.NewWriterSize(w, 64<<10)}
	err := s.read(table)
	if err == nil {
		err = s.write(table)
	}
	if err == nil {
		err = s.w.Flush()
	}
	return s.done, err
}

// object is an entry of the schema.
type object struct {
	kind, name, table, sql string
	virtual                bool
}

// internal reports whether only SQLite itself creates the table.
func (o object) internal() bool { return strings.HasPrefix(strings.ToLower(o.name), "sqlite_") }

type script struct {
	ctx      context.Context
	c        *sqlite.Conn
	w        *bufio.Writer
	encoding sqlitefile.Encoding
	target   sqlitefile.Encoding // of the database that the script is for
	objects  []object
	done     Written

	writable bool // the script has switched writable_schema on
}

// read reads the schema, or what of it belongs to one table.
func (s *script) read(table string) error {
	size := 0
	err := s.c.Each(s.ctx, "SELECT type, name, tbl_name, sql, rootpage FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid", func(st *sqlite.Stmt) error {
		o := object{st.Text(0), st.Text(1), st.Text(2), st.Text(3), st.Text(0) == "table" && st.Int(4) == 0}
		if table != "" && !strings.EqualFold(o.table, table) {
			return nil
		}
		if size += len(o.sql) + len(o.name); size > maxSchema {
			return fmt.Errorf("%w: its schema has more than %d bytes", ErrNoScript, maxSchema)
		}
		if strings.ContainsRune(o.name+o.table, 0) || !o.virtual && !OneCreate(o.sql) {
			return fmt.Errorf("%w: the schema's entry %q is not one statement", ErrNoScript, o.name)
		}
		s.objects = append(s.objects, o)
		return nil
	})
	if err != nil || table == "" {
		return err
	}
	i := slices.IndexFunc(s.objects, func(o object) bool { return o.kind == "table" && strings.EqualFold(o.name, table) })
	switch {
	case i < 0:
		return fmt.Errorf("%w: %s", ErrNoTable, table)
	case s.objects[i].virtual:
		return fmt.Errorf("%w: %s is a virtual table, whose content is in others", ErrNoScript, table)
	}
	return nil
}

func (s *script) write(table string) error {
	s.line("PRAGMA foreign_keys=OFF;")
	if err := s.header(table != ""); err != nil {
		return err
	}
	for _, o := range s.objects {
		if o.kind != "table" || o.virtual || o.internal() {
			continue
		}
		s.statement(o.sql)
		if err := s.rows(o.name); err != nil {
			return err
		}
	}
	if err := s.bookkeeping(table); err != nil {
		return err
	}
	for _, kind := range []string{"index", "view", "trigger"} {
		for _, o := range s.objects {
			if o.kind == kind {
				s.statement(o.sql)
			}
		}
	}
	for _, o := range s.objects {
		if o.virtual {
			s.done.Tables++
			s.writableSchema()
			s.line("INSERT INTO sqlite_master(type,name,tbl_name,rootpage,sql) VALUES('table',%s,%s,0,%s);",
				sqlite.QuoteText(o.name), sqlite.QuoteText(o.table), s.quoted(o.sql))
		}
	}
	if s.writable {
		s.line("PRAGMA writable_schema=OFF;")
	}
	s.line("COMMIT;")
	if s.writable {
		s.line("PRAGMA writable_schema=RESET;") // reads the schema again
	}
	return s.ctx.Err()
}

// writableSchema has what follows write to the schema.
func (s *script) writableSchema() {
	if !s.writable {
		s.line("PRAGMA writable_schema=ON;")
	}
	s.writable = true
}

// header writes what stands in the file's header.
func (s *script) header(tableOnly bool) error {
	encoding, err := s.c.Text(s.ctx, "PRAGMA encoding")
	if err != nil {
		return err
	}
	for s.encoding = sqlitefile.UTF8; s.encoding < sqlitefile.UTF16BE && s.encoding.String() != encoding; s.encoding++ {
	}
	s.target = s.encoding
	switch {
	case tableOnly:
		s.target = sqlitefile.UTF8 // of a new one, unless it is said
	case s.encoding != sqlitefile.UTF8:
		s.line("PRAGMA encoding='%s';", encoding)
	}
	s.line("BEGIN TRANSACTION;")
	s.line("PRAGMA ignore_check_constraints=ON;")
	if tableOnly {
		return nil
	}
	for _, name := range []string{"application_id", "user_version"} {
		n, err := s.c.Int(s.ctx, "PRAGMA "+name)
		if err != nil {
			return err
		}
		if n != 0 {
			s.line("PRAGMA %s=%d;", name, n)
		}
	}
	return nil
}

// bookkeeping writes SQLite's own tables.
func (s *script) bookkeeping(table string) error {
	s.line("PRAGMA ignore_check_constraints=OFF;")
	for _, o := range s.objects {
		if o.kind != "table" || o.virtual || !o.internal() {
			continue
		}
		rest, ok := strings.CutPrefix(o.sql, "CREATE TABLE ")
		if !ok {
			continue // none of SQLite's
		}
		s.writableSchema()
		s.statement("CREATE TABLE IF NOT EXISTS " + rest)
		s.line("DELETE FROM %s;", sqlite.QuoteName(o.name))
		if err := s.rows(o.name); err != nil {
			return err
		}
	}
	if table == "" {
		return nil
	}
	name := sqlite.QuoteText(table)
	counted, err := s.c.Int(s.ctx, "SELECT count(*) FROM sqlite_schema WHERE name='sqlite_sequence'")
	if err != nil || counted == 0 {
		return err
	}
	return s.c.Each(s.ctx, "SELECT seq FROM sqlite_sequence WHERE name="+name, func(st *sqlite.Stmt) error {
		s.line("DELETE FROM sqlite_sequence WHERE name=%s;", name)
		s.line("INSERT INTO sqlite_sequence(name,seq) VALUES(%s,%d);", name, st.Int(0))
		return nil
	})
}

// line writes one line. The writer remembers its error.
func (s *script) line(format string, args ...any) { _, _ = fmt.Fprintf(s.w, format+"\n", args...) }

func (s *script) statement(sql string) { s.line("%s", Statement(sql)) }

func (s *script) quoted(text string) string {
	return Literal(sqlitefile.Value{Kind: sqlitefile.Text, Bytes: []byte(text)}, sqlitefile.UTF8, s.target)
}
