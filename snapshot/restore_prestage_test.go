package snapshot_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/testdb"
	"example.com/snapd/snapshot"
)

// onPhase calls do at the beginning of every phase until the test ends.
func (b *bench) onPhase(do func(phase string)) {
	b.t.Cleanup(b.m.Subscribe(func(ev snapshot.Event) {
		if ev.Type == snapshot.EventProgress && ev.Done == 0 {
			do(string(ev.Phase))
		}
	}))
}

// Lost: the time of all writers to the database, while the safety backup is
// made and proven. They are held off for the exchange only.
func TestWritersWaitForTheExchangeOnly(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"wal", "delete", "persist"} {
		t.Run(mode, func(t *testing.T) {
			b := newBench(t, mode)
			b.mark("yesterday")
			e := b.manual()
			b.mark("today")
			var phases, held []string
			b.onPhase(func(phase string) {
				phases = append(phases, phase)
				// A transaction that changes nothing: the state stays what it was.
				out, err := exec.Command(testdb.RequireTool(t, "sqlite3"), "-bail", b.m.Database(), "BEGIN IMMEDIATE; ROLLBACK").CombinedOutput()
				if err != nil && strings.Contains(string(out), "locked") {
					held = append(held, phase)
				} else if err != nil {
					t.Errorf("%s: %v %s", phase, err, out)
				}
			})
			res := b.restores(e.ID, snapshot.RestoreOptions{})
			if res.Method != snapshot.Online || b.marked() != "yesterday" || b.markIn(*res.SafetyBackup) != "today" {
				t.Errorf("%+v, mark %q", res, b.marked())
			}
			if !slices.Equal(held, []string{"write", "commit"}) || slices.Index(phases, "compress") != slices.Index(phases, "check")+1 {
				t.Errorf("held off in %v of %v", held, phases)
			}
		})
	}
}

// Lost: the time of all writers to the database, while the disk takes the whole
// safety backup: it is synced before the lock.
func TestSafetyBackupIsSyncedBeforeTheLock(t *testing.T) {
	b := newBench(t, "wal")
	b.mark("yesterday")
	e := b.manual()
	b.mark("today")
	synced, before := 0, -1
	defer durable.Observe(&durable.Observer{Synced: func(s durable.Step, path string) {
		if s == durable.StepSync && strings.HasPrefix(filepath.Base(path), durable.TempPrefix) && strings.Contains(path, ".db.zst") {
			synced++
		}
	}})()
	snapshot.SetCrashPoint(func(name string) {
		if name == "prestaged" {
			before = synced
		}
	})
	defer snapshot.SetCrashPoint(nil)
	if res := b.restores(e.ID, snapshot.RestoreOptions{}); res.Method != snapshot.Online {
		t.Fatalf("%+v", res)
	}
	if before != 1 {
		t.Errorf("before the lock the safety backup was synced %d times, want once", before)
	}
}

// Lost: commits that were acknowledged while the safety backup was being made. It is
// then made again under the lock.
func TestCommitsWhileARestoreIsPrestaged(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"wal", "delete"} {
		for _, when := range []string{"prove", "check", "compress", "read back"} {
			t.Run(mode+"/"+when, func(t *testing.T) {
				b := newBench(t, mode)
				b.mark("yesterday")
				e := b.manual()
				b.mark("noon")
				compressed, written := 0, false
				b.onPhase(func(phase string) {
					if phase == "compress" {
						compressed++
					}
					if phase == when && !written {
						written = true
						b.mark("today")
					}
				})
				res := b.restores(e.ID, snapshot.RestoreOptions{})
				if compressed != 2 || res.Method != snapshot.Online || b.marked() != "yesterday" {
					t.Errorf("compressed %d times, %+v, mark %q", compressed, res, b.marked())
				}
				checkSafety(t, b, *res.SafetyBackup)
				if n := len(b.ids()); n != 2 {
					t.Errorf("%d backups", n)
				}
				b.restores(*res.SafetyBackup, snapshot.RestoreOptions{})
				if got := b.marked(); got != "today" {
					t.Errorf("undone: mark %q", got)
				}
			})
		}
	}
}

// Lost: a database that was put in the place of the one that was saved.
func TestReplacedWhileARestoreIsPrestaged(t *testing.T) {
	t.Parallel()
	b := newBench(t, "delete")
	b.mark("yesterday")
	e := b.manual()
	b.mark("never")
	replaced := false
	b.onPhase(func(phase string) {
		if phase != "read back" || replaced {
			return
		}
		replaced = true
		// The same to the change counter: only the file is another one.
		image := strings.ReplaceAll(string(readFile(t, b.m.Database())), "never", "today")
		writeFile(t, b.m.Database()+"2", []byte(image))
		if err := os.Rename(b.m.Database()+"2", b.m.Database()); err != nil {
			t.Error(err)
		}
	})
	res := b.restores(e.ID, snapshot.RestoreOptions{})
	if got := b.markIn(*res.SafetyBackup); got != "today" || !replaced || b.marked() != "yesterday" {
		t.Errorf("%+v: the safety backup has mark %q", res, got)
	}
}

// Lost: the restore, to a disk that has no room for what makes it faster, or to a
// backup directory in which there is hardly any.
func TestRestoreOfEverything(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"wal", "delete"} {
		t.Run(mode, func(t *testing.T) {
			b := newBench(t, mode)
			b.exec("CREATE TABLE much(x); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 20000) INSERT INTO much SELECT randomblob(900) FROM n")
			b.mark("yesterday")
			e := b.manual()
			b.exec("UPDATE much SET x = randomblob(900)") // more than is kept of the differences
			b.mark("today")
			res := b.restores(e.ID, snapshot.RestoreOptions{})
			if res.Method != snapshot.Online || b.marked() != "yesterday" {
				t.Errorf("%+v, mark %q", res, b.marked())
			}
			checkSafety(t, b, *res.SafetyBackup)
			to := filepath.Join(t.TempDir(), "out.db")
			if _, err := b.m.Restore(t.Context(), e.ID, snapshot.RestoreOptions{To: to}); err != nil {
				t.Fatal(err)
			}
			sum := "SELECT count(*), sum(unicode(hex(x))) FROM much; PRAGMA integrity_check"
			if got, want := testdb.ShellQuery(t, b.m.Database(), sum), testdb.ShellQuery(t, to, sum); got != want {
				t.Errorf("restored %s, want %s", fmt.Sprint(got), want)
			}
		})
	}
}

// Lost: pages, where the database has grown or shrunk while the restore was prestaged,
// and only what has changed since is compared again.
func TestChangesOfAllKindsWhileARestoreIsPrestaged(t *testing.T) {
	fill := "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 3000) INSERT INTO much(x) SELECT randomblob(900) FROM n;"
	grow, shrink := fill, "DELETE FROM much WHERE id > 1000; VACUUM;"
	row := "UPDATE much SET x = randomblob(900) WHERE id = 17; UPDATE accounts SET name = 'today' WHERE id = 1;"
	for _, mode := range []string{"wal", "delete"} {
		for i, c := range [][2]string{{row, row}, {grow, row}, {grow, shrink + row}, {shrink, grow + row}, {row, shrink + row}, {shrink, row}} {
			t.Run(fmt.Sprint(mode, i), func(t *testing.T) {
				t.Parallel()
				b := newBench(t, mode)
				b.exec("CREATE TABLE much(id INTEGER PRIMARY KEY, x);" + fill)
				b.mark("yesterday")
				e := b.manual()
				to := filepath.Join(t.TempDir(), "out.db")
				if _, err := b.m.Restore(t.Context(), e.ID, snapshot.RestoreOptions{To: to}); err != nil {
					t.Fatal(err)
				}
				b.exec(c[0])
				written := false
				b.onPhase(func(phase string) {
					if phase == "read back" && !written {
						written = true
						b.exec(c[1])
					}
				})
				res := b.restores(e.ID, snapshot.RestoreOptions{})
				if res.Method != snapshot.Online || !written {
					t.Errorf("%+v", res)
				}
				checkSafety(t, b, *res.SafetyBackup)
				if got, want := dump(t, b.m.Database()), dump(t, to); got != want {
					t.Errorf("the restored database has not what the backup has")
				}
			})
		}
	}
}

// Lost: the restore, to a prestaged image that has changed since: what of it is wanted again is compressed again.
func TestPrestagedIsDamaged(t *testing.T) {
	t.Parallel()
	b := newBench(t, "wal")
	b.exec("CREATE TABLE much(x); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 9000) INSERT INTO much SELECT randomblob(900) FROM n")
	b.mark("yesterday")
	e := b.manual()
	b.mark("noon")
	damaged, checks := 0, 0
	b.onPhase(func(phase string) {
		switch {
		case phase == "read back" && checks == 1:
			b.mark("today")
		case phase == "check":
			if checks++; checks != 2 {
				return
			}
			for _, name := range fileNames(t, b.m.Dir()) {
				path := filepath.Join(b.m.Dir(), name)
				if image := readFile(t, path); strings.HasPrefix(name, durable.TempPrefix) && len(image) > 0 {
					image[len(image)/2]++
					writeFile(t, path, image)
					damaged++
				}
			}
		}
	})
	res := b.restores(e.ID, snapshot.RestoreOptions{})
	if damaged != 1 || checks != 2 || res.Method != snapshot.Online || b.marked() != "yesterday" {
		t.Errorf("%d files damaged, checked %d times, %+v, mark %q", damaged, checks, res, b.marked())
	}
	checkSafety(t, b, *res.SafetyBackup)
	if got := b.markIn(*res.SafetyBackup); got != "today" {
		t.Errorf("the safety backup has mark %q", got)
	}
}

// countdown is a context that is cancelled when its Err is asked for the nth time.
type countdown struct {
	context.Context
	cancel context.CancelFunc
	left   atomic.Int64
}

func (c *countdown) Err() error {
	if c.left.Add(-1) == 0 {
		c.cancel()
	}
	return c.Context.Err()
}

// Lost: every later commit of the application, to a read lock of a restore that was
// cancelled at the wrong instant; or the space of the image it had prestaged.
func TestACancelledRestoreReleasesItsLock(t *testing.T) {
	for _, mode := range []string{"wal", "delete"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, mode)
			b.mark("yesterday")
			e := b.manual()
			b.mark("today")
			want := fileNames(t, b.m.Dir())
			for n := int64(1); ; n++ {
				inner, cancel := context.WithCancel(t.Context())
				ctx := &countdown{Context: inner, cancel: cancel}
				ctx.left.Store(n)
				_, err := b.m.Restore(ctx, e.ID, snapshot.RestoreOptions{})
				cancel()
				if err == nil {
					t.Logf("asked %d times", n-1)
					break
				}
				if !errors.Is(err, context.Canceled) {
					t.Fatalf("cancelled at the %d. time: %v", n, err)
				}
				out, err := exec.Command(testdb.RequireTool(t, "sqlite3"), "-bail", b.m.Database(),
					fmt.Sprintf("UPDATE accounts SET name = 'tomorrow %d' WHERE id = 1; PRAGMA wal_checkpoint(TRUNCATE)", n)).CombinedOutput()
				if err != nil || mode == "wal" && !strings.HasPrefix(string(out), "0|") {
					t.Fatalf("cancelled at the %d. time: %v %s", n, err, out)
				}
				if got := fileNames(t, b.m.Dir()); !slices.Equal(got, want) {
					t.Fatalf("cancelled at the %d. time: left are %v", n, got)
				}
			}
			if got := b.marked(); got != "yesterday" {
				t.Errorf("mark %q", got)
			}
		})
	}
}

func fileNames(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
