package snapshot_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"example.com/snapd/snapshot"
)

// Lost: the database, to the state of another one of the same name: its archive was put into
// the backup directory, proven, and then taken for the newest good backup.
func TestRecoveryTakesNoForeignBackup(t *testing.T) {
	t.Parallel()
	other := newBench(t, "wal")
	other.mark("other")
	for range 2 {
		other.manual()
	}
	foreign := other.manual()

	b := newBench(t, "wal")
	b.mark("own")
	own := b.manual()
	put := foreign.File[:len(foreign.File)-len(".db.zst")] + "_other"
	writeFile(t, filepath.Join(b.m.Dir(), put+".db.zst"), readFile(t, other.m.ArchivePath(foreign)))
	b.reopen()
	if _, err := b.m.Verify(t.Context(), put, snapshot.LevelQuick); err != nil {
		t.Fatal(err)
	}
	if got := b.latest(); got != own.File {
		t.Errorf("latest is %s", got)
	}
	if err := os.Remove(b.m.ArchivePath(own)); err != nil {
		t.Fatal(err)
	}
	b.reopen()
	if s := b.status(); s.State == snapshot.Protected || s.NewestVerified != nil {
		t.Errorf("protected by a foreign backup: %+v", s)
	}
	b.damage()
	if res, err := b.m.Recover(t.Context()); !errors.Is(err, snapshot.ErrNoUsableBackup) {
		t.Fatalf("recovered: %+v, %v", res, err)
	}
	// A person who restores it has accepted it.
	if _, err := b.m.Restore(t.Context(), put, snapshot.RestoreOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := b.marked(); got != "other" {
		t.Errorf("restored %q", got)
	}
	if e, err := b.m.Find("latest"); err != nil || e.ID != put {
		t.Errorf("latest is %s, %v", e.ID, err)
	}
}
