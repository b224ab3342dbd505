package repair

import (
	"errors"
	"testing"
)

// The schema is lost, and the backup's is another one. Lost otherwise: columns that the backup's table
// does not have, or rows to another table, and the repair says that it loses none.
func TestRepairDonorOfAnotherSchema(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, before, since string }{
		{"column added", "CREATE TABLE t(a INTEGER PRIMARY KEY, b);", "ALTER TABLE t ADD COLUMN c;" + rows200 + "INSERT INTO t SELECT i, 'b'||i, 'c'||i FROM n;"},
		{"column dropped", "CREATE TABLE t(a INTEGER PRIMARY KEY, b, c);" + rows200 + "INSERT INTO t SELECT i, 'b'||i, 'c'||i FROM n;", "ALTER TABLE t DROP COLUMN b;"},
		{"another table at its root", "CREATE TABLE t(a INTEGER PRIMARY KEY, b);" + rows200 + "INSERT INTO t SELECT i, 'b'||i FROM n;",
			"DROP TABLE t; CREATE TABLE u(a INTEGER PRIMARY KEY, b);" + rows200 + "INSERT INTO u SELECT i, 'u'||i FROM n;"},
		{"as it was", "CREATE TABLE t(a INTEGER PRIMARY KEY AUTOINCREMENT, b); INSERT INTO t VALUES(1000, 'x');", rows200 + "INSERT INTO t SELECT i, 'b'||i FROM n;"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := makeDB(t, "x.db", "PRAGMA page_size=1024;"+c.before)
			donor := imageFrom(read(t, path))
			run(t, path, c.since)
			damaged := read(t, path)
			clear(damaged[:1024])
			put(t, path, damaged)
			rep := checkFull(t, path)
			m, err := Copy(t.Context(), path, rep, Options{Donor: &donor})
			if same := c.name == "as it was"; same {
				if err != nil || len(m.Lost) > 0 || !m.Donated {
					t.Fatalf("%v: %s", err, m.Summary())
				}
				wantInt(t, path, "SELECT count(*) FROM t", 201)
				wantInt(t, path, "SELECT seq FROM sqlite_sequence", 1000)
			} else if !errors.Is(err, ErrNotRepairable) {
				t.Errorf("%v: %s", err, m.Summary())
			}
		})
	}
}
