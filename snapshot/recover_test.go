package snapshot_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"example.com/snapd/catalog"
	"example.com/snapd/integrity"
	"example.com/snapd/internal/testdb"
	"example.com/snapd/snapshot"
)

// recovers fails the test unless Recover restores the backup with that id.
func (b *bench) recovers(id string) snapshot.Recovery {
	b.t.Helper()
	rec, err := b.m.Recover(b.t.Context())
	if err != nil {
		b.t.Fatalf("recover: %v", err)
	}
	if rec.Action != snapshot.ActionRestored || rec.Restored == nil || *rec.Restored != id {
		b.t.Fatalf("recover did %+v, want %s restored", rec, id)
	}
	b.sound()
	b.noDebris()
	return rec
}

// sound lets the C shell judge the database.
func (b *bench) sound() {
	b.t.Helper()
	testdb.ShellIntegrity(b.t, b.m.Database())
}

// Lost: a good database, replaced by an older backup.
func TestRecoverLeavesHealthyDatabaseAlone(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"wal", "delete"} {
		t.Run(mode, func(t *testing.T) {
			b := newBench(t, mode)
			b.auto()
			b.mark("newer than the backup")
			before := b.appFiles()
			rec, err := b.m.Recover(t.Context())
			if err != nil || rec.Action != snapshot.ActionNone || rec.Verdict != integrity.Healthy || rec.Restored != nil || rec.Quarantined != nil {
				t.Errorf("recover: %+v %v", rec, err)
			}
			if after := b.appFiles(); after != before {
				t.Errorf("recover changed a healthy database:\n%s\nbefore:\n%s", after, before)
			}
			if seen := b.rec.of(snapshot.EventChecked); len(seen) != 1 || seen[0].Message != "database integrity check passed" {
				t.Errorf("events %+v", seen)
			}
			wantKeys(t, rec, "action", "verdict", "reason", "restored", "quarantined")
		})
	}
}

// Lost: rows, restored away because the application broke a rule of its own.
func TestRecoverLeavesViolationsAlone(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"wal", "delete"} {
		t.Run(mode, func(t *testing.T) {
			b := newBench(t, mode)
			b.auto()
			violate(t, b)
			before := b.appFiles()
			rec, err := b.m.Recover(t.Context())
			if err != nil || rec.Action != snapshot.ActionNone || rec.Verdict != integrity.Violations {
				t.Errorf("recover: %+v %v", rec, err)
			}
			if after := b.appFiles(); after != before {
				t.Errorf("the database was touched:\n%s\nbefore:\n%s", after, before)
			}
			if len(b.rec.of(snapshot.EventWarning)) == 0 {
				t.Error("no event reports the violations")
			}
			if s := b.status(); *s.Database.Verdict != integrity.Violations || s.State != snapshot.Protected {
				t.Errorf("status %+v", s)
			}
		})
	}
}

// damages are the ways a database is proven unusable.
var damages = map[string]struct {
	verdict integrity.Verdict
	do      func(t *testing.T, path string)
}{
	"page zeroed": {integrity.Corrupt, func(t *testing.T, path string) { testdb.ZeroPage(t, path, 4) }},
	"page of noise": {integrity.Corrupt, func(t *testing.T, path string) {
		testdb.Overwrite(t, path, 7*4096, bytes.Repeat([]byte("noise..."), 512))
	}},
	"cut short":     {integrity.Corrupt, func(t *testing.T, path string) { testdb.CutAt(t, path, -3*4096) }},
	"cut in a page": {integrity.Corrupt, func(t *testing.T, path string) { testdb.CutAt(t, path, -5000) }},
	"header lost": {integrity.NotADatabase, func(t *testing.T, path string) {
		testdb.CutAt(t, path, -3*4096) // the header alone can be repaired
		testdb.OverwriteHeader(t, path, make([]byte, 100))
	}},
	"a text file": {integrity.NotADatabase, func(t *testing.T, path string) {
		testdb.Damaged(t, path)
		writeFile(t, path, []byte(strings.Repeat("this is no database\n", 100)))
	}},
}

// Lost: the data, when the database is damaged; or the damaged file, which may
// hold newer rows than any backup.
func TestRecoverDamagedDatabase(t *testing.T) {
	t.Parallel()
	for name, d := range damages {
		for _, mode := range []string{"wal", "delete"} {
			t.Run(mode+"/"+name, func(t *testing.T) {
				b := newBench(t, mode)
				b.auto()
				b.mark("saved")
				newest := b.auto()
				d.do(t, b.m.Database())
				broken := readFile(t, b.m.Database())
				rec := b.recovers(newest.ID)
				if rec.Verdict != d.verdict || !rec.LosesSince.Equal(newest.CreatedAt) {
					t.Errorf("recovery %+v, want verdict %s, losing what came after %v", rec, d.verdict, newest.CreatedAt)
				}
				if got := b.marked(); got != "saved" {
					t.Errorf("mark %q", got)
				}
				checkQuarantine(t, b, rec, broken)
				if s := b.status(); s.State != snapshot.Protected || *s.Database.Verdict != integrity.Healthy {
					t.Errorf("status %+v", s)
				}
				if again, err := b.m.Recover(t.Context()); err != nil || again.Action != snapshot.ActionNone {
					t.Errorf("a second recover: %+v %v", again, err)
				}
			})
		}
	}
}

// checkQuarantine holds the preserved file to its name, content, rights and report.
func checkQuarantine(t *testing.T, b *bench, rec snapshot.Recovery, broken []byte) {
	t.Helper()
	if rec.Quarantined == nil {
		t.Fatal("nothing was quarantined")
	}
	kept := *rec.Quarantined
	if filepath.Dir(kept) != b.m.Dir() || !regexp.MustCompile(`^corrupted_\d{8}_\d{6}\.db$`).MatchString(filepath.Base(kept)) {
		t.Errorf("quarantined as %s", kept)
	}
	if !bytes.Equal(readFile(t, kept), broken) {
		t.Error("the quarantined file is not the damaged one")
	}
	report := strings.TrimSuffix(kept, ".db") + ".json"
	for _, name := range []string{kept, report} {
		if st, err := os.Stat(name); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", name, st.Mode(), err)
		}
	}
	var saved integrity.Report
	if err := json.Unmarshal(readFile(t, report), &saved); err != nil {
		t.Fatal(err)
	}
	if saved.Path != b.m.Database() || saved.Verdict != rec.Verdict || len(saved.Findings) == 0 {
		t.Errorf("report %+v", saved)
	}
	events := b.rec.of(snapshot.EventQuarantined)
	if len(events) != 1 || events[0].Path != kept {
		t.Errorf("quarantine events %+v", events)
	}
}

// Lost: the commits in the log of a damaged database; or the restored database,
// when that log is replayed onto it.
func TestQuarantineKeepsTheLog(t *testing.T) {
	t.Parallel()
	i := slices.IndexFunc(testdb.Variants(), func(v testdb.Variant) bool { return v.Unfolded })
	b := benchOn(t, testdb.Variants()[i].Create(t))
	good := b.auto()
	wal := b.m.Database() + "-wal"
	if size(t, wal) == 0 {
		t.Fatal("there is no log: this test shows nothing")
	}
	testdb.Overwrite(t, b.m.Database(), 0, make([]byte, 4096))
	testdb.Overwrite(t, wal, 0, make([]byte, 4096)) // else it would bring page 1 back
	broken, log := readFile(t, b.m.Database()), readFile(t, wal)
	rec := b.recovers(good.ID)
	checkQuarantine(t, b, rec, broken)
	if !bytes.Equal(readFile(t, *rec.Quarantined+"-wal"), log) {
		t.Error("the quarantined log is another one")
	}
	if _, err := os.Stat(wal); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the old log is next to the restored database: %v", err)
	}
	out := filepath.Join(t.TempDir(), "out.db")
	writeFile(t, out, stockImage(t, b.m.ArchivePath(good)))
	if !bytes.Equal(readFile(t, out), readFile(t, b.m.Database())) {
		t.Error("the restored database is not the backup's image")
	}
}

// Lost: the application's access to its own database after a recovery.
func TestRecoveredFileKeepsModeAndOwner(t *testing.T) {
	t.Parallel()
	for name, do := range map[string]func(b *bench){
		"damaged": (*bench).damage,
		"emptied": func(b *bench) {
			if err := os.Truncate(b.m.Database(), 0); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, "delete")
			good := b.auto()
			do(b)
			if err := os.Chmod(b.m.Database(), 0o640); err != nil {
				t.Fatal(err)
			}
			root := os.Geteuid() == 0
			if root {
				if err := os.Chown(b.m.Database(), 1234, 2345); err != nil {
					t.Fatal(err)
				}
			} else {
				t.Log("NOT TESTED: the owner, which only root can give away")
			}
			b.recovers(good.ID)
			if st, err := os.Stat(b.m.Database()); err != nil || st.Mode().Perm() != 0o640 {
				t.Errorf("mode %v %v", st.Mode(), err)
			}
			if uid, gid, ok := ownerOf(t, b.m.Database()); root && ok && (uid != 1234 || gid != 2345) {
				t.Errorf("owner %d:%d", uid, gid)
			}
		})
	}
}

// Lost: everything, when a backup that is damaged itself takes the place of a
// damaged database, or stands in the way of an older good one.
func TestRecoverTriesOlderBackups(t *testing.T) {
	t.Parallel()
	b := newBench(t, "wal")
	var made []snapshot.Backup
	for _, name := range []string{"first", "second", "third"} {
		b.mark(name)
		made = append(made, b.auto())
	}
	b.damageArchive(made[2])
	if err := os.Remove(b.m.ArchivePath(made[1])); err != nil { // after Open looked
		t.Fatal(err)
	}
	b.damage()
	b.recovers(made[0].ID)
	if got := b.marked(); got != "first" {
		t.Errorf("mark %q", got)
	}
	bad, err := b.m.Find(made[2].ID)
	if err != nil || bad.Verification.State != catalog.Failed || bad.Verification.Detail == "" {
		t.Errorf("the damaged backup still counts: %+v %v", bad.Verification, err)
	}
	if b.latest() != made[0].File {
		t.Errorf("latest is %s", b.latest())
	}
	if events := b.rec.of(snapshot.EventWarning, snapshot.EventReconciled); len(events) < 2 {
		t.Errorf("events: %+v", events)
	}
}

// Lost: the damaged original, the only thing left to save rows from.
func TestRecoverWithoutUsableBackup(t *testing.T) {
	t.Parallel()
	for _, made := range []int{0, 1, 3} {
		for _, mode := range []string{"wal", "delete"} {
			t.Run(mode, func(t *testing.T) {
				b := newBench(t, mode)
				for range made {
					b.mark("x")
					b.damageArchive(b.manual())
				}
				b.damage()
				before := b.appFiles()
				for range 2 {
					rec, err := b.m.Recover(t.Context())
					if !errors.Is(err, snapshot.ErrNoUsableBackup) || snapshot.Code(err) != "no_usable_backup" || snapshot.Hint(err) == "" {
						t.Errorf("got %v (code %s, hint %q)", err, snapshot.Code(err), snapshot.Hint(err))
					}
					if rec.Action != snapshot.ActionNone || rec.Verdict != integrity.Corrupt {
						t.Errorf("recovery %+v", rec)
					}
				}
				if after := b.appFiles(); after != before {
					t.Errorf("the original was touched:\n%s\nbefore:\n%s", after, before)
				}
				if kept := glob(t, b.m.Dir(), "corrupted_*"); len(kept) > 0 {
					t.Errorf("quarantined although nothing was restored: %v", kept)
				}
				b.noDebris()
			})
		}
	}
}

// Lost: recovery after the catalog was lost together with the database.
func TestRecoverFromUnverifiedBackups(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(b *bench){
		"rebuilt": func(b *bench) {
			if _, err := b.m.Rebuild(t.Context()); err != nil {
				t.Fatal(err)
			}
		},
		"catalog gone": func(b *bench) {
			if err := os.Remove(filepath.Join(b.m.Dir(), "catalog.json")); err != nil {
				t.Fatal(err)
			}
			b.reopen()
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, "wal")
			b.mark("older")
			older := b.auto()
			b.mark("newer")
			b.damageArchive(b.auto())
			lose(b)
			if s := b.status(); s.State != snapshot.Unprotected || b.latest() != "" {
				t.Errorf("unproven backups count: %+v, latest %q", s, b.latest())
			}
			b.damage()
			b.recovers(older.ID)
			if e, err := b.m.Find(older.ID); err != nil || e.Verification.State != catalog.Verified || b.latest() != older.File {
				t.Errorf("the proof was not remembered: %+v %v, latest %q", e.Verification, err, b.latest())
			}
		})
	}
}

// Lost: a database replaced because the check was stopped.
func TestRecoverCancelled(t *testing.T) {
	t.Parallel()
	b := newBench(t, "delete")
	b.auto()
	b.damage()
	before := b.appFiles()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	rec, err := b.m.Recover(ctx)
	if err == nil || snapshot.Code(err) != "cancelled" || rec.Restored != nil {
		t.Errorf("got %v (code %s), did %+v", err, snapshot.Code(err), rec)
	}
	if b.appFiles() != before {
		t.Error("something was touched")
	}
}

// Lost: everything since an older backup, where the disk of the database returns other
// bytes than were written: that proves nothing about the newest backup.
func TestRecoverOntoABadDisk(t *testing.T) {
	b := newBench(t, "delete")
	b.manual()
	b.mark("today")
	newest := b.manual()
	b.damage()
	snapshot.SetCrashPoint(func(name string) {
		if name == "unpacked" {
			for _, staged := range glob(t, filepath.Dir(b.m.Database()), ".snapd-tmp-*") {
				testdb.ZeroPage(t, filepath.Join(filepath.Dir(b.m.Database()), staged), 4)
			}
		}
	})
	t.Cleanup(func() { snapshot.SetCrashPoint(nil) })
	rec, err := b.m.Recover(t.Context())
	if err == nil || errors.Is(err, snapshot.ErrCorrupt) || !strings.Contains(err.Error(), "read back") {
		t.Errorf("%+v, %v", rec, err)
	}
	if e, err := b.m.Find(newest.ID); err != nil || e.Verification.State != snapshot.Verified {
		t.Errorf("the backup is %+v, %v", e.Verification, err)
	}
	snapshot.SetCrashPoint(nil)
	if _, err := b.m.Recover(t.Context()); err != nil || b.marked() != "today" {
		t.Errorf("on a sound disk: %v, mark %q", err, b.marked())
	}
}
