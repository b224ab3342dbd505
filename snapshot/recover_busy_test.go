package snapshot_test

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"

	"example.com/snapd/integrity"
	"example.com/snapd/internal/samplecrm"
	"example.com/snapd/internal/testdb"
	"example.com/snapd/snapshot"
)

// Lost: a database that is only locked, taken for a damaged one.
func TestRecoverLockedDatabase(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ mode, lock string }{
		"rollback mode": {"delete", "BEGIN EXCLUSIVE"},
		"wal":           {"wal", "PRAGMA locking_mode=EXCLUSIVE; BEGIN IMMEDIATE; UPDATE accounts SET balance = balance"},
	} {
		for _, damaged := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				b := newBench(t, c.mode, func(c *snapshot.Config) { c.LockWait = 150 * time.Millisecond })
				b.auto()
				// Broken first: a connection reads its first page again only when it begins.
				if damaged {
					testdb.ZeroPage(t, b.m.Database(), 9)
				}
				app := shell(t, b.m.Database(), c.lock)
				before := b.appFiles()
				rec, err := b.m.Recover(t.Context())
				// With its log's index in memory, a connection in WAL mode leaves the files readable.
				seenHealthy := !damaged && c.mode == "wal" && err == nil && rec.Action == snapshot.ActionNone
				if !seenHealthy && (!errors.Is(err, snapshot.ErrBusy) || snapshot.Code(err) != "busy") {
					t.Errorf("got %v, did %+v", err, rec)
				}
				if after := b.appFiles(); after != before || len(glob(t, b.m.Dir(), "corrupted_*")) > 0 {
					t.Errorf("something was touched:\n%s\nbefore:\n%s", after, before)
				}
				app()
			})
		}
	}
}

// shell has the C shell run sql in a process that then keeps the database open
// until the returned function is called.
func shell(t *testing.T, path, sql string) (end func()) {
	t.Helper()
	cmd := exec.Command(testdb.RequireTool(t, "sqlite3"), "-batch", path)
	cmd.Env = append(os.Environ(), "HOME="+os.DevNull)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	end = func() {
		if !ended {
			ended = true
			in.Close()
			cmd.Wait()
		}
	}
	t.Cleanup(end)
	if _, err := io.WriteString(in, sql+";\n.print ready\n.system echo ready\n"); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); ; {
		if !lines.Scan() {
			t.Fatal("the shell ended")
		}
		if lines.Text() == "ready" {
			go io.Copy(io.Discard, out)
			return end
		}
	}
}

// Lost: commits of an application that goes on with a file that was replaced
// under it.
func TestRecoverWaitsForOpenConnections(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("NOT TESTED: only Linux says who has a file open")
	}
	for _, who := range []string{"another process", "this process"} {
		for _, mode := range []string{"wal", "delete"} {
			t.Run(who+"/"+mode, func(t *testing.T) {
				b := newBench(t, mode)
				good := b.auto()
				var end func()
				if who == "another process" {
					end = shell(t, b.m.Database(), "SELECT count(*) FROM accounts")
				} else {
					app, err := samplecrm.Open(b.m.Database(), "")
					if err == nil {
						err = app.Ping()
					}
					if err != nil {
						t.Fatal(err)
					}
					end = func() { app.Close() }
				}
				b.damage()
				before := b.appFiles()
				rec, err := b.m.Recover(t.Context())
				if !errors.Is(err, snapshot.ErrBusy) || rec.Action != snapshot.ActionWaiting || rec.Verdict != integrity.Corrupt || snapshot.Hint(err) == "" {
					t.Errorf("got %v (hint %q), did %+v", err, snapshot.Hint(err), rec)
				}
				if after := b.appFiles(); after != before || len(glob(t, b.m.Dir(), "corrupted_*")) > 0 {
					t.Errorf("something was touched:\n%s\nbefore:\n%s", after, before)
				}
				b.noDebris()
				end()
				b.recovers(good.ID)
			})
		}
	}
}
