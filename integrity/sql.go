package integrity

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"

	"example.com/snapd/internal/sqliteconn"
)

// sqlCheck runs the levels that go through SQLite on one connection whose read
// transaction is open.
type sqlCheck struct {
	conn *sqliteconn.Conn
	t    *tally
	code textCoding // known once run has begun
	rows int        // that quick_check or integrity_check has given
}

// run checks up to level and returns the level that proved damage, if any. An
// error means that the check could not be made.
func (s *sqlCheck) run(ctx context.Context, level Level) (failed *Level, err error) {
	if level < LevelProbe {
		return nil, nil
	}
	if s.code, err = codingOf(ctx, s.conn); err != nil {
		if err = s.judge(err); err != nil || s.t.damaged() {
			return at(LevelProbe), err
		}
	}
	if err := s.probe(ctx); err != nil || s.t.damaged() {
		return at(LevelProbe), err
	}
	if level < LevelQuick {
		return nil, nil
	}
	pragma := "quick_check"
	if level == LevelFull {
		pragma = "integrity_check" // all of quick_check and more
	}
	if err := s.structure(ctx, pragma); err != nil {
		return nil, err
	}
	if s.t.damaged() {
		return s.t.failedAt(), s.nameTrees(ctx)
	}
	if level == LevelFull {
		if err := s.foreignKeys(ctx); err != nil {
			return nil, err
		}
	}
	if s.t.damaged() {
		return at(LevelFull), nil
	}
	return nil, nil
}

func at(l Level) *Level { return &l }

// failedAt tells the level that proves the damage found: quick_check would have
// found all but what only a comparison of rows with index entries shows.
func (t *tally) failedAt() *Level {
	if t.quick {
		return at(LevelQuick)
	}
	return at(LevelFull)
}

// judge turns an error of the engine into a finding where it proves damage, and
// returns it otherwise.
func (s *sqlCheck) judge(err error) error {
	switch sqliteconn.Classify(err) {
	case sqliteconn.ClassCorrupt, sqliteconn.ClassNotADB:
	default:
		var e *sqliteconn.Error
		if errors.As(err, &e) && e.Msg == "unsupported file format" {
			s.t.add(CodeHeaderSchema, "SQLite: %s", e.Msg)
			return nil
		}
		return err
	}
	var e *sqliteconn.Error
	if !errors.As(err, &e) {
		return err
	}
	if strings.HasPrefix(e.Msg, "malformed database schema") {
		s.t.add(CodeSchema, "%s", e.Msg)
	} else {
		s.t.add(CodeUnreadable, "SQLite gave up: %s (code %d)", e.Msg, e.Code)
	}
	return nil
}

// probe reads the whole schema and names what cannot be checked here.
func (s *sqlCheck) probe(ctx context.Context) error {
	err := s.conn.Each(ctx, "SELECT type, name, rootpage, substr(sql,1,2000) FROM sqlite_schema", func(st *sqliteconn.Stmt) error {
		sql := s.code.text(st, 3)
		if s.code.text(st, 0) != "table" || !isVirtual(sql) {
			return nil
		}
		module := moduleOf(sql)
		n, err := s.modules(ctx, module)
		if err != nil {
			return err
		}
		if n == 0 {
			s.t.add(CodeUncheckedModule, "virtual table %s was not checked: this program does not have the module %s", s.code.text(st, 1), module)
		}
		return nil
	})
	return s.judge(err)
}

// modules counts the modules of that name.
func (s *sqlCheck) modules(ctx context.Context, name string) (int64, error) {
	return s.conn.Int(ctx, "SELECT count(*) FROM pragma_module_list WHERE lower(name)=lower("+quote(name, '\'')+")")
}

func isVirtual(sql string) bool {
	f := strings.Fields(sql)
	return len(f) > 2 && strings.EqualFold(f[0], "create") && strings.EqualFold(f[1], "virtual")
}

// moduleOf returns the module's name in a CREATE VIRTUAL TABLE statement: the
// word after the first USING that is not inside quotes.
func moduleOf(sql string) string {
	using := false
	for sql != "" {
		n := strings.IndexFunc(sql, func(r rune) bool { return !isWord(r) })
		if n < 0 {
			n = len(sql)
		}
		word := sql[:n]
		sql = sql[n:]
		if using && word != "" {
			return word
		}
		using = using || strings.EqualFold(word, "using")
		if sql == "" {
			break
		}
		q := sql[:1]
		sql = sql[1:]
		if i := strings.Index("\"'`[", q); i >= 0 {
			inside, rest, _ := strings.Cut(sql, "\"'`]"[i:i+1])
			if using {
				return inside
			}
			sql = rest
		}
	}
	return ""
}

func isWord(r rune) bool {
	return r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r > 0x7f
}

// quote returns name as an SQL string or identifier in the given quotes.
func quote(name string, q rune) string {
	name, _, _ = strings.Cut(name, "\x00")
	return string(q) + strings.ReplaceAll(name, string(q), string(q)+string(q)) + string(q)
}

// structure runs quick_check or integrity_check over the whole database, and
// where some expression of the schema cannot be evaluated, table by table.
//
// SQLite stops after as many lines as it is asked for. It reports the trees first
// and rows afterwards, table by table, so that the violations in one table could
// hide a broken index of the next: then the check is made again without a limit.
func (s *sqlCheck) structure(ctx context.Context, pragma string) error {
	for _, limit := range []int{MaxFindings, math.MaxInt32} {
		whole := &sqlCheck{conn: s.conn, t: &tally{}, code: s.code}
		err := whole.pragma(ctx, fmt.Sprintf("PRAGMA %s(%d)", pragma, limit))
		if err != nil && inexpressible(err) {
			return s.byTable(ctx, pragma)
		}
		if err == nil && whole.rows >= limit && !whole.t.damaged() {
			continue
		}
		s.t.merge(*whole.t)
		return s.judge(err)
	}
	return nil // there are fewer than MaxInt32 lines
}

func (s *sqlCheck) pragma(ctx context.Context, sql string) error {
	return s.conn.Each(ctx, sql, func(st *sqliteconn.Stmt) error {
		s.rows++
		s.t.addLines(s.code.text(st, 0))
		return nil
	})
}

// inexpressible reports whether err is about an expression in the schema (a
// function or collation of the application's, a value past the limit, a
// function that fails on the data), not about the database.
func inexpressible(err error) bool {
	switch sqliteconn.Classify(err) {
	case sqliteconn.ClassOther, sqliteconn.ClassTooBig:
		var e *sqliteconn.Error
		return errors.As(err, &e)
	}
	return false
}

// byTable checks each table by itself, so that one that cannot be checked does
// not hide the others. What that misses (free pages, pages used by two tables or
// by none) is made up for by accounting.
func (s *sqlCheck) byTable(ctx context.Context, pragma string) error {
	var tables []string
	err := s.conn.Each(ctx, "SELECT name FROM sqlite_schema WHERE type='table' AND rootpage>0", func(st *sqliteconn.Stmt) error {
		tables = append(tables, s.code.text(st, 0))
		return nil
	})
	if err != nil {
		return s.judge(err)
	}
	for _, name := range append(tables, "sqlite_schema") {
		err := s.pragma(ctx, fmt.Sprintf("PRAGMA %s(%s)", pragma, quote(name, '"')))
		if err != nil && inexpressible(err) {
			var e *sqliteconn.Error
			errors.As(err, &e)
			s.t.add(CodeUncheckedRows, "the rows of table %s were not checked: %s", name, e.Msg)
			continue
		}
		if err := s.judge(err); err != nil {
			return err
		}
	}
	return s.account(ctx)
}

// account reads every page of every tree without evaluating anything (dbstat)
// and compares the sum with the size of the database.
func (s *sqlCheck) account(ctx context.Context) error {
	var pages, distinct int64
	err := s.conn.Each(ctx, "SELECT count(*), count(DISTINCT pageno) FROM dbstat", func(st *sqliteconn.Stmt) error {
		pages, distinct = st.Int(0), st.Int(1)
		return nil
	})
	if err != nil {
		return s.judge(err)
	}
	bad, err := s.conn.Int(ctx, "SELECT count(*) FROM dbstat WHERE pagetype='corrupted'")
	if err != nil {
		return s.judge(err)
	}
	if bad > 0 {
		s.t.add(CodePage, "%d pages are not what their places in the trees require", bad)
	}
	if pages != distinct {
		s.t.add(CodePageTwice, "%d pages belong to two places", pages-distinct)
	}
	return s.accountFree(ctx, distinct)
}

// accountFree compares used, free and reserved pages with the size.
func (s *sqlCheck) accountFree(ctx context.Context, used int64) error {
	facts := map[string]int64{}
	for _, p := range []string{"page_count", "page_size", "freelist_count", "auto_vacuum"} {
		v, err := s.conn.Int(ctx, "PRAGMA "+p)
		if err != nil {
			return s.judge(err)
		}
		facts[p] = v
	}
	reserved := int64(0)
	if facts["page_count"] >= lockBytePage(int(facts["page_size"])) {
		reserved++
	}
	if facts["auto_vacuum"] != 0 {
		unusable, err := s.reservedBytes(ctx)
		if err != nil {
			return s.judge(err)
		}
		reserved += pointerMapPages(facts["page_count"], facts["page_size"]-unusable)
	}
	switch rest := facts["page_count"] - facts["freelist_count"] - reserved - used; {
	case rest > 0:
		s.t.add(CodePageNever, "%d pages belong to nothing", rest)
	case rest < 0:
		s.t.add(CodeFreelist, "%d pages more are in use or free than the database has", -rest)
	}
	return nil
}

// reservedBytes returns how many bytes at the end of every page are not SQLite's.
func (s *sqlCheck) reservedBytes(ctx context.Context) (n int64, err error) {
	err = s.conn.Each(ctx, "SELECT data FROM sqlite_dbpage WHERE pgno=1", func(st *sqliteconn.Stmt) error {
		if b := st.Blob(0); len(b) >= headerSize {
			n = int64(b[20])
		}
		return nil
	})
	return n, err
}

// pointerMapPages counts the pointer map pages of an auto_vacuum database: the
// first is page 2, and each is followed by the pages that it has entries of five
// bytes for (SQLite file format §1.8).
func pointerMapPages(pages, usable int64) int64 {
	if pages < 2 {
		return 0
	}
	return (pages-2)/(usable/5+1) + 1
}

// maxForeignKeys bounds the rows that one foreign_key_check is asked for.
const maxForeignKeys = 10 * MaxFindings

var errEnough = errors.New("enough findings")

// foreignKeys runs foreign_key_check table by table: a table whose foreign key
// names no usable key makes the whole pragma fail.
func (s *sqlCheck) foreignKeys(ctx context.Context) error {
	var tables []string
	err := s.conn.Each(ctx, "SELECT DISTINCT m.name FROM sqlite_schema m, pragma_foreign_key_list(m.name) WHERE m.type='table' ORDER BY 1", func(st *sqliteconn.Stmt) error {
		tables = append(tables, s.code.text(st, 0))
		return nil
	})
	if err != nil {
		return s.judge(err)
	}
	for _, table := range tables {
		rows := 0
		err := s.conn.Each(ctx, "PRAGMA foreign_key_check("+quote(table, '"')+")", func(st *sqliteconn.Stmt) error {
			row := "a row"
			if !st.IsNull(1) {
				row = fmt.Sprintf("row %d", st.Int(1))
			}
			s.t.add(CodeForeignKey, "%s of table %s refers to a row of %s that is not there (foreign key %d)", row, table, s.code.text(st, 2), st.Int(3))
			if rows++; rows >= maxForeignKeys {
				return errEnough
			}
			return nil
		})
		var e *sqliteconn.Error
		switch {
		case err == nil || errors.Is(err, errEnough):
		case errors.As(err, &e) && strings.HasPrefix(e.Msg, "foreign key mismatch"):
			s.t.add(CodeFKMismatch, "%s", e.Msg)
		case inexpressible(err):
			errors.As(err, &e)
			s.t.add(CodeUncheckedRows, "the foreign keys of table %s were not checked: %s", table, e.Msg)
		default:
			if err := s.judge(err); err != nil {
				return err
			}
		}
	}
	return nil
}
