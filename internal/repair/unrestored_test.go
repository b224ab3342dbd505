package repair

import "testing"

// Lost without a word otherwise: rows of virtual tables, and those of a table whose name begins as that of a virtual
// one does.
func TestUnrestoredCountsVirtualTables(t *testing.T) {
	t.Parallel()
	path := makeDB(t, "x.db", `CREATE VIRTUAL TABLE f
		USING fts5(body); CREATE VIRTUAL TABLE r USING rtree(id,x0,x1); CREATE TABLE f_notes(x);
		INSERT INTO f(body) VALUES('old'); INSERT INTO r VALUES(1,1,2); INSERT INTO f_notes VALUES('old');`)
	donor := imageFrom(read(t, path))
	run(t, path, rows200+"INSERT INTO f(rowid,body) SELECT 1000+i, 'words '||i FROM n;"+rows200+"INSERT INTO r SELECT 1000+i, i, i+1 FROM n;"+
		rows200+"INSERT INTO f_notes SELECT i FROM n;")
	n, err := Unrestored(t.Context(), Damaged{Image: imageFrom(read(t, path))}, donor, t.TempDir())
	if err != nil || n != 600 {
		t.Errorf("%d rows are not in the backup, want 600 (%v)", n, err)
	}
}

// The root of a table is an older copy of itself, from when the table was one page: nothing leads to the others. Lost otherwise: a person's
// chance to know that their rows can be read, as salvage does.
func TestUnrestoredCountsRowsWithoutATable(t *testing.T) {
	t.Parallel()
	path := makeDB(t, "x.db", "PRAGMA page_size=1024; CREATE TABLE t(a INTEGER PRIMARY KEY, b); INSERT INTO t VALUES(1, 'one')")
	backup := read(t, path)
	run(t, path, "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i+1 FROM n WHERE i<400) INSERT INTO t SELECT i, 'row '||i||hex(randomblob(20)) FROM n")
	patch(t, path, 1024, backup[1024:2048])
	n, err := Unrestored(t.Context(), Damaged{Image: imageFrom(read(t, path))}, imageFrom(backup), t.TempDir())
	if err != nil || n != 399 {
		t.Errorf("%d rows, want 399: %v", n, err)
	}
}
