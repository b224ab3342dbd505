package pages

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/testdb"
)

// Lost if this fails: why a backup fails when the database's own disk is full, so that
// SQLite cannot make the index of its log.
func TestFullDiskIsNoSpace(t *testing.T) {
	image, err := os.ReadFile(testdb.CRM(t, 1<<18))
	if err != nil {
		t.Fatal(err)
	}
	image[18], image[19] = 2, 2 // WAL: SQLite file format §1.3.3
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("NOT TESTED: a real full disk: mounting needs root (%v)", err)
	}
	defer func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	}()
	path := filepath.Join(dir, "data.db")
	if err := os.WriteFile(path, image, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "big"), make([]byte, 2<<20), 0o600); !durable.IsNoSpace(err) {
		t.Fatalf("filling the disk: %v", err)
	}
	if snap, err := Begin(t.Context(), path, livedb.Options{}); !errors.Is(err, durable.ErrNoSpace) {
		t.Errorf("full disk: %v", err)
		if err == nil {
			snap.Close()
		}
	}
}
