package snapshot_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/catalogfile"
	"example.com/snapd/snapshot"
)

// Lost: a database, when another one that shares its backup directory counts as
// its newest backup, or pushes its backups out.
func TestBackupDirectoryHasOneDatabase(t *testing.T) {
	t.Parallel()
	b := newBench(t, "wal")
	b.manual()
	dir := filepath.Dir(b.m.Database())
	stored := b.stored()
	for _, name := range []string{"other.db", "data.sqlite"} {
		path := filepath.Join(dir, name)
		makeDatabase(t, path, "wal")
		if _, err := snapshot.Open(t.Context(), snapshot.Config{Database: path}); !errors.Is(err, snapshot.ErrRefused) || snapshot.Hint(err) == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if b.stored() != stored {
		t.Error("being refused changed the backup directory")
	}
}

// Lost: the backup directory, to a wrong --db: the right database is refused for ever after.
func TestFailedFirstBackupLeavesTheDirectoryFree(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	notes, missing := filepath.Join(dir, "notes.txt"), filepath.Join(dir, "typo.db")
	writeFile(t, notes, []byte("no database\n"))
	for _, wrong := range []string{notes, missing} {
		m, err := snapshot.Open(t.Context(), snapshot.Config{Database: wrong})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Backup(t.Context(), snapshot.Manual("")); err == nil {
			t.Fatalf("%s was backed up", wrong)
		}
	}
	makeDatabase(t, filepath.Join(dir, "data.db"), "wal")
	b := benchOn(t, filepath.Join(dir, "data.db"))
	b.manual()
	if st := b.status(); st.State != snapshot.Protected {
		t.Errorf("with a backup, and failures of other files before: %+v", st)
	}
	if _, err := snapshot.Open(t.Context(), snapshot.Config{Database: notes}); !errors.Is(err, snapshot.ErrRefused) {
		t.Errorf("the directory has a database now: %v", err)
	}
}

// Lost: one of two databases that begin with the same backup directory at once: which of
// them recovery restores, and retention removes, would be a matter of chance.
func TestOneOfTwoDatabasesGetsTheDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var managers []*snapshot.Manager
	for _, name := range []string{"one/data.db", "two/data.db", "three/other.db"} {
		path := filepath.Join(dir, name)
		if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		makeDatabase(t, path, "wal")
		m, err := snapshot.Open(t.Context(), snapshot.Config{Database: path, Dir: filepath.Join(dir, "backups"), LockWait: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		managers = append(managers, m)
	}
	outcomes := make(chan error)
	for _, m := range managers {
		go func() {
			_, err := m.Backup(t.Context(), snapshot.Manual(""))
			outcomes <- err
		}()
	}
	won := 0
	for range managers {
		switch err := <-outcomes; {
		case err == nil:
			won++
		case !errors.Is(err, snapshot.ErrRefused):
			t.Errorf("neither backed up nor refused: %v", err)
		}
	}
	if won != 1 {
		t.Errorf("%d databases have their backups in one directory", won)
	}
	for _, m := range managers {
		if all, err := m.Backups(); err != nil || len(all) != 1 {
			t.Errorf("%d backups, %v", len(all), err)
		}
	}
}

// Lost: the backups of a database that was moved, or copied with them.
func TestBackupsMoveWithTheDatabase(t *testing.T) {
	t.Parallel()
	b := newBench(t, "wal")
	kept := b.manual()
	dir := filepath.Dir(b.m.Database())
	copied := filepath.Join(t.TempDir(), "elsewhere")
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	m, err := snapshot.Open(t.Context(), snapshot.Config{Database: filepath.Join(copied, "data.db")})
	if err != nil {
		t.Fatalf("copied together: %v", err)
	}
	if e, err := m.Find("latest"); err != nil || e.ID != kept.ID {
		t.Errorf("copied together: %v, %v", e.ID, err)
	}
	moved := filepath.Join(t.TempDir(), "data.db")
	if err := os.Rename(b.m.Database(), moved); err != nil {
		t.Fatal(err)
	}
	m, err = snapshot.Open(t.Context(), snapshot.Config{Database: moved, Dir: b.m.Dir()})
	if err != nil {
		t.Fatalf("moved: %v", err)
	}
	if _, err := m.Backup(t.Context(), snapshot.Manual("")); err != nil {
		t.Errorf("moved: %v", err)
	}
}

// Lost: the last verified backup, and pinned ones, when "latest" is resolved
// again after each deletion.
func TestDeleteResolvesLatestOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t, "wal")
	first := b.manual()
	b.mark("more")
	second := b.manual()
	if err := b.m.Delete(t.Context(), []string{"latest", "latest", second.ID}, false); err != nil {
		t.Fatal(err)
	}
	if ids := b.ids(); len(ids) != 1 || ids[0] != first.ID {
		t.Errorf("left: %v", ids)
	}
	if err := b.m.Delete(t.Context(), []string{"latest"}, false); !errors.Is(err, snapshot.ErrRefused) {
		t.Errorf("the last verified one: %v", err)
	}
}

// Lost: any file on the machine, when a user who may write next to the database
// has a program with more rights follow a forged intent.
func TestForgedIntentIsNotFollowed(t *testing.T) {
	t.Parallel()
	b := newBench(t, "delete")
	b.manual()
	db := b.m.Database()
	victim := filepath.Join(t.TempDir(), "victim.db")
	writeFile(t, victim, []byte("precious"))
	inside := filepath.Join(b.m.Dir(), "catalog.json")
	for name, quarantine := range map[string]string{
		"elsewhere":      victim,
		"its form there": filepath.Join(filepath.Dir(victim), "corrupted_20260101_000000.db"),
		"of the catalog": inside,
		"climbing":       filepath.Join(b.m.Dir(), "..", "corrupted_20260101_000000.db"),
	} {
		in := map[string]any{"version": 1, "backup": "x", "target": "data.db", "staged": ".snapd-tmp-data.db-0123456789abcdef",
			"quarantine": quarantine, "sidecars": []any{}}
		raw, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		intent := filepath.Join(filepath.Dir(db), ".data.db.snapd-restore")
		writeFile(t, intent, raw)
		if _, err := snapshot.Open(t.Context(), snapshot.Config{Database: db}); err == nil || snapshot.Hint(err) == "" {
			t.Errorf("%s: %v", name, err)
		}
		if string(readFile(t, victim)) != "precious" {
			t.Fatalf("%s: the victim was touched", name)
		}
		if err := os.Remove(intent); err != nil {
			t.Fatal(err)
		}
	}
}

// Lost: the truth about an outage, when status judges by another schedule than
// the one that serve kept, or forgets it when serve was killed.
func TestStatusGoesByTheSchedule(t *testing.T) {
	t.Parallel()
	later(t, func(t *testing.T) {
		b := newBench(t, "wal", func(c *snapshot.Config) { c.Interval = time.Hour })
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- b.m.Run(ctx) }()
		time.Sleep(time.Minute)
		other, err := snapshot.Open(t.Context(), snapshot.Config{Database: b.m.Database()}) // the default, 12 h
		if err != nil {
			t.Fatal(err)
		}
		st, err := other.Status(t.Context())
		if err != nil || st.NextRun == nil {
			t.Fatalf("%+v, %v", st, err)
		}
		stop()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		if st, err := other.Status(t.Context()); err != nil || st.NextRun != nil {
			t.Errorf("after a clean end: %+v, %v", st, err)
		}
	})
}

// Lost: the alarm, when a serve with a short interval dies.
func TestStatusMissesADeadServe(t *testing.T) {
	t.Parallel()
	later(t, func(t *testing.T) {
		b := newBench(t, "wal")
		b.auto()
		b.mark("changed since")
		time.Sleep(3 * time.Hour)
		if st := b.status(); st.State != snapshot.Protected {
			t.Fatalf("within the default interval: %+v", st)
		}
		c, err := catalogfile.Open(b.m.Dir(), "data")
		if err != nil {
			t.Fatal(err)
		}
		err = c.Update(t.Context(), func(tx *catalogfile.Tx) error {
			tx.State().Schedule = &catalog.Schedule{IntervalSeconds: 3600}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if st := b.status(); st.State != snapshot.AtRisk {
			t.Errorf("two hours after a serve with an hourly schedule died: %+v", st)
		}
	})
}
