package catalogfile_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/catalogfile"
	"example.com/snapd/internal/testdb"
)

// unwritable makes the directory and its files readable by all, writable by none.
func unwritable(t *testing.T, dir string) {
	t.Helper()
	t.Cleanup(func() { os.Chmod(dir, 0o700) })
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if err := os.Chmod(filepath.Join(dir, f.Name()), 0o444); err != nil {
			t.Fatal(err)
		}
	}
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o555); err != nil {
			t.Fatal(err)
		}
		if d != dir {
			t.Cleanup(func() { os.Chmod(d, 0o700) })
		}
	}
}

// Lost: `list`, `check` and `restore --to` from a read-only mounted directory.
func TestUnwritableDirectory(t *testing.T) {
	for name, damage := range map[string]func(path string) error{
		"whole":   func(string) error { return nil },
		"missing": os.Remove,
		"damaged": func(path string) error { return os.Truncate(path, 100) },
	} {
		for _, keepLock := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				dir, want := three(t)
				gone := filepath.Join(dir, want[2].File)
				err := errors.Join(damage(filepath.Join(dir, "catalog.json")), os.Remove(gone))
				if !keepLock {
					err = errors.Join(err, os.Remove(filepath.Join(dir, ".catalog.lock")))
				}
				if err != nil {
					t.Fatal(err)
				}
				unwritable(t, dir)
				testdb.AsNobody(t, func() { checkUnwritable(t, dir, want[:2]) })
				if len(asides(t, dir)) != 0 {
					t.Error("something was written")
				}
			})
		}
	}
}

func checkUnwritable(t *testing.T, dir string, want []catalog.Entry) {
	if f, err := os.Create(filepath.Join(dir, "x")); err == nil {
		f.Close()
		t.Fatal("the test's directory is writable")
	}
	c := open(t, dir)
	ch, err := c.Reconcile(t.Context(), nil)
	if err != nil || !errors.Is(ch.Unsaved, catalogfile.ErrReadOnly) {
		t.Fatalf("reconcile: %v, %v", ch.Lines(), err)
	}
	for range 2 {
		if got := entries(t, c); ids(got) != ids(want) {
			t.Fatalf("list %s\nwant %s", ids(got), ids(want))
		}
	}
	if _, _, err := c.NewFile(catalog.Auto, start); err != nil {
		t.Error(err)
	}
	for what, err := range map[string]error{
		"update":  c.Update(t.Context(), func(tx *catalogfile.Tx) error { tx.NextSeq(); return nil }),
		"delete":  c.Delete(t.Context(), want[0].ID),
		"link":    c.LinkLatest(),
		"rebuild": second(c.Rebuild(t.Context())),
		"lock":    second(c.LockOperation(t.Context(), true, "x")),
		"serve":   second(c.LockServe(t.Context())),
	} {
		if what == "link" && err == nil {
			continue // it was right already
		}
		if !errors.Is(err, catalogfile.ErrReadOnly) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, running, err := c.ServeRunning(); running || err != nil {
		t.Errorf("asked for a service: %v %v", running, err)
	}
}

func second[T any](_ T, err error) error { return err }
