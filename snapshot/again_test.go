package snapshot_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/testdb"
	"example.com/snapd/snapshot"
)

// verifications are the ends of verifying a backup so far.
func (b *bench) verifications(e snapshot.Backup) (errs []error) {
	for _, ev := range b.rec.of(snapshot.EventVerified, snapshot.EventFailed) {
		if ev.Operation == snapshot.OpVerify && ev.Backup == e.ID {
			errs = append(errs, ev.Err)
		}
	}
	return errs
}

func (b *bench) find(id string) snapshot.Backup {
	b.t.Helper()
	e, err := b.m.Find(id)
	must(b.t, err)
	return e
}

// Lost: the last good backup: that another one has rotted on the disk is seen only on the day when it is needed; or one that was put back.
func TestRunProvesStoredBackupsAgain(t *testing.T) {
	t.Parallel()
	later(t, func(t *testing.T) {
		b := newBench(t, "delete", func(c *snapshot.Config) { c.Interval = -1 })
		made := b.several(3)
		bad := made[1]
		good := readFile(t, b.m.ArchivePath(bad))
		r := b.run()
		letPass(time.Hour)
		b.damageArchive(bad)
		letPass(22 * time.Hour)
		if b.status().Stored.ReadAgain != nil || len(b.rec.of(snapshot.EventFailed)) != 0 {
			t.Errorf("too early: %+v, %v", b.status().Stored, b.rec.of(snapshot.EventFailed))
		}
		letPass(3 * 25 * time.Hour)
		if errs := b.verifications(bad); len(errs) != 1 || !errors.Is(errs[0], snapshot.ErrCorrupt) {
			t.Fatalf("the damaged one: %v", errs)
		}
		if now := b.find(bad.ID); now.Verification.State != catalog.Failed || now.Verification.Detail == "" {
			t.Errorf("it is %+v", now.Verification)
		}
		if s := b.status(); s.Stored.Failed != 1 || s.Stored.Backups != 3 || s.Stored.ReadAgain == nil || time.Since(*s.Stored.ReadAgain) > 25*time.Hour {
			t.Errorf("status %+v", s.Stored)
		}
		page, _, err := b.m.Activity("", 10)
		must(t, err)
		logged := 0
		for _, a := range page {
			if a.Action == "verify" && a.Outcome == "failed" && a.Code == "corrupt" && a.Backup == bad.ID && a.Who == "automatic" {
				logged++
			}
		}
		if logged != 1 {
			t.Errorf("the log says it %d times: %+v", logged, page)
		}
		for _, e := range []snapshot.Backup{made[0], made[2]} {
			if now := b.find(e.ID); now.Verification.State != catalog.Verified || time.Since(*now.Verification.At) > 4*25*time.Hour ||
				now.Verification.Level != e.Verification.Level || len(b.verifications(e)) != 0 {
				t.Errorf("%s: %+v", e.ID, now.Verification)
			}
		}
		writeFile(t, b.m.ArchivePath(bad), good)
		letPass(4 * 25 * time.Hour)
		if errs := b.verifications(bad); len(errs) != 2 || errs[1] != nil || b.find(bad.ID).Verification.State != catalog.Verified {
			t.Errorf("put back: %v, %+v", errs, b.find(bad.ID).Verification)
		}
		if s := b.status().Stored; s.Failed != 0 {
			t.Errorf("status %+v", s)
		}
		must(t, r.wait(t))
	})
}

// Lost: the last good backup, to a retention that takes a damaged one for it; and the protection, until the next backup by schedule.
func TestADamagedBackupIsReplacedAndCountsForNothing(t *testing.T) {
	t.Parallel()
	later(t, func(t *testing.T) {
		b := newBench(t, "delete", func(c *snapshot.Config) {
			c.Interval, c.Retention = -1, snapshot.Policy{Last: 2, Daily: catalog.None}
		})
		made := b.several(2)
		r := b.run()
		letPass(time.Hour)
		b.damageArchive(made[1])
		link := ""
		defer b.m.Subscribe(func(e snapshot.Event) {
			if e.Type == snapshot.EventFailed {
				link = b.latest()
			}
		})()
		letPass(3 * 25 * time.Hour)
		if link != made[0].File {
			t.Errorf("once it was found damaged, latest was %s", link)
		}
		if now := b.find(made[1].ID); now.Verification.State != catalog.Failed {
			t.Fatalf("the newest is %+v", now.Verification)
		}
		backups := b.rec.of(snapshot.EventBackedUp)
		found := b.rec.of(snapshot.EventFailed)
		if len(backups) != 3 || len(found) != 1 || backups[2].At.Sub(found[0].At) > time.Minute {
			t.Fatalf("backups %v, after %v", backups, found)
		}
		if b.latest() != b.find(backups[2].Backup).File || b.markIn("latest") != "number b" {
			t.Errorf("latest is %s", b.latest())
		}
		if now := b.find(made[0].ID); now.Verification.State != catalog.Verified {
			t.Errorf("the older good one: %+v", now.Verification)
		}
		b.wants(snapshot.Protected, "unchanged")
		must(t, r.wait(t))
	})
}

// readings calls fn before each reading of a backup's archive from the disk, with its number.
func readings(t *testing.T, b *bench, e snapshot.Backup, fn func(n int)) {
	path, n := b.m.ArchivePath(e), 0
	t.Cleanup(durable.Observe(&durable.Observer{Before: func(s durable.Step, at string) {
		if s == durable.StepUncache && at == path {
			n++
			fn(n)
		}
	}}))
}

// Lost: a sound backup, to one wrong reading; the outcome of a verification, or a deletion, at the same time; a service that
// does not end.
func TestWhatHappensWhileABackupIsProvenAgain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		meanwhile func(b *bench, e snapshot.Backup, good []byte, stop func()) // before the second reading
		state     catalog.VerifyState                                         // "" where the backup is gone
		failures  int
		code      string
		readAgain bool
	}{
		"sound at the second reading": {func(b *bench, e snapshot.Backup, good []byte, _ func()) {
			writeFile(b.t, b.m.ArchivePath(e), good)
		}, catalog.Verified, 1, "failed", true},
		"verified": {func(b *bench, e snapshot.Backup, good []byte, _ func()) {
			bad := readFile(b.t, b.m.ArchivePath(e))
			writeFile(b.t, b.m.ArchivePath(e), good)
			if _, err := b.m.Verify(b.t.Context(), e.ID, snapshot.LevelQuick); err != nil {
				b.t.Error(err)
			}
			writeFile(b.t, b.m.ArchivePath(e), bad)
		}, catalog.Verified, 0, "", true},
		"deleted": {func(b *bench, e snapshot.Backup, _ []byte, _ func()) {
			must(b.t, b.m.Delete(b.t.Context(), []string{e.ID}, true))
		}, "", 0, "", true},
		"the service is stopped": {func(_ *bench, _ snapshot.Backup, _ []byte, stop func()) { stop() }, catalog.Verified, 0, "", false},
		"a backup is made": {func(b *bench, _ snapshot.Backup, _ []byte, _ func()) {
			b.mark("meanwhile")
			b.manual()
		}, catalog.Failed, 1, "corrupt", true},
	} {
		t.Run(name, func(t *testing.T) {
			later(t, func(t *testing.T) {
				b := newBench(t, "delete", func(c *snapshot.Config) { c.Interval = -1 })
				e := b.several(2)[0]
				good := readFile(t, b.m.ArchivePath(e))
				b.damageArchive(e)
				r := b.run()
				n := 0
				readings(t, b, e, func(now int) {
					if n = now; now == 2 {
						c.meanwhile(b, e, good, r.stop)
					}
				})
				letPass(25 * time.Hour)
				if n < 2 {
					t.Fatalf("read %d times", n)
				}
				must(t, r.wait(t))
				now, err := b.m.Find(e.ID)
				if c.state == "" && !errors.Is(err, snapshot.ErrNotFound) || c.state != "" && now.Verification.State != c.state {
					t.Errorf("it is %+v, %v", now.Verification, err)
				}
				errs := b.rec.of(snapshot.EventFailed)
				if len(errs) != c.failures || c.failures > 0 && snapshot.Code(errs[0].Err) != c.code {
					t.Errorf("reported %v", errs)
				}
				if s := b.status().Stored; (s.ReadAgain != nil) != c.readAgain {
					t.Errorf("status %+v", s)
				}
			})
		})
	}
}

// Lost: a sound backup that the page cache has wrongly: the second reading is of the same memory, unless that is dropped.
func TestTheSecondReadingIsOfTheDisk(t *testing.T) {
	for name, do := range map[string]func(b *bench, id string) error{
		"verify": func(b *bench, id string) error { return last(b.m.Verify(b.t.Context(), id, snapshot.LevelQuick)) },
		"drill":  func(b *bench, id string) error { return last(b.m.Drill(b.t.Context(), id)) },
		"restore": func(b *bench, id string) error {
			return last(b.m.Restore(b.t.Context(), id, snapshot.RestoreOptions{}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, "wal")
			e := b.manual()
			good := readFile(t, b.m.ArchivePath(e))
			b.damageArchive(e)
			n := 0
			readings(t, b, e, func(int) {
				n++
				writeFile(t, b.m.ArchivePath(e), good)
			})
			err := do(b, e.ID)
			if now := b.find(e.ID); n == 0 || err == nil || errors.Is(err, snapshot.ErrCorrupt) || now.Verification.State != catalog.Verified {
				t.Errorf("%d readings of the disk, %v, %+v", n, err, now.Verification)
			}
		})
	}
}

// Lost: the good name of a service, which says that it misses what a person has deleted.
func TestABackupIsDeletedBeforeItIsReadAgain(t *testing.T) {
	t.Parallel()
	later(t, func(t *testing.T) {
		b := newBench(t, "delete", func(c *snapshot.Config) { c.Interval = -1 })
		made := b.several(3)
		sleepHours(30 * 24) // all of them are overdue
		n := 0
		readings(t, b, made[0], func(int) {
			if n++; n == 1 {
				must(t, b.m.Delete(t.Context(), []string{made[1].ID}, true))
				must(t, os.Rename(b.m.ArchivePath(made[2]), b.m.ArchivePath(made[2])+".away"))
			}
		})
		r := b.run()
		letPass(time.Hour)
		if errs := b.rec.of(snapshot.EventFailed); n == 0 || len(errs) != 1 || errs[0].Backup != made[2].ID || !errors.Is(errs[0].Err, snapshot.ErrNotFound) {
			t.Errorf("after %d readings: %v", n, errs)
		}
		must(t, r.wait(t))
	})
}

func init() { children["prove again"] = againChild }

// againChild is a service a day later. args: database.
func againChild(args []string) error {
	if err := testdb.HandOverCalls(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	m, err := snapshot.Open(ctx, snapshot.Config{Database: args[0], Continuous: -1, Interval: -1,
		Now: func() time.Time { return time.Now().Add(25 * time.Hour) },
		OnEvent: func(e snapshot.Event) {
			if e.Type == snapshot.EventFailed && e.Operation == snapshot.OpVerify {
				cancel()
			}
		}})
	if err != nil {
		return err
	}
	wake := make(chan error, 1)
	go func() { wake <- m.Run(ctx) }()
	for ctx.Err() == nil { // each turn looks what is due
		must2(m.Reload(snapshot.Config{Database: args[0], Continuous: -1, Interval: -1}))
		time.Sleep(10 * time.Millisecond)
	}
	return <-wake
}

func must2(err error) {
	if err != nil {
		panic(err)
	}
}

// Lost: a good backup, marked failed because the disk did not answer.
func TestABackupThatCannotBeReadAgainStaysVerified(t *testing.T) {
	t.Parallel()
	b := newBench(t, "wal", func(c *snapshot.Config) { c.Continuous = -1 })
	e := b.manual()
	var failed atomic.Int64
	err := testdb.WithFaults(t, filepath.Dir(b.m.Database()), func(call testdb.Call) testdb.Fault {
		if call.Name == "pread64" && strings.HasPrefix(filepath.Base(call.Path), e.ID) {
			failed.Add(1)
			return testdb.Fault{Errno: syscall.EIO}
		}
		return testdb.Fault{}
	}, "prove again", b.m.Database()).Wait()
	if err != nil || failed.Load() == 0 {
		t.Fatalf("%v, after %d failed reads", err, failed.Load())
	}
	b.reopen()
	if now := b.find(e.ID); now.Verification.State != catalog.Verified || !now.Verification.At.Equal(*e.Verification.At) {
		t.Errorf("it is %+v", now.Verification)
	}
	page, _, err := b.m.Activity("", 10)
	must(t, err)
	for _, a := range page {
		if a.Action == "verify" && a.Outcome == "failed" && a.Code == "failed" && strings.Contains(a.Detail, "input/output") {
			return
		}
	}
	t.Errorf("not reported: %+v", page)
}
