package snapshot_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/samplecrm"
	"example.com/snapd/internal/testdb"
	"example.com/snapd/snapshot"
)

// Lost: everything. An application that finds no database makes an empty one, and eleven automatic
// backups later all that is kept is of that, "protected" all along.
func TestAnEmptiedDatabaseKeepsThePast(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"wal", "delete"} {
		t.Run(mode, func(t *testing.T) {
			later(t, func(t *testing.T) {
				b := newBench(t, mode, func(c *snapshot.Config) { c.Interval = 3 * time.Minute })
				r := b.run()
				letPass(0)
				for i := range 4 {
					b.mark(fmt.Sprint("good ", i))
					letPass(3 * time.Minute)
				}
				good := b.ids()
				if len(good) != 5 {
					t.Fatalf("%d backups of the good database", len(good))
				}
				removeDatabase(t, b.m.Database())
				makeEmptied(t, b.m.Database(), mode)
				for i := range 40 {
					b.exec(fmt.Sprintf("INSERT INTO settings VALUES ('key %d', 'value')", i))
					letPass(3 * time.Minute)
					if s := b.status(); s.State != snapshot.AtRisk {
						t.Fatalf("after %d minutes: %s, %s", 3*i+3, s.State, s.Reason)
					}
				}
				now := b.ids()
				for _, id := range good {
					if !slices.Contains(now, id) {
						t.Errorf("%s of the good database is gone", id)
					}
				}
				if len(now) < len(good)+10 {
					t.Errorf("%d backups, and %d of the good database", len(now), len(good))
				}
				r.wait(t)
				if _, err := b.m.Restore(t.Context(), good[0], snapshot.RestoreOptions{}); err != nil {
					t.Fatal(err)
				}
				if got := b.marked(); got != "good 3" {
					t.Errorf("restored %q", got)
				}
				b.wants(snapshot.Protected, "")
			})
		})
	}
}

// makeEmptied makes what an application makes that finds no database: its tables, and a few rows of its own.
func makeEmptied(t testing.TB, path, mode string) {
	t.Helper()
	fresh := filepath.Join(t.TempDir(), "fresh.db")
	if err := samplecrm.Create(t.Context(), fresh, samplecrm.Options{Seed: 2, JournalMode: "delete"}); err != nil {
		t.Fatal(err)
	}
	empty(t, fresh)
	execOn(t, fresh, "CREATE TABLE settings (k TEXT, v TEXT); INSERT INTO settings VALUES ('version', '1')")
	execOn(t, fresh, "VACUUM")
	execOn(t, fresh, "PRAGMA journal_mode="+mode)
	if err := os.Rename(fresh, path); err != nil {
		t.Fatal(err)
	}
}

// empty removes all rows.
func empty(t testing.TB, path string) {
	t.Helper()
	all := "PRAGMA foreign_keys=OFF;"
	for _, table := range tablesOf(t, path) {
		if !strings.HasPrefix(table, "notes_search") {
			all += "DELETE FROM " + table + ";"
		}
	}
	execOn(t, path, all)
}

// removeDatabase removes the file and what is next to it.
func removeDatabase(t testing.TB, path string) {
	t.Helper()
	for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
		if err := os.Remove(path + suffix); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
}

func tablesOf(t testing.TB, path string) (names []string) {
	t.Helper()
	db, err := samplecrm.Open(path, "")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Query("SELECT name FROM sqlite_schema WHERE type='table' AND name NOT LIKE 'sqlite_%'")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	return names
}

// A manipulation of the live database, and what is to become of it.
type manipulation struct {
	name   string
	do     func(t *testing.T, b *bench)
	cause  snapshot.Cause      // "" for no break
	state  snapshot.Protection // while the break stands
	undo   func(t *testing.T, b *bench)
	barred bool // no backup can be made of it
}

// another puts what make makes in the place of the database, as a deploy does.
func another(make func(t *testing.T, path string)) func(*testing.T, *bench) {
	return func(t *testing.T, b *bench) {
		fresh := filepath.Join(t.TempDir(), "fresh.db")
		make(t, fresh)
		removeDatabase(t, b.m.Database())
		if err := os.Rename(fresh, b.m.Database()); err != nil {
			t.Fatal(err)
		}
	}
}

// sqlite3 runs the stock program, as another process.
func sqlite3(t *testing.T, path string, sql string) {
	t.Helper()
	cmd := exec.Command(testdb.RequireTool(t, "sqlite3"), path, sql)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("sqlite3 %s: %v: %s", sql, err, out)
	}
}

func manipulations() []manipulation {
	sql := func(text string) func(*testing.T, *bench) {
		return func(t *testing.T, b *bench) { sqlite3(t, b.m.Database(), text) }
	}
	var aside string
	away := func(t *testing.T, b *bench) {
		aside = filepath.Join(filepath.Dir(b.m.Database()), "aside.db")
		sqlite3(t, b.m.Database(), "PRAGMA wal_checkpoint(TRUNCATE)")
		if err := os.Rename(b.m.Database(), aside); err != nil {
			t.Fatal(err)
		}
		removeDatabase(t, b.m.Database())
	}
	back := func(t *testing.T, b *bench) {
		removeDatabase(t, b.m.Database())
		_ = os.Remove(b.m.Database()) // also where it is a directory
		if err := os.Rename(aside, b.m.Database()); err != nil {
			t.Fatal(err)
		}
	}
	return []manipulation{
		{name: "written to", do: sql("UPDATE accounts SET name='x' WHERE id=1")},
		{name: "a column more", do: sql("ALTER TABLE accounts ADD COLUMN extra TEXT")},
		{name: "a table more", do: sql("CREATE TABLE tags (name TEXT); INSERT INTO tags VALUES ('x')")},
		{name: "a table made again", do: sql("PRAGMA foreign_keys=0; PRAGMA legacy_alter_table=1; BEGIN; CREATE TABLE new_accounts AS SELECT * FROM accounts; DROP TABLE accounts; ALTER TABLE new_accounts RENAME TO accounts; COMMIT")},
		{name: "a small table dropped", do: sql("DROP TABLE deal_stages")},
		{name: "vacuum", do: sql("DELETE FROM attachments WHERE id % 8 = 0; VACUUM")},
		{name: "another page size", do: func(t *testing.T, b *bench) {
			sqlite3(t, b.m.Database(), "PRAGMA journal_mode=DELETE; PRAGMA page_size=8192; VACUUM")
		}},
		{name: "an application_id at last", do: sql("PRAGMA application_id=77")},

		{name: "all rows deleted", cause: catalog.Emptied, state: snapshot.AtRisk, do: func(t *testing.T, b *bench) { empty(t, b.m.Database()) }},
		{name: "most tables dropped", cause: catalog.OtherSchema, state: snapshot.AtRisk, do: sql("PRAGMA foreign_keys=0; DROP VIEW pipeline; DROP TABLE notes_search; DROP TABLE notes; DROP TABLE attachments; DROP TABLE activities; DROP TABLE deal_stages; DROP TABLE deals; DROP TABLE contacts")},
		{name: "most rows deleted", cause: catalog.Shrunk, state: snapshot.AtRisk, do: sql("DELETE FROM bulk")},
		{name: "the mark of another application", cause: catalog.OtherApplication, state: snapshot.AtRisk, do: sql("PRAGMA application_id=77"),
			undo: sql("PRAGMA application_id=42")},
		{name: "emptied by an application", cause: catalog.Emptied, state: snapshot.AtRisk, do: func(t *testing.T, b *bench) {
			removeDatabase(t, b.m.Database())
			makeEmptied(t, b.m.Database(), "wal")
		}},
		{name: "another database", cause: catalog.OtherSchema, state: snapshot.AtRisk,
			do: another(func(t *testing.T, path string) { sqlite3(t, path, "CREATE TABLE t (x); INSERT INTO t VALUES (1)") })},
		{name: "moved away, and a database without tables made", cause: catalog.OtherSchema, state: snapshot.AtRisk, do: func(t *testing.T, b *bench) {
			away(t, b)
			sqlite3(t, b.m.Database(), "CREATE TABLE x (y); DROP TABLE x")
		}, undo: back},
		{name: "another one like it", cause: catalog.Replaced, state: snapshot.Protected, do: another(func(t *testing.T, path string) {
			makeDatabase(t, path, "wal")
			sqlite3(t, path, "INSERT INTO accounts (name, balance, terms) SELECT name, balance, terms FROM accounts")
		})},
		{name: "VACUUM INTO and mv", cause: catalog.Replaced, state: snapshot.Protected, do: func(t *testing.T, b *bench) {
			fresh := filepath.Join(t.TempDir(), "fresh.db")
			sqlite3(t, b.m.Database(), "VACUUM INTO '"+fresh+"'")
			removeDatabase(t, b.m.Database())
			if err := os.Rename(fresh, b.m.Database()); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "moved away", cause: catalog.Missing, state: snapshot.AtRisk, barred: true, do: away, undo: back},
		{name: "truncated", cause: catalog.Blank, state: snapshot.AtRisk, barred: true, undo: back, do: func(t *testing.T, b *bench) {
			away(t, b)
			writeFile(t, b.m.Database(), nil)
		}},
		{name: "a directory", cause: catalog.NoFile, state: snapshot.AtRisk, barred: true, undo: back, do: func(t *testing.T, b *bench) {
			away(t, b)
			if err := os.Mkdir(b.m.Database(), 0o700); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "the link switched", cause: catalog.Link, state: snapshot.AtRisk, barred: true, do: func(t *testing.T, b *bench) {
			makeDatabase(t, filepath.Join(filepath.Dir(b.m.Database()), "other.db"), "wal")
			relink(t, b.cfg.Database, "other.db")
		}, undo: func(t *testing.T, b *bench) { relink(t, b.cfg.Database, filepath.Base(b.m.Database())) }},
	}
}

// relink has the link at path lead to target.
func relink(t testing.TB, path, target string) {
	t.Helper()
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
}

// Lost: the past, a minute without a report, or trust in the alarm. Each manipulation, by the stock
// program or the file system, under a service: noticed within a minute or not at all, reported once, the
// past kept through more backups than retention keeps; accepted, undone or restored, and right again.
func TestBreaks(t *testing.T) {
	t.Parallel()
	testdb.RequireTool(t, "sqlite3") // not in the bubble, where Run is at work
	for _, c := range manipulations() {
		t.Run(c.name, func(t *testing.T) {
			later(t, func(t *testing.T) {
				dir := t.TempDir()
				real := filepath.Join(dir, "real.db")
				makeDatabase(t, real, "wal")
				switch c.cause {
				case catalog.OtherApplication:
					sqlite3(t, real, "PRAGMA application_id=42")
				case catalog.Shrunk:
					sqlite3(t, real, "CREATE TABLE bulk (x); WITH n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<500) INSERT INTO bulk SELECT randomblob(1000) FROM n")
				}
				relink(t, filepath.Join(dir, "data.db"), "real.db")
				b := benchOn(t, filepath.Join(dir, "data.db"), func(cfg *snapshot.Config) {
					cfg.Interval, cfg.Retention = 3*time.Hour, snapshot.Policy{Last: 2, Daily: catalog.None}
				})
				r := b.run()
				letPass(0)
				before := b.ids()
				letPass(7 * time.Minute)
				c.do(t, b)
				letPass(time.Minute)
				b.wantsBreak(c.cause, c.state)
				for range 4 { // more than are kept
					letPass(3*time.Hour + time.Minute)
					if c.cause != "" && !c.barred {
						sqlite3(t, b.m.Database(), "CREATE TABLE IF NOT EXISTS more (x); INSERT INTO more VALUES (1)")
					}
				}
				b.wantsBreak(c.cause, c.state)
				if c.cause == "" {
					r.wait(t)
					return
				}
				if !slices.Contains(b.ids(), before[0]) {
					t.Errorf("%s is gone: %v", before[0], b.ids())
				}
				if n := len(b.rec.of(snapshot.EventBreak)); n != 1 {
					t.Errorf("reported %d times", n)
				}
				b.ends(c, before[0])
				r.wait(t)
			})
		})
	}
}

// wantsBreak compares the break that the status shows, and what the events and the log say of it.
func (b *bench) wantsBreak(cause snapshot.Cause, state snapshot.Protection) {
	b.t.Helper()
	s := b.status()
	if cause == "" {
		if s.Break != nil || s.State != snapshot.Protected || len(b.rec.of(snapshot.EventBreak)) > 0 {
			b.t.Errorf("%s: %s; break %+v; reported %+v", s.State, s.Reason, s.Break, b.rec.of(snapshot.EventBreak))
		}
		return
	}
	if s.Break == nil || s.Break.Cause != cause || s.State != state {
		b.t.Errorf("%s: %s; break %+v; want %s", s.State, s.Reason, s.Break, cause)
	}
	if len(b.rec.of(snapshot.EventBreak)) == 0 {
		b.t.Error("no event")
	}
	logged, _, err := b.m.Activity("", 100)
	if err != nil || !slices.ContainsFunc(logged, func(a snapshot.Activity) bool { return a.Action == "break" && a.Outcome == "noticed" }) {
		b.t.Errorf("not in the log: %v, %v", logged, err)
	}
}

// ends brings the break to its end: undone where that can be, else accepted.
func (b *bench) ends(c manipulation, before string) {
	t := b.t.(*testing.T)
	t.Helper()
	if c.undo == nil {
		if accepted, err := b.m.AcceptBreak(t.Context()); err != nil || accepted == nil || accepted.Cause != c.cause {
			t.Errorf("accepted %+v, %v", accepted, err)
		}
		if again, err := b.m.AcceptBreak(t.Context()); err != nil || again != nil {
			t.Errorf("accepted twice: %+v, %v", again, err)
		}
		sqlite3(t, b.m.Database(), "INSERT INTO more VALUES (1)")
		letPass(3*time.Hour + time.Minute)
		if slices.Contains(b.ids(), before) {
			t.Errorf("%s is kept after the break was accepted", before)
		}
	} else {
		if _, err := b.m.AcceptBreak(t.Context()); c.barred && !errors.Is(err, snapshot.ErrRefused) {
			t.Errorf("accepted that there is nothing: %v", err)
		}
		c.undo(t, b)
		letPass(time.Minute)
	}
	if s := b.wants(snapshot.Protected, ""); s.Break != nil {
		t.Errorf("after its end: %+v", s.Break)
	}
}

// Lost: the past, where the clock was at its beginning when the break was noticed (no battery), and was set
// right afterwards: the break then looks older than the backups before it are kept.
func TestABreakUnderAWrongClock(t *testing.T) {
	t.Parallel()
	today := time.Now()
	var clock atomic.Pointer[time.Time]
	clock.Store(&today)
	b := newBench(t, "wal", func(c *snapshot.Config) {
		c.Now = func() time.Time { return *clock.Load() }
		c.Retention = snapshot.Policy{Last: 2, Daily: catalog.None}
	})
	good := b.auto().ID
	b.mark("newest of the good")
	best := b.auto().ID
	wrong := time.Unix(3600, 0)
	clock.Store(&wrong)
	removeDatabase(t, b.m.Database())
	makeEmptied(t, b.m.Database(), "wal")
	b.auto()
	right := today.Add(time.Hour)
	clock.Store(&right)
	for i := range 5 {
		b.exec(fmt.Sprintf("INSERT INTO settings VALUES ('key %d', 'value')", i))
		b.auto()
	}
	if ids := b.ids(); !slices.Contains(ids, good) || !slices.Contains(ids, best) {
		t.Errorf("of %s and %s some are gone: %v", good, best, ids)
	}
}
