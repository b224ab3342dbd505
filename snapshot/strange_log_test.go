package snapshot_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"example.com/snapd/internal/sqlite"
	"example.com/snapd/internal/testdb"
	"example.com/snapd/snapshot"
)

// state is the files of a database whose process was killed.
type state struct{ main, wal, journal []byte }

// aged returns the states of one database; each follows the one before by a script.
// Its connections close without a checkpoint.
func aged(t *testing.T, scripts ...string) (all []state) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "aged.db")
	writeFile(t, path, nil)
	for _, script := range scripts {
		c, err := sqlite.Open(path, sqlite.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range strings.Split(script, ";;") {
			if err := c.Exec(t.Context(), part); err != nil {
				t.Fatalf("%s: %v", part, err)
			}
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		s := state{main: readFile(t, path)}
		if b, err := os.ReadFile(path + "-wal"); err == nil {
			s.wal = b
		}
		all = append(all, s)
	}
	return all
}

const (
	strangeSchema = "PRAGMA journal_mode=wal;;" + sweepSchema + ";;PRAGMA wal_checkpoint(TRUNCATE)"
	strangeMore   = sweepChanges
	strangeFold   = ";;PRAGMA wal_checkpoint(TRUNCATE)"
	otherSchema   = `CREATE TABLE person(id INTEGER PRIMARY KEY, name TEXT UNIQUE, born INT);
CREATE INDEX person_born ON person(born);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<400) INSERT INTO person SELECT i, 'a person called '||i, 1900+i%100 FROM n;`
)

// strangeLogs are a sound database file next to a log that is not its own.
var strangeLogs = map[string]func(t *testing.T) state{
	"another database": func(t *testing.T) state {
		own, other := aged(t, strangeSchema), aged(t, "PRAGMA journal_mode=wal;;"+otherSchema+strangeFold, "UPDATE person SET name = name || '!' WHERE id % 3 = 0")
		return state{main: own[0].main, wal: other[1].wal}
	},
	"another database, whole in its log": func(t *testing.T) state {
		own, other := aged(t, strangeSchema), aged(t, "PRAGMA journal_mode=wal;;PRAGMA wal_autocheckpoint=0;;"+otherSchema)
		return state{main: own[0].main, wal: other[0].wal}
	},
	"another database of more commits, whole in its log": func(t *testing.T) state {
		own, other := aged(t, strangeSchema), aged(t, strings.Repeat("PRAGMA user_version=1;;PRAGMA user_version=2;;", 50)+"PRAGMA journal_mode=wal;;"+otherSchema+strangeFold, "VACUUM")
		return state{main: own[0].main, wal: other[1].wal}
	},
	"an older state, whole in the log": func(t *testing.T) state {
		own := aged(t, strangeSchema, "VACUUM", "DELETE FROM plain WHERE rowid < 20; INSERT INTO item SELECT id+1000, 'D'||id, name, 1 FROM item"+strangeFold)
		return state{main: own[2].main, wal: own[1].wal}
	},
	"another page size": func(t *testing.T) state {
		own, other := aged(t, strangeSchema), aged(t, "PRAGMA page_size=1024;;PRAGMA journal_mode=wal;;"+otherSchema)
		return state{main: own[0].main, wal: other[0].wal}
	},
	"a file that was put back, the log newer": func(t *testing.T) state {
		own := aged(t, strangeSchema, strangeMore+strangeFold, "UPDATE plain SET b = b + 1 WHERE rowid % 3 = 0; INSERT INTO item SELECT id+1000, 'D'||id, name, 1 FROM item")
		return state{main: own[0].main, wal: own[2].wal}
	},
	"a log that was put back, the file newer": func(t *testing.T) state {
		own := aged(t, strangeSchema, strangeMore, "DELETE FROM plain WHERE rowid < 20; INSERT INTO item SELECT id+1000, 'D'||id, name, 1 FROM item"+strangeFold)
		return state{main: own[2].main, wal: own[1].wal}
	},
	"from before a VACUUM": func(t *testing.T) state {
		own := aged(t, strangeSchema, strangeMore+";;DELETE FROM item WHERE id % 2", "VACUUM"+strangeFold)
		return state{main: own[2].main, wal: own[1].wal}
	},
	"a journal of another database": func(t *testing.T) state {
		own := aged(t, "PRAGMA page_size=1024;;"+sweepSchema)
		path, _ := testdb.HotJournal(t)
		return state{main: own[0].main, journal: readFile(t, path+"-journal")}
	},
	"a journal of another page size": func(t *testing.T) state {
		own := aged(t, sweepSchema)
		path, _ := testdb.HotJournal(t)
		return state{main: own[0].main, journal: readFile(t, path+"-journal")}
	},
	"a journal that was put back, the file newer": func(t *testing.T) state {
		path, _ := testdb.HotJournal(t)
		journal := readFile(t, path+"-journal")
		execQuietly(t, path, "CREATE TABLE more(a INTEGER PRIMARY KEY, b TEXT UNIQUE); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<900) INSERT INTO more SELECT i, 'row '||i FROM n")
		execQuietly(t, path, "DELETE FROM items; DELETE FROM bulk")
		return state{main: readFile(t, path), journal: journal}
	},
	"equal salts": func(t *testing.T) state {
		// A copy of the database went another way from the same log on.
		own := aged(t, strangeSchema, "INSERT INTO plain VALUES('x', 1)")
		dir := t.TempDir()
		path := filepath.Join(dir, "copy.db")
		writeFile(t, path, own[1].main)
		writeFile(t, path+"-wal", own[1].wal)
		execQuietly(t, path, "DELETE FROM item WHERE id % 2; "+sweepChanges)
		wal := readFile(t, path+"-wal")
		execQuietly(t, path, "PRAGMA wal_checkpoint(TRUNCATE)")
		execQuietly(t, path, "VACUUM")
		execQuietly(t, path, "PRAGMA wal_checkpoint(TRUNCATE)")
		if !bytes.Equal(wal[16:24], own[1].wal[16:24]) {
			t.Fatal("the salts differ")
		}
		return state{main: readFile(t, path), wal: wal}
	},
}

// The log that is next to the file has all of the database that is backed up, and the file is another one, copied
// over it while the application was down, say. Lost otherwise: that database, for the other one.
func TestALogThatHasTheDatabaseIsItsOwn(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "data.db")
	is := aged(t, "PRAGMA journal_mode=wal;;PRAGMA wal_autocheckpoint=0;;"+otherSchema)[0]
	writeFile(t, path, is.main)
	writeFile(t, path+"-wal", is.wal)
	b := benchOn(t, path)
	b.auto()
	writeFile(t, path, aged(t, strangeSchema)[0].main)
	writeFile(t, path+"-wal", is.wal)
	if err := os.Remove(path + "-shm"); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	rec, err := b.m.Recover(t.Context())
	if err != nil || rec.Action != snapshot.ActionNone || countRows(t, path, "person") != 400 {
		t.Errorf("%s, %v: %s", rec.Action, err, rec.Reason)
	}
}

// SQLite does not report that a log makes another database of the file next to it. Lost otherwise: the database that the user had, by
// the first checkpoint, and its backups to those of the other one.
func TestALogOfAnotherDatabaseIsReported(t *testing.T) {
	t.Parallel()
	s := strangeLogs["another database, whole in its log"](t)
	path := filepath.Join(t.TempDir(), "data.db")
	writeFile(t, path, s.main)
	b := benchOn(t, path)
	good := b.auto()
	if err := os.Remove(path + "-shm"); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	writeFile(t, path+"-wal", s.wal)
	for what, do := range map[string]func() error{
		"backup": func() error { _, err := b.m.Backup(t.Context(), snapshot.Manual("")); return err },
		"check": func() error {
			r, err := b.m.Check(t.Context(), snapshot.LevelQuick)
			if err == nil && !r.Damaged() {
				t.Errorf("check: %+v", r)
			}
			return errors.Join(err, snapshot.ErrCorrupt)
		},
	} {
		if err := do(); !errors.Is(err, snapshot.ErrCorrupt) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if st := b.status(); st.State == snapshot.Protected || !strings.Contains(st.Reason, "damaged") {
		t.Errorf("status: %s, %s", st.State, st.Reason)
	}
	if rec, err := b.m.Recover(t.Context()); err != nil || rec.Action != snapshot.ActionRepaired {
		t.Fatalf("%+v, %v", rec, err)
	}
	if n := countRows(t, path, "item"); n != 120 {
		t.Errorf("%d rows, want those of the file", n)
	}
	if st := b.status(); st.Break != nil || *st.NewestVerified != good.ID {
		t.Errorf("afterwards: %+v, newest %v", st.Break, st.NewestVerified)
	}
}

func execQuietly(t *testing.T, path, script string) {
	t.Helper()
	c, err := sqlite.Open(path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Exec(t.Context(), script); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}

// Lost: everything since the last backup, of a database that is whole, because of a log next to
// it that belongs to another one; or that log, which may be all that is left of the other one.
func TestRecoverLeavesALogOfAnotherDatabaseOut(t *testing.T) {
	t.Parallel()
	for name, build := range strangeLogs {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := build(t)
			alone := filepath.Join(t.TempDir(), "alone.db")
			writeFile(t, alone, s.main)
			want := ordinaryRows(t, alone)

			path := filepath.Join(t.TempDir(), "data.db")
			writeFile(t, path, aged(t, strangeSchema+";;DELETE FROM item; DELETE FROM file; DELETE FROM plain"+strangeFold)[0].main)
			testdb.Damaged(t, path)
			b := benchOn(t, path)
			old := b.auto() // there is a backup, with fewer rows
			writeFile(t, path, s.main)
			sidecar, content := "-wal", s.wal
			if s.wal == nil {
				sidecar, content = "-journal", s.journal
			}
			writeFile(t, path+sidecar, content)
			if err := os.Remove(path + "-shm"); err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
			report, err := b.m.Check(t.Context(), snapshot.LevelQuick)
			if err != nil {
				t.Fatal(err)
			}
			if !report.Damaged() {
				t.Fatalf("SQLite takes it for its own (%s): this case shows nothing", report.Verdict)
			}
			plan := b.plan()
			rec, err := b.m.Recover(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if rec.Action != snapshot.ActionRepaired || rec.Action != plan.Action {
				t.Fatalf("%s, planned %s: %s; %s was not needed", rec.Action, plan.Action, rec.Reason, old.ID)
			}
			if _, err := os.Stat(path + sidecar); err == nil {
				t.Error("the log is next to the database still")
			}
			if got := ordinaryRows(t, path); got != want {
				t.Errorf("%d rows, want the %d of the file alone", got, want)
			}
			if !rec.Repair.LeftOut || !strings.Contains(rec.Repair.Summary(), "the file alone is whole") {
				t.Errorf("it says %q", rec.Repair.Summary())
			}
			if rec.Quarantined == nil || !bytes.Equal(readFile(t, *rec.Quarantined+sidecar), content) || !bytes.Equal(readFile(t, *rec.Quarantined), s.main) {
				t.Errorf("the log was not kept: %v", rec.Quarantined)
			}
			b.noDebris()
		})
	}
}
