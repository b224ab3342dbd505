package pages

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// sampleSchema uses what real databases use: rowid and WITHOUT ROWID tables, an
// index, a long blob with overflow pages, FTS5, RTree, free pages.
const sampleSchema = `
CREATE TABLE account(id INTEGER PRIMARY KEY, name TEXT, balance INTEGER NOT NULL);
CREATE INDEX account_name ON account(name);
CREATE TABLE kv(k TEXT PRIMARY KEY, v BLOB) WITHOUT ROWID;
CREATE VIRTUAL TABLE note USING fts5(body);
CREATE VIRTUAL TABLE place USING rtree(id, x0, x1);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<400)
INSERT INTO account SELECT i, 'Käufer '||i, 100 FROM n;
INSERT INTO kv SELECT name, randomblob(200) FROM account;
INSERT INTO kv VALUES('long', randomblob(150000));
INSERT INTO note SELECT 'met '||name||' about order '||id FROM account;
INSERT INTO place SELECT id, id, id+1 FROM account;
CREATE TABLE gone AS SELECT * FROM kv; DROP TABLE gone;
PRAGMA user_version=7; PRAGMA application_id=-99;
`

// A backup must be the database: byte for byte what the quiescent file is, for
// every page size, journal mode, vacuum mode and encoding; and taking it must not
// change one byte, name or mode on the owner's side.
func TestImageIsTheQuiescentFile(t *testing.T) {
	t.Parallel()
	type variant struct {
		size                 int
		journal, vac, enc    string
		wantJournal, wantVac string
	}
	var all []variant
	for _, size := range []int{512, 1024, 2048, 4096, 8192, 16384, 32768, 65536} {
		for _, j := range []string{"delete", "truncate", "persist", "memory", "off", "wal"} {
			want := "delete"
			if j == "wal" {
				want = j
			}
			all = append(all, variant{size: size, journal: j, vac: "none", enc: "UTF-8", wantJournal: want, wantVac: "none"})
		}
	}
	for _, vac := range []string{"full", "incremental"} {
		for _, enc := range []string{"UTF-16le", "UTF-16be"} {
			all = append(all, variant{size: 4096, journal: "wal", vac: vac, enc: enc, wantJournal: "wal", wantVac: vac},
				variant{size: 512, journal: "delete", vac: vac, enc: enc, wantJournal: "delete", wantVac: vac})
		}
	}
	for _, v := range all {
		t.Run(fmt.Sprintf("%d-%s-%s-%s", v.size, v.journal, v.vac, v.enc), func(t *testing.T) {
			dir := t.TempDir()
			db := filepath.Join(dir, "data.db")
			shell(t, db, fmt.Sprintf("PRAGMA page_size=%d; PRAGMA encoding='%s'; PRAGMA auto_vacuum=%s; PRAGMA journal_mode=%s; %s",
				v.size, v.enc, v.vac, v.journal, sampleSchema))
			file, err := os.ReadFile(db)
			if err != nil {
				t.Fatal(err)
			}
			before := state(t, dir)
			info, image := take(t, db)
			if after := state(t, dir); after != before {
				t.Errorf("the snapshot left traces:\nbefore\n%safter\n%s", before, after)
			}
			sameBytes(t, "image", image, file)
			if info.PageSize != v.size || info.JournalMode != v.wantJournal || info.AutoVacuum != v.wantVac || info.Encoding != v.enc ||
				info.UserVersion != 7 || info.ApplicationID != -99 || info.SchemaVersion == 0 || info.PageCount*int64(v.size) != int64(len(file)) {
				t.Errorf("info %+v", info)
			}
		})
	}
}
