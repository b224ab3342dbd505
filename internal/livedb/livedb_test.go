package livedb

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	modernc "modernc.org/sqlite"

	"example.com/snapd/internal/testdb"
)

// shell runs SQL in the sqlite3 shell: another process with another library.
func shell(t *testing.T, db, script string) (string, error) {
	t.Helper()
	out, err := exec.Command(testdb.RequireTool(t, "sqlite3"), "-bail", "-batch", db, script).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func makeDB(t *testing.T, script string) string {
	t.Helper()
	db := filepath.Join(t.TempDir(), "data.db")
	if out, err := shell(t, db, script); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return db
}

// holdWrite makes this process an application in the middle of a transaction.
func holdWrite(t *testing.T, path string) *sql.Conn {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	c, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.ExecContext(t.Context(), "BEGIN IMMEDIATE; INSERT INTO t VALUES(1)"); err != nil {
		t.Fatal(err)
	}
	return c
}

func lockedOut(t *testing.T, path string) bool {
	t.Helper()
	out, err := shell(t, path, "INSERT INTO t VALUES(2)")
	if err != nil && !strings.Contains(out, "locked") {
		t.Fatal(out)
	}
	return err != nil
}

func look(t *testing.T, path string) {
	t.Helper()
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.ReadAt(make([]byte, 100), 0); err != nil {
		t.Error(err)
	}
	if n, err := f.Size(); err != nil || n == 0 {
		t.Errorf("%d, %v", n, err)
	}
	if err := errors.Join(f.Close(), f.Close()); err != nil {
		t.Error(err)
	}
	Prefetch(t.Context(), path)()
	if _, err := TakeFingerprint(path); err != nil {
		t.Error(err)
	}
}

// If looking at a file dropped the application's locks, another process would
// write into the middle of its transaction: silent corruption. The last step
// shows that this test would notice.
func TestLookingKeepsTheLocks(t *testing.T) {
	path := makeDB(t, "CREATE TABLE t(a)")
	holdWrite(t, path)
	look(t, path)
	if unlock, err := LockExclusive(canceledContext(), path); err == nil {
		unlock()
		t.Error("locked exclusively inside a transaction of this process")
	}
	if !lockedOut(t, path) {
		t.Fatal("another process wrote inside this process's transaction")
	}
	if runtime.GOOS != "linux" || modernc.OFDLockingEnabled() {
		return
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if lockedOut(t, path) {
		t.Error("os.Open and Close did no harm either: this test cannot fail")
	}
}

// With OFD locks, which a program switches on, looking at ten thousand files must
// not keep ten thousand descriptors, and still drop no lock. The mode is fixed
// for a process, hence the second one.
func TestOFDLocksLetCloseClose(t *testing.T) {
	if runtime.GOOS != "linux" {
		if err := UseOFDLocks(); !errors.Is(err, ErrNoOFDLocks) {
			t.Errorf("got %v", err)
		}
		return
	}
	if os.Getenv("LIVEFILE_TEST_OFD") == "" {
		testdb.RequireTool(t, "sqlite3")
		testdb.RequireTool(t, "python3")
		cmd := exec.Command(os.Args[0], "-test.run=^(TestOFDLocksLetCloseClose|TestLookingKeepsTheLocks|TestLockExclusive)$", "-test.v")
		cmd.Env = append(os.Environ(), "LIVEFILE_TEST_OFD=1")
		if out, err := cmd.CombinedOutput(); err != nil || strings.Count(string(out), "--- PASS") != 3 {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	path := makeDB(t, "CREATE TABLE t(a)")
	before := countDescriptors(t)
	for range 20 {
		look(t, path)
		unlock, err := LockExclusive(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		if err := unlock(); err != nil {
			t.Fatal(err)
		}
	}
	if after := countDescriptors(t); after != before {
		t.Errorf("%d descriptors, were %d", after, before)
	}
}

// children are what tests run in processes of their own, see testdb.Reexec.
var children = map[string]func(args []string) error{}

func TestMain(m *testing.M) {
	testdb.RunChild(children)
	if os.Getenv("LIVEFILE_TEST_OFD") != "" {
		if err := UseOFDLocks(); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

func countDescriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// Without OFD locks one descriptor per file is kept, however often it is looked
// at, and given back once the file is deleted: else a long-running host would
// run out of descriptors or of disk.
func TestKeptDescriptorsAreBounded(t *testing.T) {
	if runtime.GOOS != "linux" || modernc.OFDLockingEnabled() {
		t.Skip("SKIPPED, NOTHING PROVEN: counting descriptors needs /proc, and POSIX locks in use")
	}
	path := makeDB(t, "CREATE TABLE t(a)")
	other := makeDB(t, "CREATE TABLE t(a)")
	look(t, other)
	before := countDescriptors(t)
	for range 20 {
		look(t, path)
	}
	if n := countDescriptors(t) - before; n != 1 {
		t.Errorf("%d descriptors kept, want 1", n)
	}
	if usage, err := UsageOf(path); err != nil || usage.InUse() || usage.Unknown != "" {
		t.Errorf("our own look counts as a user: %+v %v", usage, err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	look(t, other)
	if n := countDescriptors(t) - before; n != 0 {
		t.Errorf("%d descriptors of a deleted file kept", n)
	}
}

// The swap of a database file rests on this lock: no process may read or write it
// meanwhile, and it must not be granted while one does.
func TestLockExclusive(t *testing.T) {
	for _, mode := range []string{"delete", "wal"} {
		path := makeDB(t, "PRAGMA journal_mode="+mode+"; CREATE TABLE t(a)")
		look(t, path) // leaves a descriptor that cannot be locked through
		unlock, err := LockExclusive(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		if out, err := shell(t, path, "SELECT count(*) FROM t"); err == nil {
			t.Errorf("%s: another process read a locked file: %s", mode, out)
		}
		if _, err := LockExclusive(deadline(t), path); !errors.Is(err, ErrBusy) {
			t.Errorf("%s: locked twice: %v", mode, err)
		}
		if err := errors.Join(unlock(), unlock()); err != nil {
			t.Error(err)
		}
		if out, err := shell(t, path, "SELECT count(*) FROM t"); err != nil || out != "0" {
			t.Errorf("%s: after unlock: %s %v", mode, out, err)
		}
		c := holdWrite(t, path)
		if _, err := LockExclusive(deadline(t), path); !errors.Is(err, ErrBusy) {
			t.Errorf("%s: locked next to a transaction: %v", mode, err)
		}
		if _, err := LockExclusive(canceledContext(), path); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: cancelled: %v", mode, err)
		}
		if _, err := c.ExecContext(t.Context(), "COMMIT"); err != nil {
			t.Errorf("%s: the refused lock did harm: %v", mode, err)
		}
		c.Close()
	}
}

func canceledContext() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

// "Unchanged" lets a backup be skipped: said wrongly, the changes are in none.
func TestFingerprint(t *testing.T) {
	for _, mode := range []string{"delete", "truncate", "persist", "wal"} {
		path := makeDB(t, "PRAGMA journal_mode="+mode+"; CREATE TABLE t(a)")
		keep, err := sql.Open("sqlite", path) // keeps the -wal there
		if err != nil {
			t.Fatal(err)
		}
		defer keep.Close()
		if _, err := keep.Exec("PRAGMA journal_mode=" + mode + "; INSERT INTO t VALUES(0)"); err != nil {
			t.Fatal(err)
		}
		at := func() Fingerprint {
			f, err := TakeFingerprint(path)
			if err != nil {
				t.Fatal(err)
			}
			return f
		}
		racy := at()
		if racy.Unchanged(at()) {
			t.Errorf("%s: a file written an instant before the look proves nothing", mode)
		}
		old := racy
		old.TakenAt = old.TakenAt.Add(racyWindow + time.Second) // as if it had been looked at later
		j, err := json.Marshal(old)
		if err != nil {
			t.Fatal(err)
		}
		var back Fingerprint
		if err := json.Unmarshal(j, &back); err != nil {
			t.Fatal(err)
		}
		if !back.Unchanged(at()) {
			t.Errorf("%s: untouched, but not unchanged: %s", mode, j)
		}
		for _, change := range []string{"UPDATE t SET a=a+1", "CREATE TABLE u(a)", "PRAGMA user_version=5"} {
			if _, err := keep.Exec(change); err != nil {
				t.Fatal(err)
			}
			if back.Unchanged(at()) {
				t.Errorf("%s: %s went unnoticed", mode, change)
			}
		}
		if (Fingerprint{}).Unchanged(Fingerprint{}) {
			t.Error("nothing is proof of nothing")
		}
	}
	if _, err := TakeFingerprint(filepath.Join(t.TempDir(), "none.db")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
}

// A restore asks who has the database open; a user not seen would have its file swapped away under it.
func TestUsers(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("SKIPPED, NOTHING PROVEN: only Linux reports that")
	}
	path := makeDB(t, "CREATE TABLE t(a)")
	cmd := exec.Command(testdb.RequireTool(t, "sqlite3"), path)
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
	if _, err := io.WriteString(in, "SELECT count(*) FROM t;\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(line, err)
	}
	usage, err := UsageOf(path)
	if users := usage.Users; err != nil || usage.Unknown != "" || len(users) != 1 || users[0].PID != cmd.Process.Pid || users[0].Command != "sqlite3" || users[0].Own {
		t.Errorf("%+v %v", usage, err)
	}
	in.Close()
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	holdWrite(t, path)
	look(t, path)
	if usage, err := UsageOf(path); err != nil || len(usage.Users) != 1 || !usage.Users[0].Own || usage.Users[0].PID != os.Getpid() {
		t.Errorf("%+v %v", usage, err)
	}
	if usage, err := UsageOf(path + "-none"); err != nil || usage.InUse() || usage.Unknown != "" {
		t.Errorf("%+v %v", usage, err)
	}
}

// Sidecars looked for next to a link instead of next to the file would be missed,
// and a stale -wal replayed onto a restored database.
func TestResolveAndSidecars(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "a", "b"), 0o700); err != nil {
		t.Fatal(err)
	}
	real := filepath.Join(dir, "a", "b", "data.db")
	for _, l := range [][2]string{{"a/b", "d"}, {"d/data.db", "one"}, {"one", "two"}, {"loop", "loop"}} {
		if err := os.Symlink(l[0], filepath.Join(dir, l[1])); err != nil {
			t.Fatal(err)
		}
	}
	for _, exists := range []bool{false, true} {
		if exists {
			for _, s := range []string{"", "-journal", "-wal"} {
				if err := os.WriteFile(real+s, []byte("x"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, p := range []string{"two", "d/data.db", "d/../b/data.db", "one"} {
			if got, err := Resolve(dir + "/" + p); err != nil || got != real {
				t.Errorf("%s: %s, %v", p, got, err)
			}
		}
	}
	found, err := Sidecars(filepath.Join(dir, "two"))
	if got := strings.Join(found, " "); err != nil || got != real+"-wal "+real+"-journal" {
		t.Errorf("sidecars %s", got)
	}
	if _, err := Resolve(filepath.Join(dir, "loop")); err == nil {
		t.Error("a loop resolved")
	}
	if _, err := Resolve(filepath.Join(dir, "no", "data.db")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing directory: %v", err)
	}
	if _, err := Open(dir); !errors.Is(err, ErrNotRegular) {
		t.Errorf("a directory: %v", err)
	}
}
