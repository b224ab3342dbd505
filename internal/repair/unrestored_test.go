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
