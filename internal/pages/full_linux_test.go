package pages

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

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
	dir := disk(t, "1m")
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

// disk returns a directory with a disk of its own.
func disk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("NOT TESTED: a real full disk: mounting needs root (%v)", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// A restore onto a disk without room writes nothing. One whose disk becomes full on the way
// leaves no journal that the next program would have to roll back.
func TestReplaceOnAFullDisk(t *testing.T) {
	defer func(n int64) { flushEvery = n }(flushEvery)
	flushEvery = 64 << 10 // the flush is what fails
	image, err := os.ReadFile(testdb.CRM(t, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	for _, mode := range []byte{1, 2} { // rollback journal, WAL: SQLite file format §1.3.3
		dir := disk(t, "24m")
		path, big := filepath.Join(dir, "data.db"), filepath.Join(dir, "big")
		image[18], image[19] = mode, mode
		if err := os.WriteFile(path, image, 0o600); err != nil {
			t.Fatal(err)
		}
		fill := func(leave int64) {
			free, err := durable.FreeSpace(dir)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(big, make([]byte, free-leave), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for name, c := range map[string]struct {
			before, during int64 // that is left free
		}{"no room": {5 << 20, -1}, "room is taken": {-1, 3 << 20}} {
			if c.before >= 0 {
				fill(c.before)
			}
			tx, err := BeginWrite(t.Context(), path, time.Second)
			if err != nil {
				t.Fatal(err)
			}
			size := int64(tx.Snapshot().Info().PageSize)
			pages := 6 * tx.Snapshot().Info().PageCount
			filled := false
			_, err = tx.Replace(t.Context(), Image{Page1: image[:size], Pages: pages, Changed: pages, Fill: func(_ context.Context, put func(int64, []byte) error) error {
				if filled = true; c.during >= 0 {
					fill(c.during)
				}
				for pgno := int64(2); pgno <= pages; pgno++ {
					if err := put(pgno, make([]byte, size)); err != nil {
						return err
					}
				}
				return nil
			}})
			if !durable.IsNoSpace(err) || filled != (c.during >= 0) {
				t.Errorf("mode %d, %s: %v, written: %v", mode, name, err, filled)
			}
			if err := tx.Rollback(); err != nil {
				t.Errorf("mode %d, %s: roll back: %v", mode, name, err)
			}
			if st, err := os.Stat(path + "-journal"); err == nil && st.Size() > 0 {
				t.Errorf("mode %d, %s: a journal of %d bytes is left", mode, name, st.Size())
			}
			if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, image) {
				t.Errorf("mode %d, %s: the database changed: %v", mode, name, err)
			}
			if err := os.Remove(big); err != nil {
				t.Fatal(err)
			}
		}
	}
}
