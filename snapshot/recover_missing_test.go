package snapshot_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"example.com/snapd/internal/testdb"
	"example.com/snapd/snapshot"
)

// Lost: the data of a database file that went away, or what OnMissing promises.
func TestRecoverMissingDatabase(t *testing.T) {
	t.Parallel()
	for _, state := range []string{"missing", "empty"} {
		for _, backups := range []bool{true, false} {
			for _, on := range []snapshot.OnMissing{"", snapshot.MissingRestore, snapshot.MissingFail, snapshot.MissingIgnore} {
				name := state + "/no backups/" + string(on)
				if backups {
					name = state + "/backups/" + string(on)
				}
				t.Run(name, func(t *testing.T) { recoverMissing(t, state, backups, on) })
			}
		}
	}
}

func recoverMissing(t *testing.T, state string, backups bool, on snapshot.OnMissing) {
	b := newBench(t, "wal", func(c *snapshot.Config) { c.OnMissing = on })
	id := ""
	if backups {
		b.mark("saved")
		id = b.auto().ID
	}
	if err := os.Remove(b.m.Database()); err != nil {
		t.Fatal(err)
	}
	if state == "empty" {
		writeFile(t, b.m.Database(), nil)
	}
	testdb.Damaged(t, b.m.Database())
	before := b.appFiles()
	if backups && (on == "" || on == snapshot.MissingRestore) {
		if rec := b.recovers(id); string(rec.Verdict) != state || rec.Quarantined != nil || b.marked() != "saved" {
			t.Errorf("recovery %+v, mark %q", rec, b.marked())
		}
		return
	}
	rec, err := b.m.Recover(t.Context())
	if string(rec.Verdict) != state || rec.Action != snapshot.ActionNone || rec.Restored != nil {
		t.Errorf("recovery %+v", rec)
	}
	if backups && on == snapshot.MissingFail {
		if !errors.Is(err, snapshot.ErrMissing) || snapshot.Hint(err) == "" {
			t.Errorf("got %v, hint %q", err, snapshot.Hint(err))
		}
	} else if err != nil {
		t.Error(err)
	}
	if after := b.appFiles(); after != before {
		t.Errorf("something was touched:\n%s\nbefore:\n%s", after, before)
	}
}

// Lost: the restored database, when an orphan log or journal of the lost one is
// replayed onto it; or the commits in that log.
func TestRecoverMissingWithOrphans(t *testing.T) {
	t.Parallel()
	for _, suffix := range []string{"-wal", "-journal"} {
		t.Run(suffix, func(t *testing.T) {
			b := newBench(t, "wal")
			b.mark("saved")
			good := b.auto()
			if err := os.Remove(b.m.Database()); err != nil {
				t.Fatal(err)
			}
			orphan := []byte(strings.Repeat("commits of the lost database ", 500))
			writeFile(t, b.m.Database()+suffix, orphan)
			rec := b.recovers(good.ID)
			kept := glob(t, b.m.Dir(), "corrupted_*.db"+suffix)
			if len(kept) != 1 || !bytes.Equal(readFile(t, filepath.Join(b.m.Dir(), kept[0])), orphan) {
				t.Errorf("the orphan was not kept: %v", kept)
			}
			if left := glob(t, filepath.Dir(b.m.Database()), "data.db-*"); len(left) > 0 || b.marked() != "saved" {
				t.Errorf("next to the restored database: %v; mark %q", left, b.marked())
			}
			if rec.Quarantined == nil || filepath.Base(*rec.Quarantined) != kept[0] {
				t.Errorf("recovery %+v says nothing of %v", rec, kept)
			}
		})
	}
}

// The log of a young database has all of it, and the database's file was deleted. Lost otherwise: the rows of the log, without a word,
// and a person who does not know that they are there.
func TestRecoverMissingCountsWhatItsLogHas(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "data.db")
	s := aged(t, "PRAGMA journal_mode=wal;;PRAGMA wal_autocheckpoint=0;;"+otherSchema, "INSERT INTO person SELECT id+1000, 'new '||id, born FROM person WHERE id<=50")
	writeFile(t, path, s[0].main)
	writeFile(t, path+"-wal", s[0].wal)
	b := benchOn(t, path)
	good := b.auto()
	for _, suffix := range []string{"", "-shm"} {
		if err := os.Remove(path + suffix); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	writeFile(t, path+"-wal", s[1].wal)
	rec := b.recovers(good.ID)
	if rec.Unrestored == nil || *rec.Unrestored != 50 {
		t.Fatalf("%+v", rec)
	}
	to := filepath.Join(t.TempDir(), "salvaged.db")
	if said, err := snapshot.Salvage(t.Context(), *rec.Quarantined, to, snapshot.SalvageOptions{}); err != nil || !said.Complete || countRows(t, to, "person") != 450 {
		t.Errorf("%+v, %v", said, err)
	}
}

// Lost: the warning that nothing can be restored, the second time: the failed proof marks
// the backup failed, and then the application began with a new, empty database.
func TestRecoverMissingWithoutUsableBackup(t *testing.T) {
	t.Parallel()
	for _, state := range []string{"missing", "empty"} {
		for _, on := range []snapshot.OnMissing{snapshot.MissingRestore, snapshot.MissingFail, snapshot.MissingIgnore} {
			t.Run(state+"/"+string(on), func(t *testing.T) {
				b := newBench(t, "wal", func(c *snapshot.Config) { c.OnMissing = on })
				b.auto()
				b.burn()
				if _, err := b.m.Verify(t.Context(), "latest", snapshot.LevelQuick); !errors.Is(err, snapshot.ErrCorrupt) {
					t.Fatalf("verify: %v", err)
				}
				if err := os.Remove(b.m.Database()); err != nil {
					t.Fatal(err)
				}
				if state == "empty" {
					writeFile(t, b.m.Database(), nil)
				}
				want := map[snapshot.OnMissing]error{snapshot.MissingRestore: snapshot.ErrNoUsableBackup, snapshot.MissingFail: snapshot.ErrMissing}[on]
				for range 2 {
					rec, err := b.m.Recover(t.Context())
					if !errors.Is(err, want) || (want == nil) != (err == nil) || rec.Action != snapshot.ActionNone || err != nil && snapshot.Hint(err) == "" {
						t.Errorf("recovery %+v: %v, hint %q; want %v", rec, err, snapshot.Hint(err), want)
					}
				}
				if p := b.status().Recovery; p == nil || !errors.Is(p.Err, want) || strings.Contains(p.Reason, "no backup of one") {
					t.Errorf("status says %+v", p)
				}
				if state == "empty" && on != snapshot.MissingIgnore {
					if _, err := b.m.Backup(t.Context(), snapshot.Auto(snapshot.TriggerStartup)); !errors.Is(err, snapshot.ErrMissing) {
						t.Errorf("a backup of nothing: %v", err)
					}
				}
			})
		}
	}
}
