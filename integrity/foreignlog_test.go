package integrity

import (
	"context"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/sqlite"
	"example.com/snapd/internal/testdb"
)

// Whatever an application does, its log goes on from its file. Lost: an application's commits, by a log that is taken for another's.
func TestOrdinaryLogsAreNotDoubted(t *testing.T) {
	t.Parallel()
	const fill = "CREATE TABLE a(x INTEGER PRIMARY KEY, y TEXT UNIQUE); CREATE TABLE b(z); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<400) INSERT INTO a SELECT i, 'row '||i FROM n; INSERT INTO b SELECT y FROM a;"
	const wal = "PRAGMA journal_mode=wal;"
	histories := map[string][]string{ // of each part on a connection of its own, which is killed
		"young":                     {wal + fill},
		"emptied":                   {wal + fill + "PRAGMA wal_checkpoint;", "DELETE FROM a; DELETE FROM b;"},
		"exchanged":                 {wal + fill + "PRAGMA wal_checkpoint;", "DROP TABLE a; DROP TABLE b; PRAGMA application_id=7; CREATE TABLE c(d); INSERT INTO c VALUES(1);"},
		"vacuumed":                  {wal + fill + "DELETE FROM a WHERE x>3; PRAGMA wal_checkpoint;", "VACUUM;"},
		"partly copied":             {wal + fill, "PRAGMA wal_checkpoint; DROP TABLE b; PRAGMA wal_checkpoint; CREATE TABLE c(d);"},
		"begun again":               {wal + fill, "PRAGMA wal_checkpoint(RESTART); DROP TABLE b; DROP TABLE a; PRAGMA wal_checkpoint(RESTART); CREATE TABLE e(f);"},
		"spilled":                   {wal + fill + "PRAGMA wal_checkpoint;", "PRAGMA cache_size=5; BEGIN; CREATE TABLE c(d); INSERT INTO c SELECT hex(randomblob(500)) FROM a; DROP TABLE a; DROP TABLE b; COMMIT; PRAGMA user_version=5;"},
		"spilled, rolled back":      {wal + fill + "PRAGMA wal_checkpoint;", "PRAGMA cache_size=5; BEGIN; CREATE TABLE c(d); INSERT INTO c SELECT hex(randomblob(500)) FROM a; ROLLBACK; DROP TABLE a; DROP TABLE b;"},
		"a savepoint":               {wal + fill + "PRAGMA wal_checkpoint;", "PRAGMA cache_size=5; BEGIN; SAVEPOINT s; CREATE TABLE c(d); INSERT INTO c SELECT hex(randomblob(500)) FROM a; ROLLBACK TO s; DROP TABLE a; DROP TABLE b; COMMIT;"},
		"another mode before":       {fill, "PRAGMA user_version=3;", wal + "DROP TABLE a;", "DROP TABLE b;"},
		"there and back":            {wal + fill, "PRAGMA journal_mode=delete; DROP TABLE a; PRAGMA journal_mode=wal; DROP TABLE b;"},
		"a vacuum for another form": {"PRAGMA auto_vacuum=0;" + wal + fill + "PRAGMA wal_checkpoint;", "PRAGMA auto_vacuum=1; VACUUM; DROP TABLE a; PRAGMA incremental_vacuum;"},
	}
	check := func(t *testing.T, path string) {
		t.Helper()
		v, err := livedb.Look(path)
		if err != nil {
			t.Fatal(err)
		}
		r, err := (&liveCheck{path: path}).raw(t.Context(), v)
		if err != nil {
			t.Fatal(err)
		}
		if r.doubt != nil {
			t.Errorf("doubted, a log of %d bytes: %s", v.WAL.Size, r.doubt.why)
		}
	}
	for name, parts := range histories {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "data.db")
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			for _, part := range parts {
				c, err := sqlite.Open(path, sqlite.Options{})
				if err != nil {
					t.Fatal(err)
				}
				if err := c.Exec(t.Context(), part); err != nil {
					t.Fatalf("%s: %v", part, err)
				}
				check(t, path)
				if err := c.Close(); err != nil { // without a checkpoint
					t.Fatal(err)
				}
			}
		})
		t.Run("sqlite3/"+name, func(t *testing.T) {
			t.Parallel()
			shell := testdb.RequireTool(t, "sqlite3")
			path := filepath.Join(t.TempDir(), "data.db")
			for _, part := range parts {
				// The shell is killed where it would close the database, which copies the log.
				cmd := exec.CommandContext(context.WithoutCancel(t.Context()), shell, "-bail", path)
				cmd.Stdin = strings.NewReader(strings.ReplaceAll(part, ";", ";\n") + "\n.shell kill -9 $PPID\n")
				out, err := cmd.CombinedOutput()
				if err == nil || !strings.Contains(err.Error(), "killed") {
					t.Fatalf("%s: %v\n%s", part, err, out)
				}
			}
			check(t, path)
		})
	}
}

// Several connections write and copy in turn. Lost otherwise: as above.
func TestLogsOfSeveralWritersAreNotDoubted(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "data.db")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	conns := make([]*sqlite.Conn, 3)
	for i := range conns {
		var err error
		if conns[i], err = sqlite.Open(path, sqlite.Options{}); err != nil {
			t.Fatal(err)
		}
		defer conns[i].Close()
		if err := conns[i].Exec(t.Context(), "PRAGMA journal_mode=wal; PRAGMA synchronous=OFF; PRAGMA cache_size=5; PRAGMA wal_autocheckpoint=0; CREATE TABLE IF NOT EXISTS t(a)"); err != nil {
			t.Fatal(err)
		}
	}
	scripts := []string{"INSERT INTO t VALUES(randomblob(3000))", "PRAGMA user_version=4", "CREATE TABLE x(a); DROP TABLE x", "BEGIN; INSERT INTO t SELECT randomblob(4000) FROM t LIMIT 30; CREATE TABLE y(a); ROLLBACK",
		"DELETE FROM t WHERE rowid%2", "PRAGMA wal_checkpoint", "PRAGMA wal_checkpoint(RESTART)", "PRAGMA wal_checkpoint(TRUNCATE)", "SELECT count(*) FROM t"}
	rnd := rand.New(rand.NewPCG(1, 7))
	for range 600 {
		if err := conns[rnd.IntN(len(conns))].Exec(t.Context(), scripts[rnd.IntN(len(scripts))]); err != nil {
			t.Fatal(err)
		}
		v, err := livedb.Look(path)
		if err != nil {
			t.Fatal(err)
		}
		r, err := (&liveCheck{path: path}).raw(t.Context(), v)
		if err != nil {
			t.Fatal(err)
		}
		if r.doubt != nil {
			t.Fatalf("a log of %d bytes: %s", v.WAL.Size, r.doubt.why)
		}
	}
}
