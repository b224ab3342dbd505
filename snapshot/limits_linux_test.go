package snapshot_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/testdb"
	"example.com/snapd/snapshot"
)

// reachable lets every user through the directories above dir.
func reachable(t *testing.T, dir string) {
	t.Helper()
	for dir = filepath.Dir(dir); dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func chmod(t *testing.T, mode fs.FileMode, paths ...string) {
	t.Helper()
	for _, path := range paths {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
}

// Lost: the reason why no backup is made; or the list of those there are, where
// the directory is mounted read-only.
func TestUnwritableBackupDirectory(t *testing.T) {
	for _, made := range []bool{true, false} {
		b := newBench(t, "delete")
		reachable(t, b.m.Database())
		chmod(t, 0o644, b.m.Database())
		id := ""
		if made {
			b.mark("saved")
			id = b.auto().ID
			files, err := filepath.Glob(filepath.Join(b.m.Dir(), "*.*"))
			if err != nil {
				t.Fatal(err)
			}
			chmod(t, 0o644, append(files, filepath.Join(b.m.Dir(), id+".db.zst"))...)
			chmod(t, 0o555, b.m.Dir())
			t.Cleanup(func() { os.Chmod(b.m.Dir(), 0o700) })
		}
		before := b.appFiles() + b.stored()
		testdb.AsNobody(t, func() {
			b.reopen()
			calls := map[string]error{"run": b.m.Run(t.Context()), "recover": second(b.m.Recover(t.Context())),
				"backup": second(b.m.Backup(t.Context(), snapshot.Manual("")))}
			for what, err := range calls {
				if code := snapshot.Code(err); err == nil || code != "permission" && code != "read_only" ||
					snapshot.Hint(err) == "" || !strings.Contains(err.Error(), b.m.Dir()) {
					t.Errorf("%s: %v (code %s, hint %q)", what, err, code, snapshot.Hint(err))
				}
			}
			if !made {
				return
			}
			if got := b.ids(); !slices.Equal(got, []string{id}) {
				t.Errorf("listed %v", got)
			}
			if got := b.markIn(id); got != "saved" {
				t.Errorf("looked in and found %q", got)
			}
			b.why(snapshot.WhyFailed, "not writable")
			b.reopen() // who has made no backup knows of no failure
			b.wants(snapshot.Protected, "")
		})
		if now := b.appFiles() + b.stored(); now != before {
			t.Errorf("something was changed:\n%s\nbefore:\n%s", now, before)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// Lost: a database that may only be read, though reading is all a backup needs.
func TestReadOnlyDatabase(t *testing.T) {
	for _, mode := range []string{"wal", "delete"} {
		path := filepath.Join(t.TempDir(), "data.db")
		makeDatabase(t, path, mode)
		reachable(t, path)
		chmod(t, 0o644, path)
		dir := filepath.Join(t.TempDir(), "backups")
		if err := errors.Join(os.Mkdir(dir, 0o700), os.Chown(dir, testdb.Nobody(), -1)); err != nil {
			t.Fatal(err)
		}
		reachable(t, dir)
		before := testdb.DirListing(t, filepath.Dir(path))
		testdb.AsNobody(t, func() {
			// The process is root's: only its rights to files are not.
			b := benchOn(t, path, func(c *snapshot.Config) { c.Dir, c.AnyOwner = dir, true })
			e := b.manual()
			if b.ids()[0] != e.ID || b.markIn(e.ID) == "" {
				t.Errorf("backup %+v", e)
			}
		})
		if now := testdb.DirListing(t, filepath.Dir(path)); now != before {
			t.Errorf("%s: something was changed:\n%s\nbefore:\n%s", mode, now, before)
		}
	}
}

// Lost: a good database, replaced because it may not be read.
func TestRecoverUnreadableDatabase(t *testing.T) {
	for what, hide := range map[string]func(path string) (undo func()){
		"file": func(path string) func() {
			chmod(t, 0, path)
			return func() { chmod(t, 0o600, path) }
		},
		"directory": func(path string) func() {
			chmod(t, 0, filepath.Dir(path))
			return func() { chmod(t, 0o755, filepath.Dir(path)) }
		},
	} {
		t.Run(what, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "backups")
			if err := os.Mkdir(dir, 0o777); err != nil {
				t.Fatal(err)
			}
			b := newBench(t, "delete", func(c *snapshot.Config) { c.Dir = dir })
			b.auto()
			reachable(t, b.m.Database())
			reachable(t, dir)
			chmod(t, 0o777, dir)
			files, err := os.ReadDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range files {
				if f.Type().IsRegular() {
					chmod(t, 0o666, filepath.Join(dir, f.Name()))
				}
			}
			// A file that this process has never had open.
			image := readFile(t, b.m.Database())
			if err := os.Rename(b.m.Database(), filepath.Join(t.TempDir(), "first.db")); err != nil {
				t.Fatal(err)
			}
			writeFile(t, b.m.Database(), image)
			before := b.appFiles()
			undo := hide(b.m.Database())
			testdb.AsNobody(t, func() {
				rec, err := b.m.Recover(t.Context())
				if snapshot.Code(err) != "permission" || rec.Action == snapshot.ActionRestored {
					t.Errorf("recover: %+v %v (code %s)", rec, err, snapshot.Code(err))
				}
				if _, err := b.m.Backup(t.Context(), snapshot.Manual("")); snapshot.Code(err) != "permission" {
					t.Errorf("backup: %v (code %s)", err, snapshot.Code(err))
				}
			})
			undo()
			if now := b.appFiles(); now != before || len(glob(t, dir, "corrupted_*")) > 0 {
				t.Errorf("something was touched:\n%s\nbefore:\n%s", now, before)
			}
		})
	}
}

// smallDisk mounts a disk of 9 MiB, and skips the test where that cannot be.
func smallDisk(t *testing.T) string {
	t.Helper()
	disk := filepath.Join(t.TempDir(), "disk")
	if err := os.Mkdir(disk, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("none", disk, "tmpfs", 0, "size=9m,mode=0700"); err != nil {
		t.Skipf("NOT TESTED: a full disk: mounting one needs root (%v)", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(disk, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return disk
}

// Lost: the disk, to a rehearsal; or a good backup, marked failed for want of space.
func TestDrillWithoutSpace(t *testing.T) {
	t.Parallel()
	b := newBench(t, "wal", func(c *snapshot.Config) { c.Dir = smallDisk(t) })
	b.manual() // by which the size of the next one is estimated
	b.exec("CREATE TABLE empty(x); INSERT INTO empty VALUES(zeroblob(12000000))")
	e := b.manual()
	if out, err := b.m.Drill(t.Context(), e.ID); !errors.Is(err, snapshot.ErrNoSpace) || out.ID != "" {
		t.Errorf("%+v %v", out, err)
	}
	b.noDebris()
	if found, err := b.m.Find(e.ID); err != nil || found.Verification.State != catalog.Verified {
		t.Errorf("%+v %v", found.Verification, err)
	}
	if state, err := b.m.State(); err != nil || state.LastDrill != nil {
		t.Errorf("remembered %+v, %v", state.LastDrill, err)
	}
}

// Lost: an early warning, before the user has typed the name of the database.
func TestPlanWithoutSpace(t *testing.T) {
	t.Parallel()
	b := newBench(t, "wal", func(c *snapshot.Config) { c.Dir = smallDisk(t) })
	e := b.manual()
	b.exec("CREATE TABLE empty(x); INSERT INTO empty VALUES(zeroblob(60000000))")
	if p, err := b.m.PlanRestore(t.Context(), e.ID); !errors.Is(err, snapshot.ErrNoSpace) || snapshot.Hint(err) == "" {
		t.Errorf("%+v %v", p, err)
	}
}

// Lost: a restore, where there is room for its safety backup, but not for all that would
// make it shorter.
func TestRestoreWithLittleSpace(t *testing.T) {
	t.Parallel()
	disk := smallDisk(t)
	b := newBench(t, "wal", func(c *snapshot.Config) { c.Dir = disk })
	b.manual() // by which the size of the next one is estimated
	b.exec("CREATE TABLE empty(x); INSERT INTO empty VALUES(zeroblob(12000000)); CREATE TABLE noise(x); INSERT INTO noise VALUES(randomblob(1200000))")
	e := b.manual() // as above
	free, err := durable.FreeSpace(disk)
	if err != nil {
		t.Fatal(err)
	}
	b.exec(fmt.Sprintf("UPDATE noise SET x=randomblob(1200000); CREATE TABLE more AS SELECT randomblob(%d)", free-1_900_000))
	if _, err := b.m.Restore(t.Context(), e.ID, snapshot.RestoreOptions{}); err != nil {
		t.Fatal(err)
	}
	if n := testdb.ShellQuery(t, b.m.Database(), "SELECT length(x) FROM noise"); n != "1200000" {
		t.Errorf("%s bytes", n)
	}
	b.noDebris()
}

// Lost: old backups, or the disk's last bytes, to a backup that does not fit.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"wal", "delete"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			disk := smallDisk(t)
			b := newBench(t, mode, func(c *snapshot.Config) { c.Dir = disk })
			made := b.several(2)
			before, latest := b.archives(), b.latest()
			// The estimate goes by how well the last backup compressed: random
			// bytes pass it in WAL mode, and fill the disk.
			b.exec("CREATE TABLE noise(x); INSERT INTO noise VALUES(randomblob(5000000)), (randomblob(6000000))")
			for _, req := range []snapshot.Request{snapshot.Manual(""), snapshot.Auto("schedule")} {
				_, err := b.m.Backup(t.Context(), req)
				if !errors.Is(err, snapshot.ErrNoSpace) || snapshot.Code(err) != "no_space" || snapshot.Hint(err) == "" {
					t.Errorf("backup: %v (code %s, hint %q)", err, snapshot.Code(err), snapshot.Hint(err))
				}
				t.Logf("%v", err)
			}
			if now := b.archives(); now != before || b.latest() != latest {
				t.Errorf("the old backups changed:\n%s\nbefore:\n%s", now, before)
			}
			b.noDebris()
			free, err := durable.FreeSpace(disk)
			if err != nil || free < 8<<20 {
				t.Errorf("%d bytes free afterwards, %v", free, err)
			}
			for _, e := range made {
				if _, err := b.m.Verify(t.Context(), e.ID, 0); err != nil {
					t.Errorf("verify %s: %v", e.ID, err)
				}
			}
			b.wants(snapshot.AtRisk, "space")
			b.reopen() // another process, which has made no attempt of its own
			b.wants(snapshot.AtRisk, "space")
			// Neither can a safety backup be taken: then nothing may be restored.
			_, err = b.m.Restore(t.Context(), made[0].ID, snapshot.RestoreOptions{})
			if !errors.Is(err, snapshot.ErrNoSpace) || testdb.ShellQuery(t, b.m.Database(), "SELECT count(*) FROM noise") != "2" {
				t.Errorf("restore without a safety backup: %v", err)
			}
			b.noDebris()
			b.exec("DROP TABLE noise; VACUUM")
			b.auto()
			b.wants(snapshot.Protected, "")
		})
	}
}

// Lost: the database, which was not put back on a disk that has room for it, but not for a
// reserve as well; and the way out, where the message names another disk.
func TestRecoverOnANearlyFullDisk(t *testing.T) {
	t.Parallel()
	disk, dir := smallDisk(t), filepath.Join(t.TempDir(), "backups")
	path := filepath.Join(disk, "data.db")
	makeDatabase(t, path, "delete")
	b := benchOn(t, path, func(c *snapshot.Config) { c.Dir = dir })
	b.manual()
	ballast := filepath.Join(disk, "ballast")
	leave := func(free int) { writeFile(t, ballast, make([]byte, 9<<20-256<<10-free)) } // 256 KiB are the database's
	b.damage()
	leave(64 << 10)
	if _, err := b.m.Recover(t.Context()); !errors.Is(err, snapshot.ErrNoSpace) || !strings.Contains(snapshot.Hint(err), disk) {
		t.Errorf("without room: %v; %s", err, snapshot.Hint(err))
	}
	leave(1 << 20)
	if r, err := b.m.Recover(t.Context()); err != nil || r.Action != snapshot.ActionRestored {
		t.Errorf("with room: %+v, %v", r, err)
	}
	b.sound()
}

// Lost: the way out, promised by a plan that cannot be carried out; or an older backup, taken for want of room.
func TestRecoveryReckonsWithRoom(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(*testing.T, *bench){
		"restored": func(_ *testing.T, b *bench) { b.damage() },
		"repaired": func(t *testing.T, b *bench) { loseIndexRoot(t, b.m.Database()) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			disk := smallDisk(t)
			for place, dirs := range map[string][2]string{"the database's disk": {disk, t.TempDir()}, "the backups' disk": {t.TempDir(), disk}, "one disk": {disk, disk}} {
				path, dir := filepath.Join(dirs[0], place, "data.db"), filepath.Join(dirs[1], place, "backups")
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
				makeDatabase(t, path, "delete")
				b := benchOn(t, path, func(c *snapshot.Config) { c.Dir = dir })
				b.several(2)
				damage(t, b)
				ballast := filepath.Join(disk, "ballast")
				free, err := durable.FreeSpace(disk)
				if err != nil {
					t.Fatal(err)
				}
				writeFile(t, ballast, make([]byte, free-64<<10))
				p, err := b.m.PlanRecovery(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if !errors.Is(p.Err, snapshot.ErrNoSpace) || !strings.Contains(snapshot.Hint(p.Err), disk) || p.Action != snapshot.ActionNone || !strings.Contains(p.Reason, "no room") {
					t.Errorf("%s is full: %s, %q; error %v; %s", place, p.Action, p.Reason, p.Err, snapshot.Hint(p.Err))
				}
				short := 0
				for _, o := range p.Options {
					for _, r := range o.Room {
						if !r.Fits && strings.HasPrefix(r.Dir, disk) && r.Needs > 64<<10 && r.Free != nil && *r.Free <= 64<<10 {
							short++
						}
					}
					if o.Chosen {
						t.Errorf("%s is full: chosen is %+v", place, o)
					}
				}
				if short == 0 || string(p.Options[0].Action) != name {
					t.Errorf("%s is full: %+v", place, p.Options)
				}
				before := b.appFiles()
				if r, err := b.m.Recover(t.Context()); !errors.Is(err, snapshot.ErrNoSpace) || r.Action != snapshot.ActionNone || b.appFiles() != before {
					t.Errorf("%s is full: recovered %+v, %v", place, r, err)
				}
				if err := os.Remove(ballast); err != nil {
					t.Fatal(err)
				}
				p, err = b.m.PlanRecovery(t.Context())
				if err != nil || p.Err != nil || string(p.Action) != name || !p.Options[0].Chosen || len(p.Options[0].Room) == 0 {
					t.Errorf("%s has room: %+v, %v", place, p, err)
				}
				if r, err := b.m.Recover(t.Context()); err != nil || string(r.Action) != name {
					t.Errorf("%s has room: %+v, %v", place, r, err)
				}
				b.sound()
			}
		})
	}
}
