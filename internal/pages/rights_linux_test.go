package pages

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/testdb"
)

// openTo lets the user nobody reach the files under dir, to read only.
func openTo(t *testing.T, dir string, fileMode, dirMode os.FileMode) {
	t.Helper()
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, e := range mustReadDir(t, dir) {
		if err := os.Chmod(filepath.Join(dir, e.Name()), fileMode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, dirMode); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Chmod(dir, 0o755) })
}

// A backup run by a user who may only read must work, must leave no file that the
// owner could not write later, and must say so when it may not even read.
func TestReadOnlyRights(t *testing.T) {
	for name, c := range map[string]struct {
		journal           string
		orphan, noIndex   bool
		fileMode, dirMode os.FileMode
	}{
		"file, delete":                 {"delete", false, false, 0o644, 0o777},
		"file, wal":                    {"wal", false, false, 0o644, 0o777},
		"file, orphan wal":             {"wal", true, false, 0o644, 0o777},
		"file, orphan wal, no index":   {"wal", true, true, 0o644, 0o777},
		"directory, delete":            {"delete", false, false, 0o666, 0o755},
		"directory, wal":               {"wal", false, false, 0o666, 0o755},
		"directory, orphan wal":        {"wal", true, false, 0o666, 0o755},
		"directory, orphan, no index":  {"wal", true, true, 0o666, 0o755},
		"both, orphan wal, no index":   {"wal", true, true, 0o444, 0o555},
		"both, orphan wal, with index": {"wal", true, false, 0o444, 0o555},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			db := filepath.Join(dir, "data.db")
			shell(t, db, "PRAGMA journal_mode="+c.journal+"; CREATE TABLE t(a); INSERT INTO t VALUES(1)")
			want := "1"
			if c.orphan {
				p := python(t, db, `c.execute("INSERT INTO t VALUES(2)"); ready(); sys.stdin.read()`)
				p.kill()
				want = "3"
			}
			if c.noIndex {
				if err := os.Remove(db + "-shm"); err != nil {
					t.Fatal(err)
				}
			}
			scratch := t.TempDir()
			openTo(t, scratch, 0, 0o777)
			openTo(t, dir, c.fileMode, c.dirMode)
			before := state(t, dir)
			var image []byte
			testdb.AsNobody(t, func() {
				if f, err := os.OpenFile(db, os.O_WRONLY, 0); err == nil && c.fileMode&0o222 == 0 {
					f.Close()
					t.Fatal("the rights do not bind: the test proves nothing")
				}
				s, err := Begin(t.Context(), db, livedb.Options{ScratchDir: scratch})
				if err != nil {
					t.Error(err)
					return
				}
				if err := s.CopyTo(t.Context(), appendTo{&image}, nil); err != nil {
					t.Error(err)
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
			if after := state(t, dir); after != before {
				t.Errorf("before\n%safter\n%s", before, after)
			}
			if left := mustReadDir(t, scratch); len(left) > 0 {
				t.Errorf("left in the scratch directory: %v", left)
			}
			if got := shell(t, restored(t, image), "SELECT sum(a) FROM t"); got != want {
				t.Errorf("sum %s, want %s", got, want)
			}
		})
	}
}

func TestNoRights(t *testing.T) {
	dir := t.TempDir()
	db := filepath.Join(dir, "data.db")
	shell(t, db, "CREATE TABLE t(a)")
	openTo(t, dir, 0o600, 0o755)
	testdb.AsNobody(t, func() {
		if _, err := Begin(t.Context(), db, livedb.Options{}); !errors.Is(err, livedb.ErrPermission) {
			t.Errorf("unreadable: %v", err)
		}
	})
	openTo(t, dir, 0o644, 0o755)
	testdb.AsNobody(t, func() {
		if _, err := BeginWrite(t.Context(), db, time.Minute); !errors.Is(err, livedb.ErrPermission) {
			t.Errorf("unwritable: %v", err)
		}
	})
}

type appendTo struct{ b *[]byte }

func (a appendTo) Write(p []byte) (int, error) { *a.b = append(*a.b, p...); return len(p), nil }
