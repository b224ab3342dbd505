//go:build !windows

package durable_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/testdb"
)

// tree is what is in a directory: contents, or "-> " and a link's target, by path. A
// directory without files has an entry that ends with a slash.
type tree map[string]string

func makeTree(t *testing.T, dir string, files tree) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o700))
		if to, link := strings.CutPrefix(content, "-> "); link {
			must(t, os.Symlink(to, path))
		} else if strings.HasSuffix(name, "/") {
			must(t, os.MkdirAll(path, 0o700))
		} else {
			must(t, os.WriteFile(path, []byte(content), 0o600))
		}
	}
}

// readTree leaves out the temporary files of this package.
func readTree(t *testing.T, dir string) tree {
	t.Helper()
	found := tree{}
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		name := strings.TrimPrefix(strings.TrimPrefix(path, dir), "/")
		switch {
		case err != nil || name == "" || strings.HasPrefix(d.Name(), durable.TempPrefix):
			return err
		case d.IsDir():
			if entries, err := os.ReadDir(path); err != nil || len(entries) > 0 {
				return err
			}
			found[name+"/"] = ""
			return nil
		case d.Type()&fs.ModeSymlink != 0:
			to, err := os.Readlink(path)
			found[name] = "-> " + to
			return err
		}
		text, err := os.ReadFile(path)
		found[name] = string(text)
		return err
	}))
	return found
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// commit writes a file to be committed.
func commit(path, content string, commit func(*durable.File) error) error {
	f, err := durable.Create(path, 0o600)
	if err != nil {
		return err
	}
	if _, err := f.Write([]byte(content)); err != nil {
		return err
	}
	return commit(f)
}

// in has do work in the directory as a root.
func in(do func(root *os.Root) error) func(dir string) error {
	return func(dir string) error {
		root, err := os.OpenRoot(dir)
		if err != nil {
			return err
		}
		return errors.Join(do(root), root.Close())
	}
}

// Lost if this fails: all that a function of this package made or removed before it
// returned, to a power cut right after that; or both the old and the new, to one before.
func TestPowerLoss(t *testing.T) {
	for name, c := range map[string]struct {
		before tree
		do     func(dir string) error
		after  tree
		states int // the least number of different ones
	}{
		"Commit": {tree{"a": "old"}, func(dir string) error {
			return commit(dir+"/a", "new", (*durable.File).Commit)
		}, tree{"a": "new"}, 3},
		"Commit of a new file": {tree{}, func(dir string) error {
			return commit(dir+"/a", "new", (*durable.File).Commit)
		}, tree{"a": "new"}, 3},
		"CommitNew": {tree{}, func(dir string) error {
			return commit(dir+"/a", "new", (*durable.File).CommitNew)
		}, tree{"a": "new"}, 3},
		"WriteFile": {tree{"a": "old"}, func(dir string) error {
			return durable.WriteFile(dir+"/a", []byte("new"), 0o600)
		}, tree{"a": "new"}, 3},
		"CopyFile": {tree{}, func(dir string) error {
			return durable.CopyFile(context.Background(), strings.NewReader("new"), 3, dir+"/a", 0o600)
		}, tree{"a": "new"}, 3},
		"Rename": {tree{"a": "old", "b": "new"}, func(dir string) error {
			return durable.Rename(dir+"/b", dir+"/a")
		}, tree{"a": "new"}, 2},
		"Rename to another directory": {tree{"from/a": "moved", "to/": ""}, func(dir string) error {
			return durable.Rename(dir+"/from/a", dir+"/to/a")
		}, tree{"from/": "", "to/a": "moved"}, 2},
		"RenameNew": {tree{"a": "moved"}, func(dir string) error {
			return durable.RenameNew(dir+"/a", dir+"/b")
		}, tree{"b": "moved"}, 2},
		"Remove": {tree{"a": "old", "b": "other"}, func(dir string) error {
			return durable.Remove(dir + "/a")
		}, tree{"b": "other"}, 2},
		"Symlink": {tree{"a": "1", "b": "2", "latest": "-> a"}, func(dir string) error {
			return durable.Symlink("b", dir+"/latest")
		}, tree{"a": "1", "b": "2", "latest": "-> b"}, 2},
		"MkdirAll": {tree{}, func(dir string) error {
			return durable.MkdirAll(dir+"/a/b", 0o700)
		}, tree{"a/b/": ""}, 3},
		"CommitNew in a root": {tree{}, in(func(root *os.Root) error {
			f, err := durable.CreateIn(root, "a", 0o600)
			must(t, err)
			_, err = f.Write([]byte("new"))
			must(t, err)
			_, err = f.CommitNew()
			return err
		}), tree{"a": "new"}, 3},
		"RemoveIn": {tree{"a": "old", "b": "other"}, in(func(root *os.Root) error {
			return durable.RemoveIn(root, "a")
		}), tree{"b": "other"}, 2},
		"MkdirAllIn": {tree{}, in(func(root *os.Root) error {
			return durable.MkdirAllIn(root, "a/b", 0o700)
		}), tree{"a/b/": ""}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			makeTree(t, dir, c.before)
			model := testdb.WatchPowerLoss(t, dir, "no intent", func(string) bool { return false })
			must(t, c.do(dir))
			images := model.End()
			if len(images) < c.states {
				t.Errorf("%d states, at least %d", len(images), c.states)
			}
			for _, image := range images {
				got := readTree(t, image.Dir)
				if strings.HasPrefix(image.Where, "done") {
					if !maps.Equal(got, c.after) {
						t.Errorf("%s: %q, want %q", image.Where, got, c.after)
					}
					continue
				}
				for path, content := range got {
					if content != c.before[path] && content != c.after[path] {
						t.Errorf("%s: %s holds %q", image.Where, path, content)
					}
				}
				for path := range c.before {
					if _, stays := c.after[path]; stays && got[path] == "" && !strings.HasSuffix(path, "/") {
						t.Errorf("%s: there is no %s", image.Where, path)
					}
				}
			}
		})
	}
}

// Sync has to be enough for those who write a file of their own.
func TestPowerLossAfterSync(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(dir+"/log", []byte("one\n"), 0o600))
	model := testdb.WatchPowerLoss(t, dir, "no intent", func(string) bool { return false })
	f, err := os.OpenFile(dir+"/log", os.O_WRONLY|os.O_APPEND, 0)
	must(t, err)
	defer f.Close()
	for _, line := range []string{"two\n", "three\n"} {
		_, err = fmt.Fprint(f, line)
		must(t, err)
		must(t, durable.Sync(f))
	}
	images := model.End()
	if got := readTree(t, images[len(images)-1].Dir)["log"]; got != "one\ntwo\nthree\n" {
		t.Errorf("the log holds %q", got)
	}
	if len(images) < 3 {
		t.Errorf("%d states", len(images))
	}
}
