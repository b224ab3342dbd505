package snapshot_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/integrity"
	"example.com/snapd/internal/samplecrm"
	"example.com/snapd/internal/testdb"
	"example.com/snapd/snapshot"
)

// soaking asks for the full counts and sizes: minutes instead of seconds.
func soaking() bool { return os.Getenv("SNAPD_SOAK") != "" }

// soakCount is how many backups to take.
func soakCount(full, reduced int) int {
	if soaking() {
		return full
	}
	return reduced
}

func init() { children["backups"] = backupsChild }

// backupsChild takes backups concurrently with others. args: database, number.
func backupsChild(args []string) error {
	n, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	m, err := snapshot.Open(context.Background(), snapshot.Config{Database: args[0], LockWait: time.Minute})
	if err != nil {
		return err
	}
	fmt.Println("ready")
	for range n {
		if _, err := m.Backup(context.Background(), snapshot.Manual("from the child")); err != nil {
			return err
		}
	}
	return nil
}

// soakDatabase makes a sample database of 2 MiB, and writers on it.
func soakDatabase(t *testing.T, mode string) (db string, writers []*testdb.Writer) {
	t.Helper()
	db = filepath.Join(t.TempDir(), "data.db")
	testdb.MakeCRM(t, db, samplecrm.Options{Bytes: 2 << 20, Seed: 1, JournalMode: mode})
	testdb.CheckAtEnd(t, db)
	o := testdb.WriterOptions{Pause: 2 * time.Millisecond}
	if mode != "wal" {
		o.JournalMode = mode
	}
	writers = []*testdb.Writer{o.StartShell(t, db), o.StartPython(t, db)}
	for _, w := range writers {
		w.WaitCommits(1)
	}
	return db, writers
}

func reported(writers []*testdb.Writer) (commits int64) {
	for _, w := range writers {
		commits += w.Commits()
	}
	return commits
}

// checkImage unpacks an archive with the stock tool and has the C library's
// shell judge it; it returns how many transfers the image has.
func checkImage(t *testing.T, archive string, sum int64) (transfers int64) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image.db")
	unzstd(t, archive, path)
	testdb.ShellIntegrity(t, path)
	transfers, got := testdb.Ledger(t, path)
	if got != sum {
		t.Errorf("%s: the balances add up to %d, not %d", archive, got, sum)
	}
	command(t, "rm", "-f", path, path+"-wal", path+"-shm")
	return transfers
}

// Lost if this fails: the backup itself. While other programs commit transfers,
// each image must be one committed state, hold everything that was acknowledged
// before it was begun, and be whole to SQLite's own library.
func TestSoakBackupsDuringWrites(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"wal", "delete", "truncate", "persist"} {
		count := soakCount(50, 5)
		if mode == "wal" {
			count = soakCount(200, 15)
		}
		t.Run(mode, func(t *testing.T) {
			sum, opening := int64(samplecrm.ExpectedSum), int64(0)
			db, writers := soakDatabase(t, mode)
			m := openManager(t, db)
			began, slowest := time.Now(), time.Duration(0)
			different := map[int64]bool{}
			for i := range count {
				acknowledged := reported(writers)
				start := time.Now()
				b := mustBackup(t, m)
				slowest = max(slowest, time.Since(start))
				transfers := checkImage(t, m.ArchivePath(b), sum)
				if i == 0 {
					// The sample came with some: no more than were there before the writers.
					opening = openingTransfers(t)
				}
				if transfers < opening+acknowledged {
					t.Errorf("%s has %d transfers; %d were there and %d acknowledged before it began", b.ID, transfers, opening, acknowledged)
				}
				different[transfers] = true
				if t.Failed() {
					return
				}
			}
			took := time.Since(began)
			for _, w := range writers {
				r := w.Stop()
				t.Logf("writer: %d commits, longest %v", r.Commits, r.LongestWait)
				for _, e := range r.Errors {
					t.Errorf("writer: %s", e)
				}
				// The two wait for each other; that they never wait for a backup is
				// what TestSoakWALWriterMeetsNoLock proves.
				if r.LongestWait > 10*time.Second {
					t.Errorf("a writer waited for %v", r.LongestWait)
				}
			}
			t.Logf("%d backups in %v, slowest %v, %d different states", count, took, slowest, len(different))
			if len(different) < count/2 {
				t.Errorf("%d different states in %d backups: the writers stand still, nothing is proven", len(different), count)
			}
			all, err := m.Backups()
			must(t, err)
			for _, b := range all {
				if b.Verification.State != catalog.Verified {
					t.Errorf("%s is %+v", b.ID, b.Verification)
				}
			}
			if len(all) != count {
				t.Errorf("%d entries after %d backups", len(all), count)
			}
			if _, err := m.Verify(t.Context(), "latest", integrity.LevelFull); err != nil {
				t.Error(err)
			}
			noDebris(t, db, "after the backups")
		})
	}
}

// openingTransfers is how many transfers the sample of soakDatabase comes with.
func openingTransfers(t *testing.T) int64 {
	t.Helper()
	db := filepath.Join(t.TempDir(), "fresh.db")
	testdb.MakeCRM(t, db, samplecrm.Options{Bytes: 2 << 20, Seed: 1, JournalMode: "delete"})
	transfers, _ := testdb.Ledger(t, db)
	return transfers
}

// Lost: "writers in WAL mode never wait". The writer here ends at the first lock
// it meets, however short, while backups, checks and verifications go on.
func TestSoakWALWriterMeetsNoLock(t *testing.T) {
	t.Parallel()
	m, db := newLive(t, "wal", snapshot.Config{})
	w := startLogger(t, db, "0")
	w.wait(5)
	for range soakCount(100, 12) {
		b := mustBackup(t, m)
		_, err := m.Check(t.Context(), integrity.LevelFull)
		must(t, err)
		_, err = m.Status(t.Context())
		must(t, err)
		_, err = m.Verify(t.Context(), b.ID, integrity.LevelQuick)
		must(t, err)
		w.wait(1)
	}
	last := w.stop()
	t.Logf("%d commits without a lock met, longest took %v", last, w.longest)
}

// Lost: good backups to retention, while the database is being written.
func TestSoakPruneDuringWrites(t *testing.T) {
	t.Parallel()
	db, writers := soakDatabase(t, "wal")
	m, err := snapshot.Open(t.Context(), snapshot.Config{Database: db, Retention: snapshot.Policy{Last: 3}})
	must(t, err)
	kept := mustBackup(t, m)
	var made []string
	for i := range soakCount(40, 8) {
		writers[1].WaitCommits(1)
		b, err := m.Backup(t.Context(), snapshot.Auto(catalog.TriggerSchedule))
		must(t, err)
		made = append(made, b.ID)
		if i%4 == 3 {
			_, err := m.Prune(t.Context(), &snapshot.Policy{Last: 2})
			must(t, err)
		}
		latest, err := m.Find("latest")
		must(t, err)
		if latest.ID != made[len(made)-1] {
			t.Errorf("latest is %s after %s was made", latest.ID, b.ID)
		}
	}
	all, err := m.Backups()
	must(t, err)
	if len(all) > 4 || all[len(all)-1].ID != kept.ID || all[0].ID != made[len(made)-1] {
		t.Errorf("left: %d backups, oldest %s, newest %s", len(all), all[len(all)-1].ID, all[0].ID)
	}
	for _, b := range all {
		checkImage(t, m.ArchivePath(b), samplecrm.ExpectedSum)
	}
	if files, _ := filepath.Glob(filepath.Join(m.Dir(), "*_backup_*")); len(files) != len(all) {
		t.Errorf("%d archives, %d entries", len(files), len(all))
	}
}

// Lost: backups of one process, or the catalog itself, when cron's backup and
// the service work on one directory at the same time.
func TestSoakTwoProcessesBackUpAtOnce(t *testing.T) {
	t.Parallel()
	db, writers := soakDatabase(t, "wal")
	each := soakCount(40, 8)
	c := testdb.Reexec(t, "backups", db, strconv.Itoa(each))
	c.WaitLine("ready")
	m, err := snapshot.Open(t.Context(), snapshot.Config{Database: db, LockWait: time.Minute})
	must(t, err)
	for range each {
		mustBackup(t, m)
	}
	must(t, c.Wait())
	writers[0].WaitCommits(1)
	all, err := openManager(t, db).Backups()
	must(t, err)
	seen := map[uint64]bool{}
	for i, b := range all {
		if seen[b.Seq] || b.Verification.State != catalog.Verified {
			t.Errorf("%s: number %d twice: %v, %+v", b.ID, b.Seq, seen[b.Seq], b.Verification)
		}
		seen[b.Seq] = true
		if i%4 == 0 {
			checkImage(t, m.ArchivePath(b), samplecrm.ExpectedSum)
		}
	}
	if len(all) != 2*each {
		t.Errorf("%d entries after twice %d backups", len(all), each)
	}
	if to, err := os.Readlink(filepath.Join(m.Dir(), "data_latest.db.zst")); err != nil || to != all[0].File {
		t.Errorf("the link points to %q (%v), the newest is %s", to, err, all[0].File)
	}
	noDebris(t, db, "after two processes' backups")
}
