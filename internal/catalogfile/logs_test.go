package catalogfile_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/catalogfile"
	"example.com/snapd/internal/changes"
)

// Lost: all captures, which went into a log of the timeline 0 that nothing lists, where only archives of another directory were
// there to rebuild the catalog from.
func TestNoTimelineBeginsWithoutALog(t *testing.T) {
	c := open(t, t.TempDir())
	update(t, c, func(tx *catalogfile.Tx) error { tx.State().PageSeed = archive.Seed(0).String(); return nil })
	storeArchiveOf(t, c.Dir(), "foreign", elsewhere, archive.Facts{Seq: 1, Kind: "auto", CreatedAt: start})
	for _, log := range []string{"", "9223372036854775807"} {
		if err := os.MkdirAll(filepath.Join(c.Dir(), changes.Folder, log), 0o700); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Rebuild(t.Context()); err != nil {
			t.Fatal(err)
		}
		if state, err := open(t, c.Dir()).State(); err != nil || state.Timeline != nil {
			t.Errorf("log %q: timeline %+v, %v", log, state.Timeline, err)
		}
	}
}

// Lost: every backup, where catalog.json was lost and the change logs could not be read either.
func TestRebuildWithoutTheChangeLogs(t *testing.T) {
	c := open(t, t.TempDir())
	e := backup(t, c, catalog.Auto, catalog.Verified, start)
	write(t, filepath.Join(c.Dir(), changes.Folder), []byte("no directory"))
	if err := os.Remove(filepath.Join(c.Dir(), "catalog.json")); err != nil {
		t.Fatal(err)
	}
	c = open(t, c.Dir())
	ch := reconcile(t, c)
	if got := ids(entries(t, c)); got != e.ID {
		t.Errorf("backups %q", got)
	}
	if text := strings.Join(ch.Lines(), "\n"); !strings.Contains(text, `ignoring "changes"`) {
		t.Errorf("not reported: %s", text)
	}
}
