package catalogfile_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/catalogfile"
)

// three makes a directory with an automatic, a pinned and a noted backup.
func three(t *testing.T) (dir string, list []catalog.Entry) {
	t.Helper()
	dir = t.TempDir()
	c := open(t, dir)
	backup(t, c, catalog.Auto, catalog.Verified, start)
	pinned := backup(t, c, catalog.Auto, catalog.Verified, start.Add(time.Hour))
	pinned.Pinned = true
	noted := backup(t, c, catalog.Manual, catalog.Verified, start.Add(2*time.Hour))
	noted.Note = "before \"import\"\n{…}"
	update(t, c, func(tx *catalogfile.Tx) error { return errors.Join(tx.Put(pinned), tx.Put(noted)) })
	return dir, entries(t, c)
}

func asides(t *testing.T, dir string) []string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(dir, "catalog.json.damaged-*"))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// Lost: the backups behind a damaged catalog; or the damaged catalog itself,
// which may be all that remembers a pin.
func TestDamagedCatalogIsRebuilt(t *testing.T) {
	damage := map[string]func(text []byte) []byte{
		"empty":        func([]byte) []byte { return nil },
		"blank":        func([]byte) []byte { return []byte(" \n") },
		"garbage":      func([]byte) []byte { return []byte("SQLite format 3\x00\xff") },
		"cut in half":  func(b []byte) []byte { return b[:len(b)/2] },
		"last byte":    func(b []byte) []byte { return b[:len(b)-1] },
		"trailing":     func(b []byte) []byte { return append(b, 'x') },
		"zeroed":       func(b []byte) []byte { return make([]byte, len(b)) },
		"no version":   func(b []byte) []byte { return bytes.Replace(b, []byte(`"version":1,`), nil, 1) },
		"version 0":    func(b []byte) []byte { return bytes.Replace(b, []byte(`"version":1`), []byte(`"version":0`), 1) },
		"path in file": func(b []byte) []byte { return bytes.Replace(b, []byte(`"file":"`), []byte(`"file":"../`), 1) },
		"path in both": func(b []byte) []byte {
			return bytes.ReplaceAll(b, []byte(`"data_backup_AUTO_20251031_120000`), []byte(`"../data_backup_AUTO_20251031_120000`))
		},
		"wrong suffix": func(b []byte) []byte { return bytes.Replace(b, []byte(`.db.zst`), []byte(`.db`), 1) },
		"twice":        func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("130000"), []byte("120000")) },
		"same seq":     func(b []byte) []byte { return bytes.Replace(b, []byte(`"seq":2`), []byte(`"seq":1`), 1) },
		"a list":       func([]byte) []byte { return []byte("[]") },
		"null":         func([]byte) []byte { return []byte("null") },
	}
	for name, fn := range damage {
		t.Run(name, func(t *testing.T) {
			dir, want := three(t)
			path := filepath.Join(dir, "catalog.json")
			bad := fn(readFile(t, path))
			write(t, path, bad)

			c := open(t, dir)
			if got := entries(t, c); ids(got) != ids(want) || got[0].Seq != 3 {
				t.Fatalf("rebuilt %s\nwant    %s", ids(got), ids(want))
			}
			for _, e := range entries(t, c) {
				if e.Usable() {
					t.Errorf("%s counts as verified without proof", e.ID)
				}
			}
			kept := asides(t, dir)
			if len(kept) != 1 || !bytes.Equal(readFile(t, kept[0]), bad) {
				t.Fatalf("the damaged catalog was not kept: %v", kept)
			}
			ch := c.TakeChanges()
			if !ch.Rebuilt || ch.SetAside != kept[0] || ch.Reason == "" || ch.Unsaved != nil {
				t.Fatalf("not reported: %+v", ch)
			}
			if ch := open(t, dir).TakeChanges(); !ch.Empty() {
				t.Fatalf("rebuilt again: %v", ch.Lines())
			}
		})
	}
}

// Lost: the pins and notes in the undamaged lines: without them
// retention would delete pinned backups.
func TestPinsSurviveDamage(t *testing.T) {
	dir, want := three(t)
	path := filepath.Join(dir, "catalog.json")
	text := readFile(t, path)
	write(t, path, text[:len(text)-3])
	got := entries(t, open(t, dir))
	if got[0].Note != want[0].Note || !got[1].Pinned || got[2].Pinned {
		t.Fatalf("pins and notes: %+v", got)
	}
}

// Lost: the pins in a directory that was put, damaged, where a service had
// found none.
func TestDamagedDirectoryAppears(t *testing.T) {
	dir, want := three(t)
	text := readFile(t, filepath.Join(dir, "catalog.json"))
	c := open(t, t.TempDir())
	entries(t, c)
	for _, e := range want {
		write(t, c.Path(e), readFile(t, filepath.Join(dir, e.File)))
	}
	write(t, filepath.Join(c.Dir(), "catalog.json"), text[:len(text)-3])
	if got := entries(t, c); ids(got) != ids(want) || got[0].Note == "" || !got[1].Pinned {
		t.Fatalf("%+v", got)
	}
}

// Lost: what a running service knows, when the file is damaged or deleted under it.
func TestDamageUnderARunningCatalog(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, path string){
		"garbage": func(t *testing.T, path string) { write(t, path, []byte("{")) },
		"deleted": func(t *testing.T, path string) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir, want := three(t)
			c := open(t, dir)
			update(t, c, func(tx *catalogfile.Tx) error { tx.NextSeq(); return nil })
			damage(t, filepath.Join(dir, "catalog.json"))
			update(t, c, func(tx *catalogfile.Tx) error {
				if seq := tx.NextSeq(); seq != 5 {
					t.Errorf("next number %d, want 5", seq)
				}
				return nil
			})
			got := entries(t, open(t, dir))
			if ids(got) != ids(want) || !got[1].Pinned || got[0].Note == "" {
				t.Fatalf("after: %+v", got)
			}
		})
	}
}

// Lost: a newer program's catalog, overwritten by an older program.
func TestNewerVersionIsLeftAlone(t *testing.T) {
	dir, _ := three(t)
	path := filepath.Join(dir, "catalog.json")
	c := open(t, dir)
	newer := []byte(`{"next_seq":9,"version":2,"index":"elsewhere`)
	write(t, path, newer)
	if _, err := catalogfile.Open(dir, "data"); !errors.Is(err, catalogfile.ErrVersion) || !strings.Contains(err.Error(), "upgrade") {
		t.Errorf("open: %v", err)
	}
	if _, err := c.Entries(); !errors.Is(err, catalogfile.ErrVersion) {
		t.Errorf("list: %v", err)
	}
	if err := c.Update(t.Context(), func(*catalogfile.Tx) error { return nil }); !errors.Is(err, catalogfile.ErrVersion) {
		t.Errorf("update: %v", err)
	}
	if _, err := c.Rebuild(t.Context()); !errors.Is(err, catalogfile.ErrVersion) {
		t.Errorf("rebuild: %v", err)
	}
	if _, err := c.Reconcile(t.Context(), nil); !errors.Is(err, catalogfile.ErrVersion) {
		t.Errorf("reconcile: %v", err)
	}
	if !bytes.Equal(readFile(t, path), newer) || len(asides(t, dir)) != 0 {
		t.Error("the newer catalog was touched")
	}
}

// Lost: time and memory to a catalog that no program of ours wrote.
func TestOversizedCatalog(t *testing.T) {
	t.Parallel()
	dir, want := three(t)
	path := filepath.Join(dir, "catalog.json")
	if err := os.Truncate(path, 257<<20); err != nil { // sparse
		t.Fatal(err)
	}
	if got := entries(t, open(t, dir)); ids(got) != ids(want) || !got[1].Pinned {
		t.Fatalf("rebuilt %+v", got)
	}
	if len(asides(t, dir)) != 1 {
		t.Fatal("the oversized catalog was not kept")
	}
}

// Lost: the order of backups after `rebuild`, and with it the newest one.
func TestRebuild(t *testing.T) {
	dir, want := three(t)
	c := open(t, dir)
	update(t, c, func(tx *catalogfile.Tx) error { tx.State().Succeeded(catalog.TriggerSchedule, start); return nil })
	copyOf := func(id string) {
		t.Helper()
		write(t, filepath.Join(dir, id+archive.Ext), readFile(t, c.Path(want[2])))
	}
	copyOf("b-copy") // of number 1
	copyOf("a-copy")
	storeArchive(t, dir, "unknown-late", archive.Facts{Kind: "auto", CreatedAt: start.AddDate(1, 0, 0)})
	storeArchive(t, dir, "unknown-early", archive.Facts{Kind: "auto", CreatedAt: start.AddDate(-1, 0, 0)})
	storeArchive(t, dir, "other", archive.Facts{Kind: "auto", Database: "other.db", Seq: 99})
	write(t, filepath.Join(dir, "text.db.zst"), []byte("no archive"))

	order := []string{want[0].ID, want[1].ID, want[2].ID, "b-copy", "a-copy", "unknown-late", "unknown-early"}
	for range 2 { // the same every time
		ch, err := c.Rebuild(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got := entries(t, c)
		if ids(got) != strings.Join(order, " ") {
			t.Fatalf("order %s\nwant  %s", ids(got), strings.Join(order, " "))
		}
		if !ch.Rebuilt || len(ch.Added) != 7 || len(ch.Foreign) != 2 {
			t.Fatalf("changes: %v", ch.Lines())
		}
		for i, e := range got {
			if e.Verification.State != catalog.Unverified || i > 0 && e.Seq >= got[i-1].Seq {
				t.Fatalf("entry %d: %+v", i, e)
			}
		}
		if got[0].Note != want[0].Note || !got[1].Pinned {
			t.Fatal("pin or note lost")
		}
	}
	if s, _ := c.State(); len(s.LastSuccess) != 1 {
		t.Error("state lost")
	}
	for _, f := range []string{"text.db.zst", "other.db.zst"} {
		if _, err := os.Stat(filepath.Join(dir, f)); err != nil {
			t.Error(err)
		}
	}
	if got := linkedTo(t, dir); got != "" {
		t.Errorf("latest links to the unverified %s", got)
	}
}

// Lost: a rebuilt catalog must reach the disk also when it says what the last
// good one did.
func TestRepairedCatalogIsWritten(t *testing.T) {
	c := open(t, t.TempDir())
	e := backup(t, c, catalog.Auto, catalog.Unverified, start)
	if _, err := c.Rebuild(t.Context()); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(c.Dir(), "catalog.json"), []byte("{"))
	if got := ids(entries(t, c)); got != e.ID {
		t.Fatal(got)
	}
	if ch := open(t, c.Dir()).TakeChanges(); !ch.Empty() {
		t.Fatalf("still damaged: %v", ch.Lines())
	}
}

// Lost: another process's change, on a file system that gives two versions the
// same number, size and time.
func TestVersionsWithTheSameStamp(t *testing.T) {
	dir, want := three(t)
	path := filepath.Join(dir, "catalog.json")
	before := readFile(t, path)
	update(t, open(t, dir), func(tx *catalogfile.Tx) error {
		e := want[0]
		e.Note = strings.Replace(e.Note, "before", "BEFORE", 1)
		return tx.Put(e)
	})
	after := readFile(t, path)
	write(t, path, before)
	c := open(t, dir)
	info, err := os.Stat(path)
	if err != nil || len(before) != len(after) {
		t.Fatalf("%v, %d and %d bytes", err, len(before), len(after))
	}
	write(t, path, after)
	if err := os.Chtimes(path, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	if e := get(t, c, want[0].ID); !strings.HasPrefix(e.Note, "BEFORE") {
		t.Fatalf("note %q", e.Note)
	}
}
