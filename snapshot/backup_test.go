package snapshot_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/samplecrm"
	"example.com/snapd/internal/testdb"
	"example.com/snapd/snapshot"
)

// Lost: a backup's name, its facts, its proof, or that it outlives this project.
func TestBackupIsTheDatabase(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"wal", "delete"} {
		for _, c := range []struct {
			name string
			req  snapshot.Request
			file string
		}{
			{"manual", snapshot.Manual("before import"), `^data_backup_MANUAL_\d{8}_\d{6}\.db\.zst$`},
			{"auto", snapshot.Auto(catalog.TriggerStartup), `^data_backup_AUTO_\d{8}_\d{6}\.db\.zst$`},
			{"pinned", snapshot.Request{Kind: catalog.Auto, Trigger: catalog.TriggerChange, Pin: true}, `^data_backup_AUTO_\d{8}_\d{6}\.db\.zst$`},
		} {
			t.Run(mode+"/"+c.name, func(t *testing.T) {
				b := newBench(t, mode)
				began := time.Now().Truncate(time.Second)
				e := b.backup(c.req)
				checkEntry(t, b, e, c.req, began)
				if !regexp.MustCompile(c.file).MatchString(e.File) || e.File != e.ID+".db.zst" {
					t.Errorf("file %q of id %q", e.File, e.ID)
				}
				if want := e.CreatedAt.UTC().Format("20060102_150405"); !strings.Contains(e.ID, want) {
					t.Errorf("id %q does not have the time %s in UTC", e.ID, want)
				}
				image := stockImage(t, b.m.ArchivePath(e))
				if !bytes.Equal(image, readFile(t, b.m.Database())) {
					t.Error("zstd -d does not give the database")
				}
				if got := imageHash(image); got != e.ImageBLAKE3 {
					t.Errorf("image_blake3 %s, is %s", e.ImageBLAKE3, got)
				}
				if !bytes.Equal(stockImage(t, filepath.Join(b.m.Dir(), "data_latest.db.zst")), image) {
					t.Error("the latest link gives something else")
				}
			})
		}
	}
}

func checkEntry(t *testing.T, b *bench, e snapshot.Backup, req snapshot.Request, began time.Time) {
	t.Helper()
	if e.Kind != req.Kind || e.Trigger != req.Trigger || e.Note != req.Note || e.Pinned != req.Pin || e.Seq == 0 {
		t.Errorf("entry %+v of request %+v", e, req)
	}
	if e.CreatedAt.Before(began) || e.CreatedAt.After(time.Now()) || e.DurationMS < 0 {
		t.Errorf("created at %v for %d ms", e.CreatedAt, e.DurationMS)
	}
	if e.PageSize != 4096 || int64(e.PageSize)*e.PageCount != e.DatabaseBytes || e.DatabaseBytes != size(t, b.m.Database()) {
		t.Errorf("%d pages of %d, %d bytes; the database has %d", e.PageCount, e.PageSize, e.DatabaseBytes, size(t, b.m.Database()))
	}
	path := b.m.ArchivePath(e)
	if path != filepath.Join(b.m.Dir(), e.File) || e.ArchiveBytes != size(t, path) {
		t.Errorf("archive %s of %d bytes", path, e.ArchiveBytes)
	}
	if v := e.Verification; v.State != catalog.Verified || v.Level != "quick" || v.At == nil || v.Detail != "" {
		t.Errorf("verification %+v", v)
	}
	for name, mode := range map[string]fs.FileMode{path: 0o600, b.m.Dir(): 0o700, filepath.Join(b.m.Dir(), "catalog.json"): 0o600} {
		if st, err := os.Stat(name); err != nil || st.Mode().Perm() != mode {
			t.Errorf("%s: %v %v, want mode %v", name, st.Mode(), err, mode)
		}
	}
	if b.latest() != e.File {
		t.Errorf("latest points to %q", b.latest())
	}
	found, err := b.m.Find("latest")
	if err != nil || found.ID != e.ID {
		t.Errorf("find latest: %v %v", found.ID, err)
	}
	wantBackupKeys(t, e)
	wantBackupKeys(t, found)
	b.noDebris()
}

// wantBackupKeys holds the public form of a backup to its contract.
func wantBackupKeys(t *testing.T, e snapshot.Backup) {
	t.Helper()
	m := wantKeys(t, e, "id", "file", "seq", "kind", "trigger", "created_at", "database_bytes", "archive_bytes", "page_size",
		"page_count", "image_blake3", "verification", "pinned", "note", "duration_ms", "timeline")
	wantKeys(t, m["verification"], "state", "level", "at", "detail")
}

// Lost: one of two backups of the same second, or their order.
func TestBackupsOfOneSecond(t *testing.T) {
	t.Parallel()
	later(t, func(t *testing.T) {
		b := newBench(t, "wal")
		first, second, third := b.manual(), b.manual(), b.manual()
		if second.ID != first.ID+"_2" || third.ID != first.ID+"_3" {
			t.Errorf("ids %s, %s, %s", first.ID, second.ID, third.ID)
		}
		if got := b.ids(); !slices.Equal(got, []string{third.ID, second.ID, first.ID}) {
			t.Errorf("listed as %v", got)
		}
		if b.latest() != third.File {
			t.Errorf("latest is %s", b.latest())
		}
	})
}

// Lost: a commit whose traces in sizes and times are gone, which the next scheduled backup takes for none.
func TestCommitWhoseTimesWereSetBackIsBackedUp(t *testing.T) {
	t.Parallel()
	later(t, func(t *testing.T) {
		b := newBench(t, "wal")
		db, err := samplecrm.Open(b.m.Database(), "")
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		db.SetMaxOpenConns(1)
		for _, q := range []string{"UPDATE accounts SET name='a' WHERE id=1", "UPDATE accounts SET name='b' WHERE id=1",
			"PRAGMA wal_checkpoint(RESTART)", "UPDATE accounts SET name='before' WHERE id=1"} {
			if _, err := db.Exec(q); err != nil {
				t.Fatal(err)
			}
		}
		first, log := b.auto(), b.m.Database()+"-wal"
		was, err := os.Stat(log)
		if err != nil {
			t.Fatal(err)
		}
		if again := b.auto(); again.ID != first.ID {
			t.Fatalf("unchanged database was backed up again as %s", again.ID)
		}
		if _, err := db.Exec("UPDATE accounts SET name='after' WHERE id=1"); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(log, was.ModTime(), was.ModTime()); err != nil {
			t.Fatal(err)
		}
		if now, err := os.Stat(log); err != nil || now.Size() != was.Size() {
			t.Fatal("the commit does not hide:", now, err)
		}
		if second := b.auto(); second.ID == first.ID || b.markIn(second.ID) != "after" {
			t.Errorf("%s has %q", second.ID, b.markIn(second.ID))
		}
	})
}

// Lost: idle means idle; a backup that did not need to be made is made, or
// one that had to be made is not.
func TestUnchangedDatabaseGetsNoNewBackup(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"wal", "delete"} {
		t.Run(mode, func(t *testing.T) {
			later(t, func(t *testing.T) {
				b := newBench(t, mode)
				first := b.auto()
				before, app := b.stored(), b.appFiles()
				if again := b.auto(); again.ID != first.ID {
					t.Errorf("unchanged database was backed up again as %s", again.ID)
				}
				if after := b.stored(); after != before {
					t.Errorf("the backup directory was written to:\n%s\nbefore:\n%s", after, before)
				}
				if after := b.appFiles(); after != app {
					t.Errorf("the database's directory was written to:\n%s\nbefore:\n%s", after, app)
				}
				if n := len(b.rec.of(snapshot.EventUnchanged)); n != 1 {
					t.Errorf("%d unchanged events", n)
				}
				if manual := b.manual(); manual.ID == first.ID || manual.Kind != catalog.Manual {
					t.Errorf("a manual backup must be made whenever it is asked for, got %s", manual.ID)
				}
				b.mark("changed")
				changed := b.auto()
				if changed.ID == first.ID || b.markIn(changed.ID) != "changed" {
					t.Errorf("the change is in no backup: %s has %q", changed.ID, b.markIn(changed.ID))
				}
			})
		})
	}
}

// Lost: space and time, for a new archive at every checkpoint that changes
// files but no content.
func TestCheckpointIsNoChange(t *testing.T) {
	t.Parallel()
	later(t, func(t *testing.T) {
		b := newBench(t, "wal")
		app := testdb.Open(t, b.m.Database())
		if _, err := app.Exec("UPDATE accounts SET name = 'in the log' WHERE id = 1"); err != nil {
			t.Fatal(err)
		}
		first := b.auto()
		before, main := b.archives(), testdb.FileHash(t, b.m.Database())
		if _, err := app.Exec("PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
			t.Fatal(err)
		}
		if testdb.FileHash(t, b.m.Database()) == main {
			t.Fatal("the checkpoint changed nothing: this test shows nothing")
		}
		if b.status().Covered {
			t.Error("covered, although the files differ and the image was not compared")
		}
		if again := b.auto(); again.ID != first.ID {
			t.Errorf("same content stored again as %s", again.ID)
		}
		if after := b.archives(); after != before {
			t.Errorf("the archives changed:\n%s\nbefore:\n%s", after, before)
		}
		b.noDebris()
		if len(b.rec.of(snapshot.EventUnchanged)) != 1 || !b.status().Covered {
			t.Errorf("not known to be covered: %+v", b.status())
		}
		all := b.stored()
		if again := b.auto(); again.ID != first.ID || b.stored() != all {
			t.Error("the new files were not remembered: the third try wrote again")
		}
	})
}

// Lost: databases in a journal mode; or the application's journal mode and files.
func TestBackupInEveryJournalMode(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"wal", "delete", "truncate", "persist", "memory", "off"} {
		t.Run(mode, func(t *testing.T) {
			b := newBench(t, mode)
			testdb.CheckAtEnd(t, b.m.Database())
			app, err := samplecrm.Open(b.m.Database(), mode)
			if err != nil {
				t.Fatal(err)
			}
			defer app.Close()
			if _, err := app.Exec("UPDATE accounts SET name = '" + mode + "' WHERE id = 1"); err != nil {
				t.Fatal(err)
			}
			before := b.appFiles()
			e := b.manual()
			if after := b.appFiles(); after != before {
				t.Errorf("the backup changed the database's files:\n%s\nbefore:\n%s", after, before)
			}
			var now string
			if err := app.QueryRow("PRAGMA journal_mode").Scan(&now); err != nil || now != mode {
				t.Errorf("journal mode is now %q (%v)", now, err)
			}
			if got := b.markIn(e.ID); got != mode {
				t.Errorf("the backup has %q", got)
			}
			out := filepath.Join(t.TempDir(), "out.db")
			writeFile(t, out, stockImage(t, b.m.ArchivePath(e)))
			testdb.ShellIntegrity(t, out)
		})
	}
}

// Lost: backups of databases of an unusual kind.
func TestBackupOfEveryVariant(t *testing.T) {
	t.Parallel()
	for _, v := range testdb.Variants() {
		t.Run(v.Name, func(t *testing.T) {
			b := benchOn(t, v.Create(t))
			before := b.appFiles()
			e := b.manual()
			if after := b.appFiles(); after != before {
				t.Errorf("the backup changed the database's files:\n%s\nbefore:\n%s", after, before)
			}
			if e.Verification.State != catalog.Verified {
				t.Errorf("verification %+v", e.Verification)
			}
			to := filepath.Join(t.TempDir(), "out.db")
			if _, err := b.m.Restore(t.Context(), e.ID, snapshot.RestoreOptions{To: to}); err != nil {
				t.Fatal(err)
			}
			image := readFile(t, to)
			if int64(len(image)) != e.DatabaseBytes || imageHash(image) != e.ImageBLAKE3 {
				t.Errorf("%d bytes came back, with another digest or size", len(image))
			}
			if !v.Unfolded && !bytes.Equal(image, readFile(t, b.m.Database())) {
				t.Error("another image than the database came back")
			}
			if v.Sum != 0 {
				if _, sum := testdb.Ledger(t, to); sum != v.Sum {
					t.Errorf("sum of balances %d, want %d", sum, v.Sum)
				}
			}
		})
	}
}

// Lost: the backup of a database that the application has only just made.
func TestBackupOfEmptyDatabase(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "data.db")
	writeFile(t, path, nil)
	b := benchOn(t, path)
	e := b.auto()
	if e.DatabaseBytes != 0 || e.PageCount != 0 || e.Verification.State != catalog.Verified {
		t.Errorf("entry %+v", e)
	}
	if got := stockImage(t, b.m.ArchivePath(e)); len(got) != 0 {
		t.Errorf("zstd -d gives %d bytes", len(got))
	}
	db, err := b.m.OpenBackup(t.Context(), e.ID)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var n int
	if err := db.QueryRow("SELECT count(*) FROM sqlite_schema").Scan(&n); err != nil || n != 0 {
		t.Errorf("%d tables, %v", n, err)
	}
}

// Lost: a truncated database would push out the backups that hold its data,
// and recovery would put nothing back.
func TestEmptiedDatabaseIsRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t, "delete")
	good := b.auto()
	if err := os.Truncate(b.m.Database(), 0); err != nil {
		t.Fatal(err)
	}
	before := b.archives()
	for _, req := range []snapshot.Request{snapshot.Manual("oops"), snapshot.Auto(catalog.TriggerSchedule)} {
		_, err := b.m.Backup(t.Context(), req)
		if !errors.Is(err, snapshot.ErrMissing) || snapshot.Hint(err) == "" {
			t.Errorf("%s backup of the emptied database: %v (hint %q)", req.Kind, err, snapshot.Hint(err))
		}
	}
	if after := b.archives(); after != before || b.latest() != good.File {
		t.Errorf("the backups changed:\n%s\nbefore:\n%s", after, before)
	}
	if s := b.status(); s.State != snapshot.AtRisk {
		t.Errorf("status %+v", s)
	}
}

// Lost: a wrong path, taken for a database without data.
func TestBackupOfMissingDatabase(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "data.db")
	b := benchOn(t, path)
	_, err := b.m.Backup(t.Context(), snapshot.Manual(""))
	if !errors.Is(err, snapshot.ErrMissing) || snapshot.Code(err) != "missing" || snapshot.Hint(err) == "" {
		t.Errorf("got %v (code %s, hint %q)", err, snapshot.Code(err), snapshot.Hint(err))
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the database was created: %v", err)
	}
	if len(b.ids()) != 0 || len(glob(t, b.m.Dir(), "*.zst")) != 0 {
		t.Errorf("a backup of nothing: %v", b.ids())
	}
	failed := b.rec.of(snapshot.EventFailed)
	if len(failed) != 1 || failed[0].Operation != "backup" || !errors.Is(failed[0].Err, snapshot.ErrMissing) {
		t.Errorf("failure events %+v", failed)
	}
}

// Lost: the good backups, to those of a corrupt database.
func TestCorruptDatabaseIsNotBackedUp(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"wal", "delete"} {
		t.Run(mode, func(t *testing.T) {
			b := newBench(t, mode, func(c *snapshot.Config) { c.Retention = catalog.Policy{Last: 2} })
			whole := [2][]byte{}
			for i := range whole {
				b.mark(string(rune('a' + i)))
				b.auto()
				whole[i] = readFile(t, b.m.Database())
			}
			ids, before := b.ids(), b.archives()
			b.damage()
			for i := range 4 {
				req := snapshot.Auto(catalog.TriggerSchedule)
				if i%2 == 1 {
					req = snapshot.Manual("")
				}
				_, err := b.m.Backup(t.Context(), req)
				var damaged *snapshot.CorruptError
				if !errors.Is(err, snapshot.ErrCorrupt) || !errors.As(err, &damaged) || !damaged.Report.Damaged() || len(damaged.Report.Findings) == 0 {
					t.Fatalf("backup of a corrupt database: %v", err)
				}
			}
			if got := b.ids(); !slices.Equal(got, ids) || b.archives() != before {
				t.Errorf("the good backups were touched: %v, had %v\n%s", got, ids, b.archives())
			}
			b.noDebris()
			s := b.status()
			if s.State != snapshot.AtRisk || !strings.Contains(s.Reason, "damaged") || s.Database.Verdict == nil || *s.Database.Verdict != "corrupt" {
				t.Errorf("status of a corrupt database: %+v", s)
			}
			if failed := b.rec.of(snapshot.EventFailed); len(failed) != 4 {
				t.Errorf("%d failure events, want 4", len(failed))
			}
			b.reopen()
			if s := b.status(); s.State != snapshot.AtRisk {
				t.Errorf("the next process does not know: %+v", s)
			}

			writeFile(t, b.m.Database(), whole[1])
			b.auto()
			if s := b.status(); s.State != snapshot.Protected || *s.Database.Verdict != "healthy" {
				t.Errorf("status after repair and backup: %+v", s)
			}
		})
	}
}

// Lost: protection for an application that broke its own rules but lost nothing.
func TestViolationsAreBackedUp(t *testing.T) {
	t.Parallel()
	b := newBench(t, "wal")
	violate(t, b)
	e := b.auto()
	if e.Verification.State != catalog.Verified {
		t.Errorf("verification %+v", e.Verification)
	}
	if b.latest() != e.File || b.status().State != snapshot.Protected {
		t.Errorf("latest %s, status %+v", b.latest(), b.status())
	}
}

// violate breaks a CHECK constraint, as an older version of an application
// would have, before the constraint was added.
func violate(t *testing.T, b *bench) {
	t.Helper()
	testdb.Damaged(t, b.m.Database()) // integrity_check finds it at the end
	b.exec("PRAGMA ignore_check_constraints=1; UPDATE companies SET employees = -5 WHERE id = 1")
}

// Lost: the user's Ctrl-C, or a half backup after it.
func TestCancelledBackupLeavesNothing(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"wal", "delete"} {
		for _, phase := range []string{"check", "compress", "read back"} {
			t.Run(mode+"/"+phase, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				b := newBench(t, mode, func(c *snapshot.Config) {
					c.OnEvent = func(e snapshot.Event) {
						if string(e.Phase) == phase {
							cancel()
						}
					}
				})
				if _, err := b.m.Backup(ctx, snapshot.Manual("")); !errors.Is(err, context.Canceled) {
					t.Fatalf("got %v", err)
				}
				if files := glob(t, b.m.Dir(), "*.zst"); len(files) > 0 || len(b.ids()) > 0 {
					t.Errorf("left behind: %v, listed %v", files, b.ids())
				}
				b.noDebris()
				if s := b.status(); strings.Contains(s.Reason, "failed") {
					t.Errorf("a cancelled backup is no failure: %+v", s)
				}
			})
		}
	}
}

// A backup says by which strategy the live database was read, and why: one that reads a
// private copy costs the disk twice.
func TestBackupSaysHowTheDatabaseWasRead(t *testing.T) {
	b := newBench(t, "wal")
	b.manual()
	made := b.rec.of(snapshot.EventBackedUp)
	if len(made) != 1 || !strings.HasPrefix(made[0].Reason, "in place, read-only: ") || !strings.Contains(made[0].String(), `reason="in place`) {
		t.Errorf("%v", made)
	}
}
