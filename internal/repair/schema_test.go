package repair

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"example.com/snapd/internal/testdb"
)

// An index that SQLite made for a constraint has no SQL: the schema's row of it is made again, in every encoding.
func TestRepairMakesAutomaticIndexesAgain(t *testing.T) {
	t.Parallel()
	for _, encoding := range []string{"UTF-8", "UTF-16le", "UTF-16be"} {
		for _, gone := range []string{"sqlite_autoindex_tä_1", "sqlite_autoindex_tä_2", "%"} {
			path := filepath.Join(t.TempDir(), "data.db")
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			db := testdb.Open(t, path)
			db.SetMaxOpenConns(1)
			for _, q := range []string{
				fmt.Sprintf("PRAGMA encoding='%s'", encoding),
				`CREATE TABLE "tä"(a TEXT UNIQUE, b, c UNIQUE)`,
				`INSERT INTO "tä" VALUES('one', 1, 2), ('zwölf', 3, 4), (NULL, 5, NULL)`,
				"PRAGMA writable_schema=1",
				fmt.Sprintf("DELETE FROM sqlite_schema WHERE name LIKE '%s' AND name LIKE 'sqlite_autoindex%%'", gone),
			} {
				if _, err := db.Exec(q); err != nil {
					t.Fatal(err)
				}
			}
			db.Close()
			testdb.Damaged(t, path)
			rep := checkFull(t, path)
			if !rep.Damaged() {
				t.Fatalf("%s: the check says %s", gone, rep.Verdict)
			}
			m, err := Copy(t.Context(), path, rep, Options{})
			if err != nil {
				t.Fatalf("%s, %s: %v", encoding, gone, err)
			}
			wantWhole(t, path, m)
			db = testdb.Open(t, path)
			var rows, indexes int
			if err := db.QueryRow(`SELECT (SELECT count(*) FROM "tä" WHERE a='zwölf' AND c=4), (SELECT count(*) FROM pragma_index_list('tä'))`).Scan(&rows, &indexes); err != nil || rows != 1 || indexes != 2 {
				t.Errorf("%s, %s: %d rows, %d indexes, %v", encoding, gone, rows, indexes, err)
			}
			db.Close()
		}
	}
}
