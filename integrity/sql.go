package integrity

import (
	"context"
	"errors"
	"strings"

	"example.com/snapd/internal/sqlite"
)

// sqlCheck runs the levels that go through SQLite on one connection whose read
// transaction is open.
type sqlCheck struct {
	conn  *sqlite.Conn
	found *results

	rows int  // that quick_check or integrity_check has given
	cost cost // known once probe has run
	// piecewise says that tables had to be checked one by one, and not all of them whole.
	piecewise bool
	// stubbed says that the connection's functions are no longer what they were.
	stubbed bool
	// shadowed says that the schema has an object named as the engine's own dbstat or
	// pragma functions: asking for those would give what that object holds.
	shadowed bool
}

// isShadow reports whether an object of this name stands before one of the engine's
// own. Names that begin with sqlite_ are the engine's alone.
func isShadow(name string) bool {
	name = strings.ToLower(name)
	return name == "dbstat" || strings.HasPrefix(name, "pragma_")
}

// run checks up to level and returns the level that proved damage, if any. An
// error means that the check could not be made.
func (s *sqlCheck) run(ctx context.Context, level Level) (failed *Level, err error) {
	if level < LevelProbe {
		return nil, nil
	}
	if err := s.probe(ctx); err != nil || s.found.damaged() {
		return at(LevelProbe), errors.Join(err, s.explain(ctx, LevelProbe))
	}
	if err := s.schemaRules(ctx); err != nil || s.found.damaged() {
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
	if err := s.complete(ctx); err != nil {
		return nil, err
	}
	if level == LevelFull && !s.found.damaged() {
		if err := s.foreignKeys(ctx); err != nil {
			return nil, err
		}
	}
	if s.piecewise && !s.found.damaged() {
		if err := s.skeleton(ctx, pragma); err != nil {
			return nil, err
		}
	}
	if !s.found.damaged() {
		return nil, nil
	}
	if failed, err = s.failedAt(ctx, level); err != nil {
		return nil, err
	}
	return failed, errors.Join(s.explain(ctx, LevelQuick), s.nameTrees(ctx), s.countRows(ctx))
}

func at(l Level) *Level { return &l }

// failedAt returns the lowest level that proves the damage found at level.
func (s *sqlCheck) failedAt(ctx context.Context, level Level) (*Level, error) {
	if level < LevelFull {
		return at(LevelQuick), nil
	}
	again := &sqlCheck{conn: s.conn, found: &results{}, cost: s.cost, shadowed: s.shadowed}
	var err error
	if s.stubbed {
		err = again.skeleton(ctx, "quick_check")
	} else if err = again.structure(ctx, "quick_check"); err == nil {
		err = again.complete(ctx)
	}
	if err != nil || again.found.damaged() {
		return at(LevelQuick), err
	}
	return at(LevelFull), nil
}

// judge turns an error of the engine into a finding where it proves damage, and
// returns it otherwise.
func (s *sqlCheck) judge(err error) error {
	switch sqlite.Classify(err) {
	case sqlite.ClassCorrupt, sqlite.ClassNotADB:
	default:
		var e *sqlite.Error
		if errors.As(err, &e) && e.Msg == "unsupported file format" {
			s.found.add(CodeHeaderSchema, "SQLite: %s", e.Msg)
			return nil
		}
		return err
	}
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return err
	}
	s.found.addError(e)
	return nil
}

// probe reads the whole schema and names what cannot be checked here.
func (s *sqlCheck) probe(ctx context.Context) error {
	known := map[string]bool{} // modules
	err := s.conn.Each(ctx, "SELECT type, name, rootpage, sql FROM sqlite_schema", func(st *sqlite.Stmt) error {
		kind, sql := st.Text(0), st.Text(3)
		s.cost.add(kind, sql)
		s.shadowed = s.shadowed || isShadow(st.Text(1))
		if kind != "table" || !isVirtual(sql) {
			return nil
		}
		module := moduleOf(sql)
		if _, asked := known[module]; !asked {
			n, err := s.modules(ctx, module)
			if err != nil {
				return err
			}
			known[module] = n > 0
		}
		if !known[module] {
			s.found.addAt(Finding{Table: st.Text(1)}, CodeUncheckedModule, "virtual table %s was not checked: this program does not have the module %s", st.Text(1), module)
		}
		return nil
	})
	if err := s.judge(err); err != nil || s.found.damaged() {
		return err
	}
	return s.measure(ctx)
}

// modules counts the modules of that name.
func (s *sqlCheck) modules(ctx context.Context, name string) (n int64, err error) {
	err = s.conn.Each(ctx, "PRAGMA module_list", func(st *sqlite.Stmt) error {
		if strings.EqualFold(st.Text(0), name) {
			n++
		}
		return nil
	})
	return n, err
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
