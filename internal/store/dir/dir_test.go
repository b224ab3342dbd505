package dir_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/store"
	"example.com/snapd/internal/store/dir"
	"example.com/snapd/internal/store/storetest"
)

func open(t *testing.T, path, id string) *dir.Dir {
	t.Helper()
	d, err := dir.Open(t.Context(), path, dir.Options{ID: id})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func put(t *testing.T, d *dir.Dir, name, data string) error {
	t.Helper()
	_, err := d.Put(t.Context(), name, strings.NewReader(data), int64(len(data)))
	return err
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestConforms(t *testing.T) {
	storetest.Suite{Names: 300, Place: func(t *testing.T) func() store.Store {
		path := t.TempDir()
		return func() store.Store { return open(t, path, "") }
	}}.Run(t)
}

// If this fails, backups are written to the system's disk below the mount point of one that is not mounted, and a list of nothing
// is taken for a place without backups.
func TestGone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mounted")
	if _, err := dir.Open(t.Context(), path, dir.Options{}); !errors.Is(err, store.ErrGone) {
		t.Errorf("open of no directory: %v", err)
	}
	must(t, os.Mkdir(path, 0o700))
	d := open(t, path, "")
	must(t, put(t, d, "a", "a"))
	if again := open(t, path, d.ID()); again.ID() != d.ID() {
		t.Errorf("the id is %s, then %s", d.ID(), again.ID())
	}

	away := path + ".away"
	for name, appear := range map[string]func() error{
		"nothing":            func() error { return nil },
		"an empty directory": func() error { return os.Mkdir(path, 0o700) },
		"another place": func() error {
			return errors.Join(os.Mkdir(path, 0o700), func() error { open(t, path, ""); return nil }())
		},
		"a file":                 func() error { return os.WriteFile(path, nil, 0o600) },
		"a place without marker": func() error { return os.MkdirAll(path+"/a", 0o700) },
	} {
		t.Run(name, func(t *testing.T) {
			must(t, os.Rename(path, away))
			must(t, appear())
			before := files(t, filepath.Dir(path))
			_, errOpen := dir.Open(t.Context(), path, dir.Options{ID: d.ID()})
			_, errStat := d.Stat(t.Context(), "a")
			_, errGet := d.Get(t.Context(), "a", "", 0, -1)
			var errList error
			for _, errList = range d.List(t.Context(), "", "") {
			}
			for op, err := range map[string]error{"open": errOpen, "put": put(t, d, "b", "b"), "stat": errStat, "get": errGet, "list": errList, "delete": d.Delete(t.Context(), "a")} {
				if !errors.Is(err, store.ErrGone) || errors.Is(err, store.ErrMissing) {
					t.Errorf("%s: %v", op, err)
				}
			}
			if after := files(t, filepath.Dir(path)); after != before {
				t.Errorf("files were made or removed: %s, before %s", after, before)
			}
			must(t, os.RemoveAll(path))
			must(t, os.Rename(away, path))
			if _, err := d.Stat(t.Context(), "a"); err != nil {
				t.Errorf("the place is back, and: %v", err)
			}
		})
	}
}

// files lists a tree.
func files(t *testing.T, root string) string {
	t.Helper()
	var all []string
	must(t, filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		all = append(all, path)
		return err
	}))
	return strings.Join(all, " ")
}

// If this fails, an object counts as stored that the disk has otherwise than it was written.
func TestReadBackBeforeItCounts(t *testing.T) {
	path := t.TempDir()
	d := open(t, path, "")
	stop := durable.Observe(&durable.Observer{Synced: func(s durable.Step, at string) {
		if s == durable.StepSync && strings.HasPrefix(at, path) { // the disk writes something else than it was given
			must(t, os.WriteFile(at, []byte("wrItten"), 0o600))
		}
	}})
	err := put(t, d, "o", "written")
	stop()
	if err == nil || !strings.Contains(err.Error(), "read back") {
		t.Errorf("put on a disk that writes something else: %v", err)
	}
	for object, err := range d.List(t.Context(), "", "") {
		t.Errorf("list shows %+v, %v", object, err)
	}
	must(t, put(t, d, "o", "written"))
}

// If this fails, a disk fills up with what crashes left, or a copy that another machine still writes is taken away.
func TestSweep(t *testing.T) {
	path := t.TempDir()
	must(t, os.Mkdir(filepath.Join(path, "b"), 0o700))
	old, young := filepath.Join(path, "b", durable.TempName("x")), filepath.Join(path, "b", durable.TempName("x"))
	for _, name := range []string{old, young} {
		must(t, os.WriteFile(name, []byte("half"), 0o600))
	}
	must(t, os.Chtimes(old, time.Now(), time.Now().Add(-25*time.Hour)))
	d := open(t, path, "")
	must(t, put(t, d, "b/o", "o"))
	if _, err := os.Stat(old); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an old temporary file: %v", err)
	}
	if _, err := os.Stat(young); err != nil {
		t.Errorf("a young temporary file: %v", err)
	}
	for object, err := range d.List(t.Context(), "", "") {
		if err != nil || object.Name != "b/o" {
			t.Errorf("list shows %+v, %v", object, err)
		}
	}
}

// If this fails, a symbolic link that another user put into the place makes the store read, replace or remove another file.
func TestLinksAreNotFollowed(t *testing.T) {
	path, outside := t.TempDir(), t.TempDir()
	secret := filepath.Join(outside, "secret")
	must(t, os.WriteFile(secret, []byte("secret"), 0o600))
	d := open(t, path, "")
	must(t, os.Symlink(secret, filepath.Join(path, "link")))
	must(t, os.Symlink(outside, filepath.Join(path, "out")))
	for _, name := range []string{"link", "out/secret"} {
		if r, err := d.Get(t.Context(), name, "", 0, -1); err == nil {
			t.Errorf("get %s succeeds", name)
			r.Close()
		}
		if err := d.Delete(t.Context(), name); err == nil {
			t.Errorf("delete %s succeeds", name)
		}
	}
	if err := put(t, d, "out/new", "new"); err == nil {
		t.Error("put goes through a symbolic link")
	}
	if got := files(t, outside); got != outside+" "+secret {
		t.Errorf("outside is %s", got)
	}
	for object := range d.List(t.Context(), "", "") {
		t.Errorf("list shows %+v", object)
	}
}

// If this fails, an object is half there, or not there after Put returned, when the power goes.
func TestSyncedInOrder(t *testing.T) {
	path := t.TempDir()
	d := open(t, path, "")
	var steps []string
	stop := durable.Observe(&durable.Observer{
		Before: func(s durable.Step, at string) {
			if s == durable.StepRename && strings.HasPrefix(at, path) {
				steps = append(steps, "rename")
			}
		},
		Synced: func(s durable.Step, at string) {
			if rest, ours := strings.CutPrefix(at, path); ours {
				if s == durable.StepSync {
					rest = "/content"
				}
				steps = append(steps, rest)
			}
		},
	})
	must(t, put(t, d, "b/c/o", "o"))
	stop()
	want := " /b /content /content rename /b/c" // before it is read back, and by CommitNew
	if got := strings.Join(steps, " "); got != want {
		t.Errorf("the steps are %q, want %q", got, want)
	}
	if err := d.Delete(t.Context(), "b/c/o"); err != nil {
		t.Error(err)
	}
}
