package repair

import (
	"strings"
	"testing"
)

// The page of a table is an older copy of itself, and an index names the rows that it had since. Lost without a word
// otherwise: those of a table without rowids.
func TestRowsThatOnlyAnIndexHas(t *testing.T) {
	t.Parallel()
	for name, table := range map[string]string{
		"rowid":            "CREATE TABLE t(id INTEGER PRIMARY KEY, k TEXT, v TEXT)",
		"without rowid":    "CREATE TABLE t(id INTEGER, k TEXT, v TEXT, PRIMARY KEY(id, k)) WITHOUT ROWID",
		"key in the index": "CREATE TABLE t(id INTEGER, k TEXT, v TEXT, PRIMARY KEY(k, v)) WITHOUT ROWID",
	} {
		path := makeDB(t, "x.db", "PRAGMA page_size=65536;"+table+"; CREATE INDEX t_v ON t(v); INSERT INTO t VALUES(1,'k1','v1'),(2,'k2','v2')")
		before := read(t, path)
		page := rootOf(t, path, "t")
		run(t, path, "DELETE FROM t WHERE id=1; INSERT INTO t VALUES(3,'k3','v3'),(4,'k4','v4'); INSERT INTO t VALUES(5,'k5','v5')")
		damaged := read(t, path)
		copy(damaged[(page-1)*65536:page*65536], before[(page-1)*65536:])

		said, to := salvaged(t, Damaged{Image: imageFrom(damaged)}, nil)
		if said.LostAndFound != 3 || said.Tables[0].Unreadable != 3 || said.Complete {
			t.Errorf("%s: %+v, want 3 rows that only the index has", name, said)
		} else if got := ask(t, to, "SELECT group_concat(coalesce(c2,'?'),' ') FROM (SELECT c2 FROM lost_and_found ORDER BY c2)"); strings.TrimSpace(got) != "v3 v4 v5" {
			t.Errorf("%s: lost_and_found has %q", name, got)
		}
		n, err := Unrestored(t.Context(), Damaged{Image: imageFrom(damaged)}, imageFrom(before), t.TempDir())
		if err != nil || n != 3 {
			t.Errorf("%s: %d rows are not in the backup from before, want 3 (%v)", name, n, err)
		}
		n, err = Unrestored(t.Context(), Damaged{Image: imageFrom(damaged)}, imageFrom(read(t, path)), t.TempDir())
		if err != nil || n != 1 { // the row that was deleted is on the older page
			t.Errorf("%s: %d rows are not in the backup that has all, want 1 (%v)", name, n, err)
		}
	}
}
