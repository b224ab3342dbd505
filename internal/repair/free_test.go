package repair

import (
	"encoding/binary"
	"errors"
	"testing"
)

// Page 1 is lost, and with it where the list of free pages begins. Rows on pages that belong to no table are
// deleted ones where a trunk page of that list names their pages, and lost ones where none does. Lost otherwise: all
// rows of a table with a damaged root, as if it had been dropped or emptied.
func TestRepairTellsFreePagesFromLostOnes(t *testing.T) {
	t.Parallel()
	const made = "PRAGMA page_size=1024; CREATE TABLE a(x); CREATE TABLE w(k TEXT PRIMARY KEY, v) WITHOUT ROWID; CREATE TABLE gone(x);" +
		rows200 + "INSERT INTO a SELECT 'some words '||i FROM n;" + rows200 + "INSERT INTO w SELECT 'key '||i, 'value '||i FROM n;" +
		rows200 + "INSERT INTO gone SELECT 'will be deleted '||i FROM n;"
	empty := func(kind byte) []byte { return append([]byte{kind, 0, 0, 0, 0, 4}, make([]byte, 1018)...) }
	for _, c := range []struct {
		name, since, table string
		root               []byte // of the table
		lost               int64  // -1: no repair
	}{
		{"rows deleted since", "DELETE FROM gone", "", nil, 0},
		{"table dropped since", "DROP TABLE gone", "", nil, 0},
		{"table emptied by the damage", "DELETE FROM gone", "a", empty(13), 200},
		{"table without rowids emptied by the damage", "DELETE FROM gone", "w", empty(10), 200},
		{"root damaged", "", "a", make([]byte, 1024), -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			path := makeDB(t, "x.db", made)
			donor := imageFrom(read(t, path))
			run(t, path, c.since+";")
			root := 0
			if c.table != "" {
				root = rootOf(t, path, c.table)
			}
			damaged := read(t, path)
			clear(damaged[:1024])
			if root > 0 {
				copy(damaged[(root-1)*1024:], c.root)
			}
			put(t, path, damaged)
			m, err := Copy(t.Context(), path, checkFull(t, path), Options{Donor: &donor})
			switch {
			case c.lost < 0:
				if !errors.Is(err, ErrNotRepairable) {
					t.Errorf("%v: %s", err, m.Summary())
				}
			case err != nil:
				t.Error(err)
			case c.lost == 0 && m.RowsLost() != 0, m.RowsLost() < c.lost*9/10: // the interior page of w had some
				t.Errorf("%d rows are said to be lost, want %d: %s", m.RowsLost(), c.lost, m.Summary())
			default:
				loses, err := m.Compare(t.Context(), path, donor)
				if gone, _ := m.OnlyInBackup(); err != nil || loses != 0 || c.lost > 0 && gone < c.lost {
					t.Errorf("the backup loses %d, and has %d more: %v", loses, gone, err)
				}
			}
		})
	}
}

// Pages that belong to nothing may hold rows, unless they are as many as the damaged list of free pages lacks, or of a damaged index. Lost
// otherwise: rows that only such a page has, or a repair for the sake of rows that were deleted.
func TestRepairJudgesPagesOfNothing(t *testing.T) {
	t.Parallel()
	const made = "PRAGMA page_size=1024; CREATE TABLE a(x); CREATE INDEX a_x ON a(x); CREATE TABLE long(x); INSERT INTO long VALUES('short'); CREATE TABLE gone(x);" +
		rows200 + "INSERT INTO a SELECT 'some words '||i FROM n;" + rows200 + "INSERT INTO gone SELECT 'will be deleted '||i||hex(zeroblob(40)) FROM n; DELETE FROM gone;"
	empty := append([]byte{13, 0, 0, 0, 0, 4}, make([]byte, 1018)...)
	for _, c := range []struct {
		name   string
		damage func(page func(n uint32) []byte, root func(table string) uint32, trunk uint32, before []byte)
		fails  bool
	}{
		{"a lost list of free pages", func(page func(uint32) []byte, _ func(string) uint32, trunk uint32, _ []byte) { clear(page(trunk)) }, false},
		{"and rows that nothing leads to", func(page func(uint32) []byte, root func(string) uint32, trunk uint32, _ []byte) {
			clear(page(trunk))
			copy(page(root("a")), empty)
		}, true},
		{"pages of a row on an older page", func(page func(uint32) []byte, root func(string) uint32, _ uint32, before []byte) {
			copy(page(root("long")), before[(root("long")-1)*1024:])
		}, true},
	} {
		path := makeDB(t, "x.db", made)
		before := read(t, path)
		run(t, path, "INSERT INTO long VALUES(randomblob(3000))")
		damaged := read(t, path)
		trunk := binary.BigEndian.Uint32(damaged[32:])
		if trunk == 0 || binary.BigEndian.Uint32(damaged[36:]) < 4 {
			t.Fatal("there are no free pages")
		}
		c.damage(func(n uint32) []byte { return damaged[(n-1)*1024:][:1024] }, func(table string) uint32 { return uint32(rootOf(t, path, table)) }, trunk, before)
		put(t, path, damaged)
		m, err := Copy(t.Context(), path, checkFull(t, path), Options{})
		if c.fails {
			if !errors.Is(err, ErrNotRepairable) {
				t.Errorf("%s: %v, %s", c.name, err, m.Summary())
			}
			continue
		}
		if err != nil || m.RowsLost() > 0 {
			t.Errorf("%s: %v, %s", c.name, err, m.Summary())
			continue
		}
		wantInt(t, path, "SELECT count(*) FROM a", 200)
	}
}
