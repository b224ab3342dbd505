package repair

import (
	"fmt"
	"testing"
)

// What a repair has and a backup has not, and the other way round, is what recovery chooses by. Lost otherwise: rows, to the way out
// that was counted wrongly.
func TestCompareCounts(t *testing.T) {
	t.Parallel()
	const made = `PRAGMA page_size=4096; CREATE TABLE t(id INTEGER PRIMARY KEY, c TEXT, d); CREATE INDEX t_c ON t(c); CREATE INDEX t_d ON t(d); CREATE TABLE u(id INTEGER PRIMARY KEY, c); CREATE INDEX u_c ON u(c); INSERT INTO u VALUES(1,1),(2,2); CREATE TABLE w(k TEXT PRIMARY KEY, v) WITHOUT ROWID;
		CREATE TABLE ix(a, b); CREATE INDEX ix_a ON ix(a); INSERT INTO ix VALUES(1,1); INSERT INTO t VALUES(1,'c1','d'),(2,'c2','d'),(3,'c3','d'),(4,'c4','d'); INSERT INTO w VALUES('a',1),('b',2);`
	for _, c := range []struct {
		name, before, since string
		older               string // a table whose page is that of before since
		both                bool   // in the backup as well
		loses               int64  // with the backup, which is made after before
		lost, only          string
	}{
		{name: "nothing", lost: "[]", only: "[]"},
		{name: "rows added", since: "INSERT INTO t VALUES(5,'c5','d'),(6,'c6','d'); INSERT INTO w VALUES('c',3)", loses: 3, lost: "[]", only: "[]"},
		{name: "rows deleted", since: "DELETE FROM t WHERE id<3; DELETE FROM w WHERE k='a'", lost: "[]", only: "[t 2 0 [1 2] w 1 0 []]"},
		{name: "rows changed", since: "UPDATE t SET d='e' WHERE id<4", loses: 3, lost: "[]", only: "[t 0 3 []]"},
		{name: "changed and deleted", since: "UPDATE t SET d='e' WHERE id=2; DELETE FROM t WHERE id=3", loses: 1, lost: "[]", only: "[t 1 1 [3]]"},
		{name: "rows changed without rowids", since: "UPDATE w SET v=9", loses: 2, lost: "[]", only: "[w 2 0 []]"},
		{name: "a table made", since: "CREATE TABLE n(x); INSERT INTO n VALUES(1),(2)", loses: 2, lost: "[]", only: "[]"},
		{name: "a table dropped", since: "DROP TABLE t", lost: "[]", only: "[t 4 0 [1 2 3 4]]"},
		{name: "rows gone since the backup", since: "INSERT INTO t VALUES(5,'c5','d'),(6,'c6','d')", older: "t", loses: 2, lost: "[t 2 0 [5 6]]", only: "[]"},
		{name: "rows gone that the backup has", before: "INSERT INTO t VALUES(5,'c5','d'),(6,'c6','d')", older: "t", lost: "[t 2 0 [5 6]]", only: "[]"},
		{name: "a row that was deleted is back", before: "DELETE FROM t WHERE id=4; INSERT INTO t VALUES(5,'c5','d')", older: "t", lost: "[t 1 0 [5]]", only: "[]"}, // two indexes say so
		{name: "one that an index may have lost", before: "DELETE FROM u WHERE id=2; INSERT INTO u VALUES(3,3)", older: "u", loses: 1, lost: "[u 1 0 [3]]", only: "[]"},
		{name: "rows gone in both", before: "INSERT INTO t VALUES(5,'c5','d'),(6,'c6','d')", older: "t", both: true, loses: 2, lost: "[t 2 0 [5 6]]", only: "[]"},
		{name: "rows older in both", before: "UPDATE t SET c='new' WHERE id=2", older: "t", both: true, loses: 1, lost: "[t 0 1 [2]]", only: "[]"},
		{name: "rows older than their index", since: "UPDATE t SET c='new' WHERE id=2", older: "t", loses: 1, lost: "[t 0 1 [2]]", only: "[]"},
	} {
		path := makeDB(t, "x.db", made)
		first := read(t, path)
		if c.before != "" {
			run(t, path, c.before)
		}
		backup := read(t, path)
		if c.since != "" {
			run(t, path, c.since)
		}
		damaged := read(t, path)
		if c.older != "" {
			at := (rootOf(t, path, c.older) - 1) * 4096
			copy(damaged[at:at+4096], first[at:])
			if c.both {
				copy(backup[at:at+4096], first[at:])
			}
		}
		clear(damaged[(rootOf(t, path, "ix_a")-1)*4096:][:4096])
		put(t, path, damaged)
		donor := imageFrom(backup)
		m, err := Copy(t.Context(), path, checkFull(t, path), Options{Donor: &donor})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		loses, err := m.Compare(t.Context(), path, donor)
		text := func(all []Loss) string {
			list := []any{}
			for _, l := range all {
				list = append(list, l.Table, l.Gone, l.Differ, l.RowIDs)
			}
			return fmt.Sprint(list)
		}
		if lost, only := text(m.Lost), text(m.BackupOnly); err != nil || loses != c.loses || lost != c.lost || only != c.only {
			t.Errorf("%s: the backup loses %d, lost %s, only in the backup %s, %v; want %d, %s, %s", c.name, loses, lost, only, err, c.loses, c.lost, c.only)
		}
	}
}

// A sound index of all rows proves a table whole; anything less leaves it open. Lost: rows, to a repair that says that it loses none; or a
// backup's time, for a row that was deleted.
func TestRepairSaysWhatIsNotProven(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, indexes, since string
		older, zero          string // an index: its page is that of before since, or zero
		unproven, lost       string
	}{
		{name: "no index", unproven: "[t ix]", lost: "[]"},
		{name: "an index of all rows", indexes: "CREATE INDEX t_c ON t(c)", unproven: "[ix]", lost: "[]"},
		{name: "of some rows", indexes: "CREATE INDEX t_c ON t(c) WHERE id>2", unproven: "[t ix]", lost: "[]"},
		{name: "one that is damaged", indexes: "CREATE INDEX t_c ON t(c)", zero: "t_c", unproven: "[t ix]", lost: "[]"},
		{name: "one of two", indexes: "CREATE INDEX t_c ON t(c); CREATE INDEX t_d ON t(d)", zero: "t_c", unproven: "[ix]", lost: "[]"},
		{name: "an older index", indexes: "CREATE INDEX t_c ON t(c)", since: "DELETE FROM t WHERE id=2", older: "t_c", unproven: "[t ix]", lost: "[{t 1 0 3 [2] 0}]"},
		{name: "and a sound one", indexes: "CREATE INDEX t_c ON t(c); CREATE INDEX t_d ON t(d)", since: "DELETE FROM t WHERE id=2", older: "t_c", unproven: "[ix]", lost: "[]"},
		{name: "that says a row otherwise", indexes: "CREATE INDEX t_c ON t(c); CREATE INDEX t_d ON t(d)", since: "UPDATE t SET c='new' WHERE id=2", older: "t_c", unproven: "[ix]", lost: "[{t 0 1 0 [2] 0}]"},
		{name: "rows of equal values", indexes: "CREATE INDEX t_e ON t(e)", unproven: "[ix]", lost: "[]"},
	} {
		path := makeDB(t, "x.db", "PRAGMA page_size=4096; CREATE TABLE t(id INTEGER PRIMARY KEY, c, d, e REAL); CREATE TABLE ix(a); CREATE INDEX ix_a ON ix(a); INSERT INTO ix VALUES(1);"+
			"INSERT INTO t VALUES(1,'c1','d1',1),(2,'c2','d2',1),(3,'c3','d3',2.5),(4,'c4','d4',1e300);"+c.indexes)
		first := read(t, path)
		if c.since != "" {
			run(t, path, c.since)
		}
		damaged := read(t, path)
		page := func(name string) []byte { return damaged[(rootOf(t, path, name)-1)*4096:][:4096] }
		clear(page("ix_a"))
		if c.older != "" {
			copy(page(c.older), first[(rootOf(t, path, c.older)-1)*4096:])
		}
		if c.zero != "" {
			clear(page(c.zero))
		}
		put(t, path, damaged)
		m, err := Copy(t.Context(), path, checkFull(t, path), Options{})
		if got := fmt.Sprint(m.Unproven); err != nil || got != c.unproven {
			t.Errorf("%s: %s is not proven, want %s; %v", c.name, got, c.unproven, err)
		}
		if got := fmt.Sprint(m.Lost); err != nil || (len(m.Lost) > 0) != (c.lost != "[]") || len(m.Lost) == 1 && fmt.Sprintf("[{%s %d %d %d %v %d}]", m.Lost[0].Table, m.Lost[0].Gone, m.Lost[0].Differ, m.Lost[0].Doubtful, m.Lost[0].RowIDs, m.Lost[0].elsewhere) != c.lost {
			t.Errorf("%s: lost %s, want %s", c.name, got, c.lost)
		}
	}
}
