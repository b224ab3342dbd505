package integrity

import (
	"context"
	"fmt"

	"example.com/snapd/internal/sqlite"
	"example.com/snapd/internal/sqlitefile"
)

// account reads every page of every tree without evaluating anything (dbstat)
// and compares the sum with the size of the database.
func (s *sqlCheck) account(ctx context.Context) error {
	if s.shadowed {
		s.notCounted("the schema has a table or view of the engine's own name dbstat")
		return nil
	}
	s.conn.Limit(s.cost.budget())
	err := s.accountTrees(ctx)
	s.conn.Limit(sqlite.Budget{})
	if err != nil && sqlite.Classify(err) == sqlite.ClassBudget {
		s.notCounted(reason(err))
		return nil
	}
	return s.judge(err)
}

func (s *sqlCheck) notCounted(why string) {
	s.found.add(CodeUncheckedRows, "the pages of the trees were not counted: %s", why)
}

func (s *sqlCheck) accountTrees(ctx context.Context) error {
	size, err := s.conn.Int(ctx, "PRAGMA page_count")
	if err != nil {
		return err
	}
	// Trees that share pages can have more branches than a check can count: one
	// page more than there are is proof enough.
	var pages, distinct, bad int64
	err = s.conn.Each(ctx, fmt.Sprintf("SELECT count(*), count(DISTINCT pageno), count(CASE WHEN pagetype='corrupted' THEN 1 END) FROM (SELECT pageno, pagetype FROM dbstat LIMIT %d)", size+1), func(st *sqlite.Stmt) error {
		pages, distinct, bad = st.Int(0), st.Int(1), st.Int(2)
		return nil
	})
	if err != nil {
		return err
	}
	if bad > 0 {
		s.found.add(CodePage, "%d pages are not what their places in the trees require", bad)
	}
	if pages != distinct {
		s.found.add(CodePageMultiplyReferenced, "%d pages belong to two places", pages-distinct)
	}
	if pages > size {
		return nil
	}
	return s.accountFree(ctx, distinct)
}

// accountFree compares used, free and reserved pages with the size.
func (s *sqlCheck) accountFree(ctx context.Context, used int64) error {
	facts := map[string]int64{}
	for _, p := range []string{"page_count", "page_size", "freelist_count", "auto_vacuum"} {
		v, err := s.conn.Int(ctx, "PRAGMA "+p)
		if err != nil {
			return err
		}
		facts[p] = v
	}
	reserved := int64(0)
	if facts["page_count"] >= int64(sqlitefile.LockPage(int(facts["page_size"]))) {
		reserved++
	}
	if facts["auto_vacuum"] != 0 {
		unusable, err := s.reservedBytes(ctx)
		if err != nil {
			return err
		}
		size := facts["page_size"]
		reserved += int64(sqlitefile.PointerMapPages(uint32(facts["page_count"]), int(size), int(size-unusable)))
	}
	switch rest := facts["page_count"] - facts["freelist_count"] - reserved - used; {
	case rest > 0:
		s.found.add(CodePageUnreferenced, "%d pages belong to nothing", rest)
	case rest < 0:
		s.found.add(CodeFreelist, "%d pages more are in use or free than the database has", -rest)
	}
	return nil
}

// reservedBytes returns how many bytes at the end of every page are not SQLite's.
func (s *sqlCheck) reservedBytes(ctx context.Context) (n int64, err error) {
	err = s.conn.Each(ctx, "SELECT data FROM sqlite_dbpage WHERE pgno=1", func(st *sqlite.Stmt) error {
		if h := sqlitefile.HeaderOf(st.Blob(0)); h != nil {
			n = int64(h.Reserved())
		}
		return nil
	})
	return n, err
}
