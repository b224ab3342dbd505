package catalogfile_test

import (
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

func reconcile(t *testing.T, c *catalogfile.Catalog) catalog.Changes {
	t.Helper()
	ch, err := c.Reconcile(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return ch
}

// Lost: a backup whose process died between the archive's rename and the entry.
func TestReconcileFindsAnArchiveWithoutEntry(t *testing.T) {
	c := open(t, t.TempDir())
	old := backup(t, c, catalog.Auto, catalog.Verified, start)
	var seq uint64
	update(t, c, func(tx *catalogfile.Tx) error { seq = tx.NextSeq(); return nil })
	later := backup(t, c, catalog.Auto, catalog.Verified, start.Add(time.Hour))
	id := "data_backup_MANUAL_20251031_123000"
	info := storeArchive(t, c.Dir(), id, archive.Facts{Seq: seq, Kind: "manual", Trigger: "manual", Note: "n", Pinned: true, CreatedAt: start, DurationMS: 7})

	ch := reconcile(t, c)
	if ids(ch.Added) != id || ids(entries(t, c)) != later.ID+" "+id+" "+old.ID {
		t.Fatalf("added %s, list %s", ids(ch.Added), ids(entries(t, c)))
	}
	e := get(t, c, id)
	if e.Verification.State != catalog.Unverified || e.Seq != seq || e.Kind != catalog.Manual || !e.Pinned || e.Note != "n" ||
		e.ImageBLAKE3 != info.ImageBLAKE3 || e.ArchiveBytes != info.ArchiveBytes || e.DatabaseBytes != 512 || e.DurationMS != 7 {
		t.Fatalf("entry %+v", e)
	}
	before, _ := os.Stat(filepath.Join(c.Dir(), "catalog.json"))
	if ch := reconcile(t, c); !ch.Empty() {
		t.Fatalf("again: %v", ch.Lines())
	}
	if after, err := os.Stat(filepath.Join(c.Dir(), "catalog.json")); err != nil || !os.SameFile(before, after) {
		t.Fatalf("written although nothing changed: %v", err)
	}
}

// Lost: trust in the list: entries for archives that are gone or cut short.
func TestReconcileNoticesVanishedAndResized(t *testing.T) {
	c := open(t, t.TempDir())
	gone := backup(t, c, catalog.Auto, catalog.Verified, start)
	good := backup(t, c, catalog.Auto, catalog.Verified, start)
	short := backup(t, c, catalog.Manual, catalog.Verified, start)
	if err := c.LinkLatest(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Remove(c.Path(gone)), os.Truncate(c.Path(short), 100)); err != nil {
		t.Fatal(err)
	}
	ch := reconcile(t, c)
	if ids(ch.Vanished) != gone.ID || ids(ch.Resized) != short.ID || ids(entries(t, c)) != short.ID+" "+good.ID {
		t.Fatalf("%v; list %s", ch.Lines(), ids(entries(t, c)))
	}
	if v := get(t, c, short.ID).Verification; v.State != catalog.Failed || !strings.Contains(v.Detail, "100 bytes") || v.At == nil {
		t.Fatalf("cut short: %+v", v)
	}
	if got := linkedTo(t, c.Dir()); got != good.File {
		t.Fatalf("latest links to %q", got)
	}
	if ch := reconcile(t, c); !ch.Empty() {
		t.Fatalf("again: %v", ch.Lines())
	}
}

// Lost: an old state of the data, taken for the newest because a user copied
// or moved its archive.
func TestReconcileOrdersCopies(t *testing.T) {
	c := open(t, t.TempDir())
	a := backup(t, c, catalog.Auto, catalog.Verified, start)
	b := backup(t, c, catalog.Auto, catalog.Verified, start.Add(time.Hour))
	write(t, filepath.Join(c.Dir(), "z-copy.db.zst"), readFile(t, c.Path(a)))
	reconcile(t, c)
	if got := ids(entries(t, c)); got != b.ID+" z-copy "+a.ID {
		t.Fatalf("order %s", got)
	}
	if e := backup(t, c, catalog.Auto, catalog.Verified, start); e.Seq < 4 || entries(t, c)[0].ID != e.ID {
		t.Fatalf("the next one is not the newest: %+v", e)
	}

	b.Pinned, b.Note = true, "mine"
	update(t, c, func(tx *catalogfile.Tx) error { b.Seq = get(t, open(t, c.Dir()), b.ID).Seq; return tx.Put(b) })
	if err := os.Rename(c.Path(b), filepath.Join(c.Dir(), "renamed.db.zst")); err != nil {
		t.Fatal(err)
	}
	reconcile(t, c)
	// The copy has pushed its number up, which must not cost the pin.
	if e := get(t, c, "renamed"); e.Usable() || !e.Pinned || e.Note != "mine" {
		t.Fatalf("renamed: %+v", e)
	}
}

// Lost: a pin, when a user gives a backup's file a better name.
func TestRenamedArchiveKeepsItsPin(t *testing.T) {
	c := open(t, t.TempDir())
	e := backup(t, c, catalog.Auto, catalog.Verified, start)
	e.Pinned, e.Note = true, "mine"
	update(t, c, func(tx *catalogfile.Tx) error { return tx.Put(e) })
	if err := os.Rename(c.Path(e), filepath.Join(c.Dir(), "before import.db.zst")); err != nil {
		t.Fatal(err)
	}
	reconcile(t, c)
	if got := entries(t, c); ids(got) != "before import" || !got[0].Pinned || got[0].Note != "mine" || got[0].Seq != e.Seq {
		t.Fatalf("%+v", got)
	}
}

// Lost: a user's file, deleted or listed as a backup because of its name.
func TestReconcileLeavesForeignFilesAlone(t *testing.T) {
	dir := t.TempDir()
	c := open(t, dir)
	backup(t, c, catalog.Auto, catalog.Verified, start)
	good := readFile(t, c.Path(get(t, c, "latest")))
	write(t, filepath.Join(dir, "text.db.zst"), []byte("text"))
	write(t, filepath.Join(dir, "cut.db.zst"), good[:len(good)-20])
	write(t, filepath.Join(dir, "notes.txt"), nil)
	storeArchive(t, dir, "other", archive.Facts{Database: "other.db", Seq: 5})
	if err := errors.Join(os.Symlink("text.db.zst", filepath.Join(dir, "link.db.zst")),
		os.Mkdir(filepath.Join(dir, "dir.db.zst"), 0o700)); err != nil {
		t.Fatal(err)
	}
	ch := reconcile(t, c)
	wrong := map[string]error{"text.db.zst": archive.ErrNotArchive, "cut.db.zst": archive.ErrTruncated, "other.db.zst": catalogfile.ErrForeign,
		"link.db.zst": catalogfile.ErrForeign, "dir.db.zst": catalogfile.ErrForeign}
	if len(ch.Foreign) != len(wrong) || len(ch.Added) != 0 || len(entries(t, c)) != 1 {
		t.Fatalf("%v", ch.Lines())
	}
	for _, f := range ch.Foreign {
		if !errors.Is(f.Err, wrong[f.File]) {
			t.Errorf("%s: %v, want %v", f.File, f.Err, wrong[f.File])
		}
		if _, err := os.Lstat(filepath.Join(dir, f.File)); err != nil {
			t.Error(err)
		}
	}
}

// Lost: disk space to crashed runs; or a running backup's temporary file.
func TestReconcileSweepsOnlyWhenNoOperationRuns(t *testing.T) {
	c := open(t, t.TempDir())
	backup(t, c, catalog.Auto, catalog.Verified, start)
	tmp := filepath.Join(c.Dir(), ".snapd-tmp-data_backup_AUTO_20251031_120000.db.zst-0123456789abcdef")
	write(t, tmp, []byte("x"))
	lock, err := c.LockOperation(t.Context(), false, "backup")
	if err != nil {
		t.Fatal(err)
	}
	if ch := reconcile(t, open(t, c.Dir())); len(ch.Swept) != 0 {
		t.Fatalf("swept during an operation: %v", ch.Swept)
	}
	if err := lock.Unlock(); err != nil {
		t.Fatal(err)
	}
	if ch := reconcile(t, c); len(ch.Swept) != 1 {
		t.Fatalf("not swept: %v", ch.Lines())
	}
	if _, err := os.Stat(tmp); !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
}

// Lost: protection of a directory whose catalog.json was never copied along.
func TestMissingCatalogIsRebuilt(t *testing.T) {
	dir, want := three(t)
	if err := os.Remove(filepath.Join(dir, "catalog.json")); err != nil {
		t.Fatal(err)
	}
	c := open(t, dir)
	if got := entries(t, c); ids(got) != ids(want) || got[0].Usable() {
		t.Fatalf("%+v", got)
	}
	ch := reconcile(t, c)
	if !ch.Rebuilt || ch.SetAside != "" || ch.Reason == "" {
		t.Fatalf("not reported: %v", ch.Lines())
	}
}
