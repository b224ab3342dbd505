package snapshot_test

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"example.com/snapd/internal/samplecrm"
	"example.com/snapd/internal/testdb"
	"example.com/snapd/snapshot"
)

// lookInto opens a backup; it is closed when the test ends.
func (b *bench) lookInto(id string) *sql.DB {
	b.t.Helper()
	db, err := b.m.OpenBackup(b.t.Context(), id)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { db.Close() })
	return db
}

// first returns the first column of the first row as text.
func first(db *sql.DB, query string) (text string, err error) {
	err = db.QueryRow(query).Scan(&text)
	return text, err
}

// Lost: answers from a backup without restoring it.
func TestQueriesOnABackup(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"wal", "delete"} {
		t.Run(mode, func(t *testing.T) {
			b := newBench(t, mode)
			e := b.manual()
			live := testdb.Open(t, b.m.Database())
			queries := []string{
				"SELECT count(*) || ' ' || sum(balance) FROM accounts",
				"SELECT group_concat(name || ':' || n) FROM (SELECT c.name, count(d.id) AS n FROM companies c JOIN deals d ON d.company_id = c.id GROUP BY c.id ORDER BY c.name)",
				"SELECT group_concat(id) FROM (SELECT n.id FROM notes_search s JOIN notes n ON n.id = s.rowid WHERE notes_search MATCH 'a* OR m* OR s*' ORDER BY n.id)",
				"SELECT group_concat(stage || deals) FROM (SELECT * FROM pipeline ORDER BY stage)",
				"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 50) SELECT sum(length(body)) FROM n JOIN activities ON id = i",
				"SELECT integrity_check FROM pragma_integrity_check",
			}
			want := make([]string, len(queries))
			for i, q := range queries {
				var err error
				if want[i], err = first(live, q); err != nil || want[i] == "" {
					t.Fatalf("%s on the database: %q %v", q, want[i], err)
				}
			}
			if _, err := live.Exec("UPDATE accounts SET balance = 0; DELETE FROM notes; DELETE FROM deals"); err != nil {
				t.Fatal(err)
			}
			before := b.stored()
			past := b.lookInto(e.ID)
			for i, q := range queries {
				if got, err := first(past, q); err != nil || got != want[i] {
					t.Errorf("%s in the backup: %.100q %v\nwant %.100q", q, got, err, want[i])
				}
			}
			if b.stored() != before {
				t.Error("looking changed the backup directory")
			}
		})
	}
}

// Lost: a backup, changed by a user who thought it was the database.
func TestBackupCannotBeWritten(t *testing.T) {
	t.Parallel()
	b := newBench(t, "wal")
	e := b.manual()
	db := b.lookInto(e.ID)
	for _, q := range []string{"UPDATE accounts SET balance = 0", "CREATE TABLE x(y)", "DROP TABLE notes", "PRAGMA user_version = 7", "VACUUM"} {
		if _, err := db.Exec(q); err == nil {
			t.Errorf("%s went through", q)
		}
	}
	if _, err := db.Exec("PRAGMA query_only = 0; UPDATE accounts SET balance = 0"); err == nil {
		t.Error("a backup could be made writable")
	}
	if got, err := first(db, "SELECT sum(balance) FROM accounts"); err != nil || got != fmt.Sprint(samplecrm.ExpectedSum) {
		t.Errorf("sum %s %v", got, err)
	}
	if v, err := b.m.Verify(t.Context(), e.ID, 0); err != nil {
		t.Errorf("verify: %+v %v", v, err)
	}
}

// Lost: parallel readers of one backup, or of several.
func TestConcurrentLooks(t *testing.T) {
	t.Parallel()
	b := newBench(t, "wal")
	made := b.several(2)
	dbs := []*sql.DB{b.lookInto(made[0].ID), b.lookInto(made[1].ID)}
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			want := []string{"number a", "number b"}[i%2]
			for range 20 {
				got, err := first(dbs[i%2], "SELECT name FROM accounts WHERE id = 1")
				if err != nil || got != want {
					t.Errorf("%q %v, want %q", got, err, want)
					return
				}
				if sum, err := first(dbs[i%2], "SELECT sum(balance) FROM accounts"); err != nil || sum != fmt.Sprint(samplecrm.ExpectedSum) {
					t.Errorf("sum %s %v", sum, err)
					return
				}
			}
		})
	}
	all.Wait()
}

// Lost: descriptors of a long-running host, one for every look.
func TestLooksAreFreed(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("NOT TESTED: only Linux lists open descriptors")
	}
	b := newBench(t, "wal")
	e := b.manual()
	look := func() {
		db, err := b.m.OpenBackup(t.Context(), e.ID)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := first(db, "SELECT count(*) FROM notes"); err != nil {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
	look()
	before := openFiles(t, b.m.Dir())
	for range 20 {
		look()
	}
	b.damageArchive(e)
	for range 20 {
		if db, err := b.m.OpenBackup(t.Context(), e.ID); err == nil {
			db.Close()
		}
	}
	if after := openFiles(t, b.m.Dir()); len(after) != len(before) {
		t.Errorf("open in the backup directory: %v, before %v", after, before)
	}
}

// openFiles lists this process's descriptors of files below dir.
func openFiles(t *testing.T, dir string) (names []string) {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if to, err := os.Readlink(filepath.Join("/proc/self/fd", fd.Name())); err == nil && strings.HasPrefix(to, dir) {
			names = append(names, to)
		}
	}
	slices.Sort(names)
	return names
}

// Lost: trust in answers, when they come from a rotten archive.
func TestLookIntoDamagedBackup(t *testing.T) {
	t.Parallel()
	b := newBench(t, "wal")
	e := b.manual()
	b.damageArchive(e)
	db, err := b.m.OpenBackup(t.Context(), e.ID)
	if err != nil {
		return // said at once
	}
	defer db.Close()
	if got, err := first(db, "SELECT count(*) || sum(length(body)) FROM notes"); err == nil {
		t.Errorf("a damaged archive answered %s", got)
	}
}

// Lost: a look under way, when retention removes the backup meanwhile.
func TestLookOutlivesItsBackup(t *testing.T) {
	t.Parallel()
	b := newBench(t, "wal")
	made := b.several(2)
	db := b.lookInto(made[0].ID)
	if err := b.m.Delete(t.Context(), []string{made[0].ID}, false); err != nil {
		t.Fatal(err)
	}
	if got, err := first(db, "SELECT name FROM accounts WHERE id = 1"); runtime.GOOS != "windows" && (err != nil || got != "number a") {
		t.Errorf("%q %v", got, err)
	}
}

// Lost: looks into databases of every kind.
func TestLookIntoEveryVariant(t *testing.T) {
	t.Parallel()
	for _, v := range testdb.Variants() {
		if v.Sum == 0 {
			continue // without a ledger
		}
		t.Run(v.Name, func(t *testing.T) {
			b := benchOn(t, v.Create(t))
			b.backup(snapshot.Manual(""))
			if got, err := first(b.lookInto("latest"), "SELECT sum(balance) FROM accounts"); err != nil || got != fmt.Sprint(v.Sum) {
				t.Errorf("sum %s %v, want %d", got, err, v.Sum)
			}
		})
	}
}

// Lost: the word that a backup is damaged, reported as an I/O error of SQLite; or the mark
// that keeps recovery from trusting it.
func TestDamagedBackupIsNotOpened(t *testing.T) {
	t.Parallel()
	b := newBench(t, "wal")
	e := b.manual()
	good := readFile(t, b.m.ArchivePath(e))
	for name, offset := range map[string]int{"first frame": 200, "end": len(good) - 3} {
		damaged := slices.Clone(good)
		damaged[offset] ^= 0x55
		writeFile(t, b.m.ArchivePath(e), damaged)
		if _, err := b.m.Verify(t.Context(), e.ID, 0); !errors.Is(err, snapshot.ErrCorrupt) {
			t.Fatalf("%s: the test did not damage it: %v", name, err)
		}
		writeFile(t, b.m.ArchivePath(e), good)
		if v, err := b.m.Verify(t.Context(), e.ID, 0); err != nil || !v.Usable() {
			t.Fatalf("%s: good again: %+v, %v", name, v, err)
		}
		writeFile(t, b.m.ArchivePath(e), damaged)
		_, err := b.m.OpenBackup(t.Context(), e.ID)
		if !errors.Is(err, snapshot.ErrCorrupt) || name == "first frame" && !strings.Contains(err.Error(), "frame 0 (pages 1") {
			t.Errorf("%s: %v", name, err)
		}
		if now, err := b.m.Find(e.ID); err != nil || now.Verification.State != "failed" {
			t.Errorf("%s: %+v, %v", name, now.Verification, err)
		}
	}
}
