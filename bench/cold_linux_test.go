package bench

import (
	"database/sql"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"example.com/snapd/catalog"
	"example.com/snapd/integrity"
	"example.com/snapd/internal/samplecrm"
	"example.com/snapd/snapshot"
)

// After a restart nothing is in memory. Without reading ahead of it in order a check
// then waits for every page: hours, for a large database on a slow disk.
func TestColdDatabaseIsReadInOrder(t *testing.T) {
	for _, mode := range []string{"wal", "delete"} {
		db := filepath.Join(t.TempDir(), "crm.db")
		if err := samplecrm.Create(t.Context(), db, samplecrm.Options{Bytes: 64 << 20, Seed: 1, JournalMode: mode}); err != nil {
			t.Fatal(err)
		}
		m, err := snapshot.Open(t.Context(), snapshot.Config{Database: db})
		if err != nil {
			t.Fatal(err)
		}
		readsAhead(t, mode+": check", func(prepare func(path string)) error {
			prepare(db)
			_, err := integrity.Check(t.Context(), db, integrity.Options{Level: integrity.LevelQuick})
			return err
		})
		if mode == "delete" {
			continue // a backup copies the file in order anyway
		}
		readsAhead(t, mode+": backup", func(prepare func(path string)) error {
			change(t, db)
			prepare(db)
			_, err := m.Backup(t.Context(), snapshot.Auto(catalog.TriggerSchedule))
			return err
		})
	}
}

// readsAhead fails unless job reads more of a cold file than of a warm one.
func readsAhead(t *testing.T, what string, job func(prepare func(path string)) error) {
	t.Helper()
	cost := func(prepare func(*testing.T, string)) int64 {
		before, _, _ := transferred(t)
		if err := job(func(path string) { prepare(t, path) }); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		after, _, _ := transferred(t)
		return after - before
	}
	leave := func(*testing.T, string) {}
	cost(leave) // a file just written may have to be looked at twice
	warm := cost(leave)
	var cold int64
	for range 5 { // the job may be faster now and then
		if cold = cost(evict); cold-warm >= 128<<10 {
			return
		}
	}
	t.Errorf("%s read %d bytes of a cold database, %d of a warm one: nothing ahead", what, cold, warm)
}

// change commits something, so that there is something to back up.
func change(t *testing.T, db string) {
	t.Helper()
	c, err := sql.Open("sqlite", db)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Exec("CREATE TABLE IF NOT EXISTS changes(at); INSERT INTO changes VALUES (1)"); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}

// evict takes a file that no process has open out of the page cache.
func evict(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	fi, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		t.Fatal(err)
	}
	// The last page, so that looking brings nothing else in.
	_, err = unix.Preadv2(int(f.Fd()), [][]byte{make([]byte, 1)}, fi.Size()-1, unix.RWF_NOWAIT)
	if err != unix.EAGAIN {
		t.Skipf("SKIPPED, NOTHING PROVEN: the file system does not report or does not evict its cache: %v", err)
	}
}
