package integrity

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"example.com/snapd/internal/sqlite"
)

// structure runs quick_check or integrity_check over the whole database, and
// where some expression of the schema cannot be evaluated, or takes more than its
// share, as much of it as can be had.
func (s *sqlCheck) structure(ctx context.Context, pragma string) error {
	if s.cost.pages > maxMapped {
		// SQLite keeps a bit for every page. A file that only claims to be so large has
		// pages that belong to nothing, and counting finds that without.
		if err := s.account(ctx); err != nil || s.found.damaged() {
			return err
		}
	}
	whole, err := s.whole(ctx, pragma)
	s.found.merge(*whole)
	if err == nil || !unfinished(err) {
		return s.judge(err)
	}
	if whole.unrepairable() && sqlite.Classify(err) == sqlite.ClassBudget {
		return nil // a damaged tree that never ends; more of the same is not worth the time
	}
	return s.piecemeal(ctx, pragma)
}

// whole runs a check of everything within its budget and returns what it found
// until it ended or failed.
//
// SQLite stops after as many lines as it is asked for. It reports the trees first
// and rows afterwards, table by table, so that the violations in one table could
// hide a broken index of the next: then the check is made again without a limit.
func (s *sqlCheck) whole(ctx context.Context, pragma string) (found *results, err error) {
	for _, limit := range []int{MaxFindings, math.MaxInt32} {
		whole := &sqlCheck{conn: s.conn, found: &results{}}
		s.conn.Limit(s.cost.budget())
		err = whole.pragma(ctx, fmt.Sprintf("PRAGMA %s(%d)", pragma, limit))
		s.conn.Limit(sqlite.Budget{})
		found = whole.found
		if err != nil || whole.rows < limit || found.damaged() {
			break
		}
	}
	return found, err
}

// unrepairable reports whether something was found that REINDEX does not repair.
func (t *results) unrepairable() bool {
	return slices.ContainsFunc(t.findings, func(f Finding) bool { return f.Code.Severity() >= SeverityDamage && f.Repair == "" })
}

func (s *sqlCheck) pragma(ctx context.Context, sql string) error {
	return s.conn.Each(ctx, sql, func(st *sqlite.Stmt) error {
		s.rows++
		for f := range parseRow(st.Text(0)) {
			s.found.file(f)
		}
		return nil
	})
}

// unfinished reports whether err cut a check off that may succeed in part.
func unfinished(err error) bool {
	return sqlite.IsInexpressible(err) || sqlite.Classify(err) == sqlite.ClassBudget
}

// reason is the engine's own word for why a check was cut off.
func reason(err error) string {
	var e *sqlite.Error
	if errors.As(err, &e) {
		return e.Msg
	}
	var over *sqlite.BudgetError
	if errors.As(err, &over) {
		return over.Error()
	}
	return err.Error()
}

// piecemeal makes up for a whole check that was cut off: the same without CHECK
// constraints, which are then evaluated where they can be, and where that is cut
// off as well, table by table.
func (s *sqlCheck) piecemeal(ctx context.Context, pragma string) error {
	if !s.cost.rules {
		return s.byTable(ctx, pragma)
	}
	var whole *results
	err := s.withoutRules(ctx, func() (err error) {
		whole, err = s.whole(ctx, pragma)
		return err
	})
	if err != nil && unfinished(err) {
		return s.byTable(ctx, pragma)
	}
	s.found.merge(*whole)
	if err := s.judge(err); err != nil || s.found.damaged() {
		return err
	}
	return s.rulesByTable(ctx)
}

// withoutRules runs check with CHECK constraints switched off.
func (s *sqlCheck) withoutRules(ctx context.Context, check func() error) error {
	if err := s.conn.Exec(ctx, "PRAGMA ignore_check_constraints=1"); err != nil {
		return err
	}
	err := check()
	// Even when ctx is done, the connection continues as it was.
	return errors.Join(err, s.conn.Exec(context.WithoutCancel(ctx), "PRAGMA ignore_check_constraints=0"))
}

// rulesByTable evaluates the CHECK constraints of each table by itself.
func (s *sqlCheck) rulesByTable(ctx context.Context) error {
	tables, err := s.tables(ctx, "check")
	if err != nil {
		return s.judge(err)
	}
	share := s.cost.share()
	for _, name := range tables {
		err := share.run(s.conn, func() error { return s.table(ctx, "quick_check", name) })
		if err != nil && unfinished(err) {
			s.found.addAt(Finding{Table: name}, CodeUncheckedRows, "the CHECK constraints of table %s were not evaluated: %s", name, reason(err))
			continue
		}
		if err := s.judge(err); err != nil {
			return err
		}
	}
	return nil
}

// tables names the tables that have pages and the keyword, in lower case, in their
// SQL: first those that have no expressions, which no crafted one shall hide.
func (s *sqlCheck) tables(ctx context.Context, keyword string) (names []string, err error) {
	var evaluated []string
	err = s.conn.Each(ctx, "SELECT name, sql FROM sqlite_schema WHERE type='table' AND rootpage>0 ORDER BY 1", func(st *sqlite.Stmt) error {
		name, sql := st.Text(0), st.Text(1)
		switch {
		case !strings.Contains(strings.ToLower(sql), keyword):
		case word.MatchString(sql):
			evaluated = append(evaluated, name)
		default:
			names = append(names, name)
		}
		return nil
	})
	return append(names, evaluated...), err
}

func (s *sqlCheck) table(ctx context.Context, pragma, name string) error {
	return s.pragma(ctx, fmt.Sprintf("PRAGMA %s(%s)", pragma, sqlite.QuoteName(name)))
}

// byTable checks each table by itself, so that one that cannot be checked does
// not hide the others. What that misses is made up for by the skeleton.
func (s *sqlCheck) byTable(ctx context.Context, pragma string) error {
	tables, err := s.tables(ctx, "")
	if err != nil {
		return s.judge(err)
	}
	share := s.cost.share()
	for _, name := range append([]string{"sqlite_schema"}, tables...) {
		err := share.run(s.conn, func() error { return s.table(ctx, pragma, name) })
		if err != nil && unfinished(err) {
			s.found.addAt(Finding{Table: name}, CodeUncheckedRows, "the rows of table %s were not checked: %s", name, reason(err))
			err = s.lesser(ctx, share, pragma, name)
		}
		if err := s.judge(err); err != nil {
			return err
		}
	}
	s.piecewise = true
	return nil
}

// maxUnknown bounds the names of the application's that are stubbed.
const maxUnknown = 100

// skeleton checks the trees of everything without evaluating anything: all
// functions and collations are stubs, which makes the connection unfit for any other
// check. What it says of rows and indexes is not believed. Where even that cannot be
// had, pages are only counted.
func (s *sqlCheck) skeleton(ctx context.Context, pragma string) error {
	s.stubbed = true
	if err := s.conn.StubFunctions(ctx); err != nil {
		return s.judge(err)
	}
	bare := &sqlCheck{conn: s.conn, found: &results{}}
	err := s.withoutRules(ctx, func() (err error) {
		for range maxUnknown {
			bare.found = &results{only: Code.ofTrees}
			s.conn.Limit(s.cost.budget())
			err = bare.pragma(ctx, fmt.Sprintf("PRAGMA %s(%d)", pragma, math.MaxInt32))
			s.conn.Limit(sqlite.Budget{})
			stubbed, serr := s.conn.StubUnknown(err)
			if !stubbed || serr != nil {
				return errors.Join(err, serr)
			}
		}
		return err
	})
	s.found.merge(*bare.found)
	if err != nil && unfinished(err) {
		return s.account(ctx)
	}
	return s.judge(err)
}

// lesser makes the checks of a table that evaluate less: without its CHECK
// constraints, and without comparing its rows with its indexes.
func (s *sqlCheck) lesser(ctx context.Context, share *share, pragma, name string) error {
	pragmas := []string{pragma}
	if pragma != "quick_check" {
		pragmas = append(pragmas, "quick_check")
	}
	return s.withoutRules(ctx, func() error {
		for _, p := range pragmas {
			err := share.run(s.conn, func() error { return s.table(ctx, p, name) })
			if err == nil || !unfinished(err) {
				return err
			}
		}
		return nil // the finding stands
	})
}
