package snapshot_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"example.com/snapd/integrity"
	"example.com/snapd/internal/samplecrm"
	"example.com/snapd/internal/testdb"
	"example.com/snapd/snapshot"
)

// maxResident is the promise: no operation's process is ever larger.
const maxResident = 128 << 20

func init() { children["memory"] = memoryChild }

// memoryOperations run each in a process of its own, in this order.
var memoryOperations = []struct {
	name string
	run  func(ctx context.Context, m *snapshot.Manager, id string) error
}{
	{"backup", func(ctx context.Context, m *snapshot.Manager, _ string) error {
		_, err := m.Backup(ctx, snapshot.Manual("large"))
		return err
	}},
	{"verify", func(ctx context.Context, m *snapshot.Manager, id string) error {
		_, err := m.Verify(ctx, id, integrity.LevelQuick)
		return err
	}},
	{"verify full", func(ctx context.Context, m *snapshot.Manager, id string) error {
		_, err := m.Verify(ctx, id, integrity.LevelFull)
		return err
	}},
	{"look inside", func(ctx context.Context, m *snapshot.Manager, id string) (err error) {
		db, err := m.OpenBackup(ctx, id)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, db.Close()) }()
		var n int
		return db.QueryRowContext(ctx, "SELECT count(*) FROM contacts").Scan(&n)
	}},
	{"restore to a file", func(ctx context.Context, m *snapshot.Manager, id string) error {
		_, err := m.Restore(ctx, id, snapshot.RestoreOptions{To: restoredFile(m.Database())})
		return err
	}},
	{"restore online", func(ctx context.Context, m *snapshot.Manager, id string) error {
		return restoreBy(ctx, m, id, snapshot.Online)
	}},
	{"restore offline", func(ctx context.Context, m *snapshot.Manager, id string) error {
		return restoreBy(ctx, m, id, snapshot.Swap)
	}},
}

func restoreBy(ctx context.Context, m *snapshot.Manager, id string, method snapshot.Method) error {
	res, err := m.Restore(ctx, id, snapshot.RestoreOptions{Offline: method == snapshot.Swap})
	if err == nil && res.Method != method {
		err = fmt.Errorf("restored by %s, not %s", res.Method, method)
	}
	return err
}

func restoredFile(db string) string { return filepath.Join(filepath.Dir(db), "restored.db") }

// memoryChild runs an operation and prints how large its process became.
// args: operation, database, backup.
func memoryChild(args []string) error {
	if !soaking() {
		runtime.GOMAXPROCS(2) // each worker has its buffers, and the limit is a small one
	}
	m, err := snapshot.Open(context.Background(), snapshot.Config{Database: args[1]})
	if err != nil {
		return err
	}
	base, err := peakResident()
	if err != nil {
		return err
	}
	for _, o := range memoryOperations {
		if o.name != args[0] {
			continue
		}
		start := time.Now()
		if err := o.run(context.Background(), m, args[2]); err != nil {
			return err
		}
		peak, err := peakResident()
		fmt.Printf("peak %d %d %d\n", peak, base, time.Since(start).Milliseconds())
		return err
	}
	return errors.New("no such operation")
}

// peakResident is VmHWM, in bytes: proc_pid_status(5).
func peakResident() (int64, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "VmHWM:" {
			kib, err := strconv.ParseInt(f[1], 10, 64)
			return kib << 10, err
		}
	}
	return 0, errors.New("no VmHWM in /proc/self/status")
}

// Lost if this fails: small machines. Memory has to stay bounded at any
// size of the database, past the lock-byte page at 1 GiB too, and what comes
// back has to be what went in, byte for byte.
func TestSoakMemoryAndRoundTripOfALargeDatabase(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("NOT TESTED: the peak of resident memory is read from /proc")
	}
	// A process that holds the whole image is larger than the database.
	bytes, limit, modes := int64(80<<20), int64(80<<20), []string{"wal"}
	if soaking() {
		bytes, limit, modes = 1150<<20, maxResident, []string{"wal", "delete"}
	}
	for _, mode := range modes {
		t.Run(mode, func(t *testing.T) {
			db := filepath.Join(t.TempDir(), "data.db")
			start := time.Now()
			must(t, samplecrm.Create(t.Context(), db, samplecrm.Options{Bytes: bytes, Seed: 1, JournalMode: mode}))
			t.Logf("%d MiB made in %v", bytes>>20, time.Since(start))
			want := testdb.FileHash(t, db)
			id := "none"
			for _, o := range memoryOperations {
				if o.name == "verify full" && !soaking() {
					continue // verify proves the same, but for integrity_check's own needs
				}
				if o.name == "restore online" {
					// Most pages differ, and the file is longer than the image.
					testdb.ShellQuery(t, db, "PRAGMA synchronous=off; UPDATE activities SET body = upper(body); CREATE TABLE grown AS SELECT * FROM notes")
				}
				c := testdb.Reexec(t, "memory", o.name, db, id)
				var peak, base, ms int64
				if _, err := fmt.Sscanf(c.WaitLine("peak "), "peak %d %d %d", &peak, &base, &ms); err != nil {
					t.Fatal(err)
				}
				must(t, c.Wait())
				t.Logf("%-18s peak %3d MiB (%d MiB at its start), %d ms", o.name, peak>>20, base>>20, ms)
				if peak > limit {
					t.Errorf("%s: the process grew to %d MiB, more than %d", o.name, peak>>20, limit>>20)
				}
				switch o.name {
				case "backup":
					b, err := openManager(t, db).Find("latest")
					must(t, err)
					id = b.ID
				case "restore to a file":
					if got := testdb.FileHash(t, restoredFile(db)); got != want {
						t.Error("the restored file differs from what was backed up")
					}
					must(t, os.Remove(restoredFile(db)))
				case "restore online":
					if got := testdb.ShellQuery(t, db, "PRAGMA quick_check"); got != "ok" {
						t.Errorf("after the online restore: %s", got)
					}
				case "restore offline":
					if got := testdb.FileHash(t, db); got != want {
						t.Error("the swapped file differs from what was backed up")
					}
				}
			}
		})
	}
}
