package integrity

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"example.com/snapd/internal/sqlite"
	"example.com/snapd/internal/sqlitefile"
)

// complete makes up for a whole check that SQLite made only in part: it takes the
// list of root pages that it is about to check for one of a single table when the
// list begins with 0, as it does where the first of the tables in memory is a view or
// a virtual table. It then looks neither at free pages nor for pages that belong to
// nothing (pragma.c and btree.c: bPartial; all versions to date).
func (s *sqlCheck) complete(ctx context.Context) error {
	if s.found.damaged() {
		return nil
	}
	s.conn.Limit(s.cost.budget())
	defer s.conn.Limit(sqlite.Budget{})
	partial, err := s.partial(ctx)
	if err == nil && partial {
		err = s.pragma(ctx, "PRAGMA quick_check(sqlite_schema)") // and the list of free pages
	}
	switch {
	case err != nil && unfinished(err):
		return nil // then the whole check failed as well, and what stands in for it does the accounts
	case err != nil || !partial:
		return s.judge(err)
	case s.found.damaged():
		return nil
	case s.shadowed:
		s.notCounted("the schema has a table or view of the engine's own name dbstat")
		return nil
	}
	err = s.pageUse(ctx)
	if sqlite.Classify(err) == sqlite.ClassBudget {
		s.notCounted(reason(err))
		return nil
	}
	return s.judge(err)
}

// pageUse gives every page its owner: a tree, the list of free pages, or none.
func (s *sqlCheck) pageUse(ctx context.Context) error {
	pages, err := s.conn.Int(ctx, "PRAGMA page_count")
	if err != nil {
		return err
	}
	var h header
	if err := s.page(ctx, 1, h.Header[:]); err != nil {
		return err
	}
	taken := make([]uint64, pages/64+1)
	// take reports whether page n was not taken yet.
	take := func(n int64) bool {
		bit := uint64(1) << (n % 64)
		free := taken[n/64]&bit == 0
		taken[n/64] |= bit
		return free
	}
	// One row more than there are pages proves that some page has two owners.
	err = s.conn.Each(ctx, fmt.Sprintf("SELECT pageno, name FROM dbstat LIMIT %d", pages+1), func(st *sqlite.Stmt) error {
		if n := st.Int(0); n < 1 || n > pages {
			s.found.addAt(Finding{Page: n}, CodePageNumber, "the tree of %s has page %d, and the database has %d pages", st.Text(1), n, pages)
		} else if !take(n) {
			s.found.addAt(Finding{Page: n}, CodePageMultiplyReferenced, "page %d of the tree of %s belongs to something else as well", n, st.Text(1))
		}
		return nil
	})
	if err != nil || s.found.damaged() {
		return err
	}
	if err := s.takeFree(ctx, &h, pages, take); err != nil {
		return err
	}
	// A sparse file has room for more lost pages than a report can list.
	for n := int64(1); n <= pages && !s.found.more; n++ {
		if n%(1<<16) == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		reserved := uint32(n) == sqlitefile.LockPage(h.PageSize()) || h.LargestRoot() != 0 && h.IsPointerMap(uint32(n))
		switch lost := take(n); {
		case reserved && !lost:
			s.found.addAt(Finding{Page: n}, CodePageMultiplyReferenced, "page %d is in use, and SQLite keeps it for itself", n)
		case lost && !reserved:
			s.found.addAt(Finding{Page: n}, CodePageUnreferenced, "page %d belongs to nothing", n)
		}
	}
	return nil
}

// takeFree takes the pages of the freelist.
func (s *sqlCheck) takeFree(ctx context.Context, h *header, pages int64, take func(int64) bool) error {
	free := func(n int64) bool {
		if n >= 1 && n <= pages && take(n) {
			return true
		}
		s.found.addAt(Finding{Page: n}, CodeFreelist, "the list of free pages has page %d, which is in use, listed twice or past the end", n)
		return false
	}
	b := make([]byte, sqlitefile.MaxPageSize)
	first, _ := h.Freelist()
	for n := int64(first); n != 0 && free(n); {
		if err := s.page(ctx, n, b); err != nil {
			return err
		}
		trunk, err := sqlitefile.ParseTrunk(b, h.Usable())
		for _, leaf := range trunk.Leaves {
			if !free(int64(leaf)) {
				return nil
			}
		}
		if err != nil {
			s.found.addAt(Finding{Page: n}, CodeFreelist, "page %d of the list of free pages counts more pages than it has room for", n)
			return nil
		}
		n = int64(trunk.Next)
	}
	return nil
}

// page fills b with the start of page n; what the page lacks is zero.
func (s *sqlCheck) page(ctx context.Context, n int64, b []byte) error {
	clear(b)
	return s.conn.Each(ctx, fmt.Sprintf("SELECT data FROM sqlite_dbpage WHERE pgno=%d", n), func(st *sqlite.Stmt) error {
		copy(b, st.Blob(0))
		return nil
	})
}

// partial asks the compiled check for the first root page that it will look at.
func (s *sqlCheck) partial(ctx context.Context) (partial bool, err error) {
	err = s.conn.Each(ctx, "EXPLAIN PRAGMA quick_check(1)", func(st *sqlite.Stmt) error {
		if st.Text(1) != "IntegrityCk" {
			return nil
		}
		partial = strings.HasPrefix(st.Text(5), "[0,")
		return errEnough
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return partial, err
}

// explain finds out more where SQLite only said that it gave up.
func (s *sqlCheck) explain(ctx context.Context, level Level) error {
	if level == LevelProbe {
		s.found.rename(CodeUnreadable, CodeSchemaTable, "the table that holds the schema cannot be read")
		return nil
	}
	s.conn.Limit(s.cost.budget())
	defer s.conn.Limit(sqlite.Budget{})
	for _, f := range s.found.findings {
		var err error
		switch f.Code {
		case CodeUnreadable:
			err = s.explainPages(ctx)
		case CodeVirtualTable:
			err = s.explainModules(ctx)
		}
		var e *sqlite.Error
		if err != nil && !errors.As(err, &e) && !unfinished(err) {
			return err
		}
	}
	return nil
}

// explainPages names pages that are of another kind than the root of their tree.
func (s *sqlCheck) explainPages(ctx context.Context) error {
	if s.shadowed {
		return nil
	}
	size, err := s.conn.Int(ctx, "PRAGMA page_count")
	if err != nil {
		return err
	}
	var tree string
	var kind byte
	return s.conn.Each(ctx, fmt.Sprintf("SELECT t.name, t.pageno, t.path='/', %s FROM (SELECT name, pageno, path FROM dbstat WHERE pagetype IN ('leaf','internal') LIMIT %d) t CROSS JOIN sqlite_dbpage d ON d.pgno=t.pageno", pageKind, size+1), func(st *sqlite.Stmt) error {
		b := st.Blob(3)
		if len(b) != 1 {
			return nil
		}
		switch k := b[0] & 7; { // 5 in all pages of tables with rowids, 2 in all others
		case st.Int(2) != 0:
			tree, kind = st.Text(0), k
		case k != kind:
			s.found.addAt(Finding{Page: st.Int(1)}, CodePage, "page %d is in the tree of %s and belongs to one of another kind", st.Int(1), tree)
		}
		return nil
	})
}

// explainModules names the virtual tables that SQLite cannot check by themselves either.
func (s *sqlCheck) explainModules(ctx context.Context) error {
	_, modules, err := s.objects(ctx)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(modules)) {
		module := modules[name]
		err := s.conn.Exec(ctx, "PRAGMA quick_check("+sqlite.QuoteName(name)+")")
		if sqlite.Classify(err) != sqlite.ClassCorrupt {
			continue
		}
		var e *sqlite.Error
		errors.As(err, &e)
		code := CodeVirtualTable
		switch module = strings.ToLower(module); {
		case strings.HasPrefix(module, "rtree"), module == "geopoly":
			code = CodeRTree
		case module == "fts5":
			code = CodeFTS
		}
		s.found.addAt(Finding{Table: name}, code, "virtual table %s cannot be read: %s", name, e.Msg)
	}
	return nil
}

// rename gives findings of one code another one, and says so.
func (t *results) rename(from, to Code, why string) {
	for i := range t.findings {
		if f := &t.findings[i]; f.Code == from {
			f.Code, f.Message = to, bounded(why+": "+f.Message)
		}
	}
}
