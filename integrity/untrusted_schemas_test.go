package integrity

import (
	"encoding/binary"
	"fmt"
	"path/filepath"
	"testing"

	"example.com/snapd/internal/sqlite"
)

// inSchema makes a database whose n tables have the SQL that an expression gives.
func inSchema(n int, before, sql string) func(testing.TB, string) {
	tables := ""
	for i := range n {
		tables += fmt.Sprintf("CREATE TABLE u%d(a); INSERT INTO u%d VALUES(1);", i, i)
	}
	return script(before + tables + "PRAGMA writable_schema=1; UPDATE sqlite_schema SET sql='CREATE TABLE '||name||" + sql)
}

// listed is the SQL of a table with a list of so many numbers in a CHECK constraint.
func listed(numbers int) string {
	return fmt.Sprintf("'(a CHECK(a NOT IN (1'||replace(hex(zeroblob(%d)),'00',',2')||')))'", numbers)
}

// What SQLite makes of each costs hundreds of times its size, and up to 3.6 GB in all.
func craftedSchemas() []crafted {
	nots := "'(a CHECK(a NOT IN (1'||replace(hex(zeroblob(%d)),'00',','||replace(hex(zeroblob(900)),'00','NOT ')||'a')||')))'"
	signs := "'(a CHECK(a NOT IN (1'||replace(hex(zeroblob(%d)),'00',','||replace(hex(zeroblob(900)),'00','~')||'a')||')))'"
	values := func(n int) func(testing.TB, string) {
		return script(fmt.Sprintf("PRAGMA writable_schema=1; INSERT INTO sqlite_schema VALUES('view','v','v',0,'CREATE VIEW v AS VALUES(1)'||replace(hex(zeroblob(%d)),'00',',(2)'))", n))
	}
	return []crafted{
		{name: "schema_statement", build: inSchema(1, "", listed(7_500_000)), err: ErrCodeLimit, levels: true},
		{name: "schema_statements", build: inSchema(15, "", listed(500_000)), err: ErrCodeLimit},
		{name: "schema_statements_small", build: inSchema(2000, "BEGIN;", listed(4000)+";COMMIT"), err: ErrCodeLimit},
		{name: "schema_utf16", build: inSchema(1, "PRAGMA encoding='UTF-16';", listed(3_000_000)), err: ErrCodeLimit},
		{name: "schema_words", build: inSchema(4, "", fmt.Sprintf(nots, 500)), err: ErrCodeLimit},
		{name: "schema_values", build: values(1_000_000), err: ErrCodeLimit},
		{name: "schema_blanks", build: inSchema(1, "", "'(a'||printf('%*s',17000000,'')||')'"), err: ErrCodeLimit},
		{name: "schema_in_log", build: inSchema(1, "PRAGMA journal_mode=wal;", listed(7_500_000)), err: ErrCodeLimit},
		{name: "schema_views", build: views(100_000), err: ErrCodeLimit},

		// As much as is let through.
		{name: "schema_statement_below", build: inSchema(1, "", listed(399_000))},
		{name: "schema_statements_below", build: inSchema(195, "BEGIN;", listed(2000)+";COMMIT")},
		{name: "schema_words_below", build: inSchema(1, "", fmt.Sprintf(nots, 880))},
		{name: "schema_signs_below", build: inSchema(1, "", fmt.Sprintf(signs, 880))},
		{name: "schema_values_below", build: values(199_000), verdict: Healthy},
		{name: "schema_blanks_below", build: inSchema(1, "", "'(a'||printf('%*s',16000000,'')||')'"), verdict: Healthy},

		{name: "schema_row_of_2_40", build: craft("", func(b []byte) []byte {
			at := binary.BigEndian.Uint16(b[108:])
			size := b[at]
			copy(b[200:], []byte{0xa0, 0x80, 0x80, 0x80, 0x80, size})
			copy(b[206:], b[at+1:int(at)+1+int(size)+1])
			binary.BigEndian.PutUint16(b[108:], 200)
			return b
		}), verdict: Corrupt},
		{name: "schema_branches_shared", build: craft("", func(b []byte) []byte {
			root := interior(40, 3)
			copy(b[100:112], root[:12])
			for i := range 40 {
				at := 512 - 5*(i+1)
				binary.BigEndian.PutUint16(b[112+2*i:], uint16(at))
				copy(b[at:], root[at:at+5])
			}
			for i := range 8 {
				b = append(b, interior(70, uint32(4+i))...)
			}
			return append(b, leaf(80)...)
		}), verdict: Corrupt},
	}
}

func views(n int) func(testing.TB, string) {
	return script(fmt.Sprintf("CREATE TABLE u(a); PRAGMA writable_schema=1; WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<%d) INSERT INTO sqlite_schema SELECT 'view','f'||i,'f'||i,0,'CREATE VIEW f'||i||' AS SELECT a,a+1,a+2,a+3 FROM u WHERE a>1' FROM n", n))
}

// A database of one's own may have a schema of any size, within SQLite's own limits.
func TestOwnSchemaOfAnySize(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x.db")
	inSchema(1, "", "'(a'||replace(hex(zeroblob(300000)),'00',' CHECK(1)')||')'")(t, path)
	for _, untrusted := range []bool{false, true} {
		_, err := Check(t.Context(), path, Options{Level: LevelProbe, Untrusted: untrusted})
		if refused := err != nil; refused != untrusted {
			t.Errorf("untrusted %v: %v", untrusted, err)
		}
	}
}

// Lost: the truth about a database whose schema passes a limit of the engine.
func TestSchemaPastLimitIsNoDamage(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x.db")
	inSchema(1, "", listed(1000))(t, path)
	c, err := sqlite.Open(path, sqlite.Options{Untrusted: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.LimitValues(2000)
	if err := c.Exec(t.Context(), "BEGIN"); err != nil {
		t.Fatal(err)
	}
	r, err := CheckTx(t.Context(), c, Options{Level: LevelProbe})
	if e := AsCheckError("", err); err == nil || e.Code != ErrCodeLimit {
		t.Errorf("%v %v", r, err)
	}
}
