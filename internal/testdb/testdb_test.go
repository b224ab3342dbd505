package testdb

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"example.com/snapd/internal/sqlite"
)

func TestMain(m *testing.M) {
	RunChild(map[string]func([]string) error{
		"say":  func(args []string) error { fmt.Println("said " + strings.Join(args, "|")); return nil },
		"fail": func([]string) error { return errors.New("on purpose") },
		"hang": func([]string) error { fmt.Println("hanging"); select {} },
	})
	os.Exit(m.Run())
}

// recorder is a testing.TB that notes what a helper does to the test.
type recorder struct {
	testing.TB
	cleanups []func()
	errors   []string
}

func (r *recorder) Helper()                   {}
func (r *recorder) Cleanup(f func())          { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Errorf(f string, a ...any) { r.errors = append(r.errors, fmt.Sprintf(f, a...)) }
func (r *recorder) end() []string {
	for len(r.cleanups) > 0 {
		last := len(r.cleanups) - 1
		f := r.cleanups[last]
		r.cleanups = r.cleanups[:last]
		f()
	}
	return r.errors
}

// Every package loops over the variants; one that is not what its name says, or
// that the C library does not accept, would test nothing there.
func TestVariantsAreWhatTheySay(t *testing.T) {
	for _, v := range Variants() {
		t.Run(v.Name, func(t *testing.T) {
			path := v.Create(t)
			if _, err := os.Stat(path + "-wal"); (err == nil) != v.Unfolded {
				t.Errorf("-wal: %v, unfolded: %v", err, v.Unfolded)
			}
			if v.Name != "nothing" {
				if got := PageSize(t, path); got != int64(v.PageSize) {
					t.Errorf("page size %d, want %d", got, v.PageSize)
				}
			}
			if v.Sum > 0 {
				if _, sum := Ledger(t, path); sum != v.Sum {
					t.Errorf("sum %d, want %d", sum, v.Sum)
				}
			}
			ShellIntegrity(t, path)
		})
	}
	for _, c := range []struct{ variant, query, want string }{
		{"page-65536", "PRAGMA page_size", "65536"},
		{"wal", "PRAGMA journal_mode", "wal"},
		{"utf16be", "PRAGMA encoding", "UTF-16be"},
		{"auto-vacuum-full", "PRAGMA auto_vacuum", "1"},
		{"auto-vacuum-incremental", "SELECT freelist_count > 0 FROM pragma_freelist_count", "1"},
		{"free-pages", "SELECT freelist_count > 50 FROM pragma_freelist_count", "1"},
		{"identified", "SELECT user_version||' '||application_id FROM pragma_user_version, pragma_application_id", "-7 2147483647"},
		{"rtree", "SELECT rtreecheck('places')", "ok"},
	} {
		t.Run(c.variant, func(t *testing.T) {
			if got := ShellQuery(t, variant(t, c.variant).Create(t), c.query); got != c.want {
				t.Errorf("%s: %q, want %q", c.query, got, c.want)
			}
		})
	}
}

func variant(t *testing.T, name string) Variant {
	t.Helper()
	for _, v := range Variants() {
		if v.Name == name {
			return v
		}
	}
	t.Fatalf("no variant %s", name)
	return Variant{}
}

func TestReservedBytesAreReserved(t *testing.T) {
	b := content(t, variant(t, "reserved-bytes").Create(t))
	if b[20] != 32 {
		t.Errorf("header reserves %d bytes", b[20])
	}
}

// The special databases have to be in the state they are named after.
func TestHotJournalIsHot(t *testing.T) {
	path, sum := HotJournal(t)
	raw := filepath.Join(t.TempDir(), "raw.db")
	copyOpen(t, path, raw) // without the journal the half transaction shows
	if got, err := ask(t.Context(), raw, "PRAGMA integrity_check"); err == nil && got == "ok" {
		if _, rawSum := ledger(t, raw); rawSum == sum {
			t.Error("nothing of the transaction is in the file")
		}
	}
	if _, got := Ledger(t, path); got != sum {
		t.Errorf("sum %d after the rollback, want %d", got, sum)
	}
}

// ledger is Ledger without its judgement.
func ledger(t *testing.T, path string) (int64, int64) { return Ledger(&recorder{TB: t}, path) }

// A helper that lets a broken database pass would make every test that relies
// on it green for nothing.
func TestBrokenDatabasesAreCaught(t *testing.T) {
	RequireTool(t, "sqlite3")
	v := Variant{Name: "broken", PageSize: 1024, JournalMode: "delete", sql: itemsSQL + manyPages}
	path := v.Create(t)
	r := &recorder{TB: t}
	CheckAtEnd(r, path)
	ZeroPage(t, path, 2)
	damaged.Delete(path)
	if errs := r.end(); len(errs) != 1 {
		t.Errorf("zeroed page 2, the check at the end said %q", errs)
	}
	Damaged(t, path) // for this test's own end
	r = &recorder{TB: t}
	CheckAtEnd(r, path)
	if errs := r.end(); len(errs) != 0 {
		t.Errorf("damage on purpose was reported: %q", errs)
	}
	r = &recorder{TB: t}
	ShellIntegrity(r, path)
	if len(r.errors) == 0 {
		t.Error("the shell's check let the damage pass")
	}

	torn := v.Create(t)
	if err := run(torn, "UPDATE accounts SET balance=balance-1 WHERE id=1", true); err != nil {
		t.Fatal(err)
	}
	r = &recorder{TB: t}
	if Ledger(r, torn); len(r.errors) == 0 {
		t.Error("half a transfer passed as a committed state")
	}
	Damaged(t, path)
}

func TestCorruptersDoWhatTheySay(t *testing.T) {
	path := variant(t, "page-1024").Create(t)
	was := content(t, path)
	same := func(what string, want []byte) {
		t.Helper()
		if string(content(t, path)) != string(want) {
			t.Errorf("%s: not as expected", what)
		}
	}
	FlipByte(t, path, 2000)
	FlipByte(t, path, -1)
	want := append([]byte(nil), was...)
	want[2000], want[len(want)-1] = ^want[2000], ^want[len(want)-1]
	same("flip", want)
	FlipByte(t, path, 2000)
	FlipByte(t, path, -1)
	same("flip back", was)
	SwapPages(t, path, 2, 3)
	want = append([]byte(nil), was...)
	copy(want[1024:2048], was[2048:3072])
	copy(want[2048:3072], was[1024:2048])
	same("swap", want)
	SwapPages(t, path, 2, 3)
	ZeroPage(t, path, 2)
	want = append([]byte(nil), was...)
	clear(want[1024:2048])
	same("zero", want)
	OverwriteHeader(t, path, was[:2048])
	Append(t, path, []byte("tail"))
	same("append", append(append([]byte(nil), was...), "tail"...))
	CutAt(t, path, -4)
	same("cut", was)
	CutAt(t, path, 100)
	same("cut", was[:100])
}

func TestListingsSeeEveryChange(t *testing.T) {
	path := variant(t, "page-512").Create(t)
	dir := filepath.Dir(path)
	first := DirListing(t, dir)
	if first != DirListing(t, dir) || !strings.Contains(first, FileHash(t, path)) {
		t.Fatalf("unsteady listing: %s", first)
	}
	old := time.Unix(1, 0)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
	second := DirListing(t, dir)
	FlipByte(t, path, 50)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
	third := DirListing(t, dir)
	if err := os.WriteFile(path+"-shm", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if fourth := DirListing(t, dir); first == second || second == third || third == fourth {
		t.Errorf("a change went unseen:\n%s%s%s%s", first, second, third, fourth)
	}
}

// Reading or breaking a file must not cost this process its locks: a test would
// then prove something about a situation that users never have.
func TestLocksSurviveTheHelpers(t *testing.T) {
	path := variant(t, "page-4096").Create(t)
	c, err := sqlite.Open(path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Exec(t.Context(), "BEGIN EXCLUSIVE"); err != nil {
		t.Fatal(err)
	}
	FileHash(t, path)
	size := fileSize(t, path)
	Append(t, path, []byte("x"))
	CutAt(t, path, size)
	shell := RequireTool(t, "sqlite3")
	err = child(strings.NewReader("BEGIN IMMEDIATE;\n"), nil, shell, "-batch", "-bail", path)
	if err == nil || !strings.Contains(err.Error(), "locked") {
		t.Errorf("another process got the lock that this one holds: %v", err)
	}
	if err := c.Exec(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
}

func TestChildren(t *testing.T) {
	said := Reexec(t, "say", "a b", "", "ü")
	if line := said.WaitLine("said"); line != "said a b||ü" {
		t.Errorf("arguments arrived as %q", line)
	}
	if err := said.Wait(); err != nil {
		t.Error(err)
	}
	if err := Reexec(t, "fail").Wait(); err == nil || !strings.Contains(err.Error(), "on purpose") {
		t.Errorf("failed child: %v", err)
	}
	hang := Reexec(t, "hang")
	hang.WaitLine("hanging")
	hang.Kill()
	if err := hang.Wait(); err == nil {
		t.Error("a killed child ended well")
	}
}
