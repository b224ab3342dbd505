package catalogfile_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/catalogfile"
)

// linkedTo returns where the link points, "" when there is none, and fails
// when it dangles.
func linkedTo(t *testing.T, dir string) string {
	t.Helper()
	link := filepath.Join(dir, "data_latest.db.zst")
	to, err := os.Readlink(link)
	if errors.Is(err, os.ErrNotExist) {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(link); err != nil {
		t.Fatalf("the link dangles: %v", err)
	}
	return to
}

// Lost: the link that people copy the newest good backup by.
func TestLatestLink(t *testing.T) {
	c := open(t, t.TempDir())
	good1 := backup(t, c, catalog.Auto, catalog.Verified, start)
	good2 := backup(t, c, catalog.Manual, catalog.Verified, start.Add(-time.Hour)) // the clock fell back
	backup(t, c, catalog.Auto, catalog.Failed, start.Add(2*time.Hour))
	want := func(file string) {
		t.Helper()
		if got := linkedTo(t, c.Dir()); got != file {
			t.Fatalf("link to %q, want %q", got, file)
		}
	}
	want("")
	for range 2 {
		if err := c.LinkLatest(); err != nil {
			t.Fatal(err)
		}
		want(good2.File)
	}
	if err := c.Delete(t.Context(), good2.ID); err != nil {
		t.Fatal(err)
	}
	want(good1.File)
	if _, err := os.Lstat(c.Path(good2)); !errors.Is(err, os.ErrNotExist) {
		t.Fatal("the deleted archive is still there")
	}
	good1.Verification = catalog.Verification{State: catalog.Failed}
	update(t, c, func(tx *catalogfile.Tx) error { return tx.Put(good1) })
	if err := c.LinkLatest(); err != nil {
		t.Fatal(err)
	}
	want("")
}

// Lost: a second deletion that names one unknown id must not delete the known one.
func TestDeleteUnknownDeletesNothing(t *testing.T) {
	c := open(t, t.TempDir())
	e := backup(t, c, catalog.Auto, catalog.Verified, start)
	if err := c.Delete(t.Context(), e.ID, "nope"); !errors.Is(err, catalogfile.ErrNotFound) {
		t.Fatal(err)
	}
	if _, err := os.Stat(c.Path(e)); err != nil {
		t.Fatal(err)
	}
	get(t, c, e.ID)
}

// Lost: when one archive cannot be removed its entry must stay, and the link right.
func TestDeleteFailsHalfway(t *testing.T) {
	c := open(t, t.TempDir())
	a := backup(t, c, catalog.Auto, catalog.Verified, start)
	b := backup(t, c, catalog.Auto, catalog.Verified, start)
	// A directory with something in it cannot be removed by any user.
	if err := os.Remove(c.Path(b)); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(c.Path(b), "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := c.Delete(t.Context(), b.ID, a.ID); err == nil {
		t.Fatal("no error")
	}
	if got := ids(entries(t, c)); got != b.ID {
		t.Fatalf("left: %s", got)
	}
	if got := linkedTo(t, c.Dir()); got != "" {
		t.Fatalf("link to %s, which is no archive", got)
	}
}

// Lost: an archive in use as the hard-linked latest, where symbolic links fail.
func TestHardLinkedLatestIsNoBackup(t *testing.T) {
	c := open(t, t.TempDir())
	e := backup(t, c, catalog.Auto, catalog.Verified, start)
	link := filepath.Join(c.Dir(), "data_latest"+archive.Ext)
	if err := os.Link(c.Path(e), link); err != nil {
		t.Fatal(err)
	}
	if ch, err := c.Reconcile(t.Context(), nil); err != nil || !ch.Empty() {
		t.Fatalf("%v %v", ch.Lines(), err)
	}
	if info, err := os.Lstat(link); err != nil || !info.Mode().IsRegular() {
		t.Fatalf("the hard link was replaced: %v %v", info, err)
	}
}

// Lost: the link, when the process died between the entry and the link.
func TestReconcileRepairsTheLink(t *testing.T) {
	c := open(t, t.TempDir())
	e := backup(t, c, catalog.Auto, catalog.Verified, start)
	if ch := reconcile(t, c); !ch.Empty() {
		t.Fatal(ch.Lines())
	}
	if got := linkedTo(t, c.Dir()); got != e.File {
		t.Fatalf("link to %q", got)
	}
}
