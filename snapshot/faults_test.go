package snapshot_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"example.com/snapd/catalog"
	"example.com/snapd/integrity"
	"example.com/snapd/internal/testdb"
	"example.com/snapd/snapshot"
)

func init() {
	children["faults"] = faultsChild
	operations["verify"] = func(ctx context.Context, m *snapshot.Manager) error {
		_, err := m.Verify(ctx, "latest", integrity.LevelQuick)
		return err
	}
	operations["verify full"] = func(ctx context.Context, m *snapshot.Manager) error {
		_, err := m.Verify(ctx, "latest", integrity.LevelFull)
		return err
	}
	operations["drill"] = func(ctx context.Context, m *snapshot.Manager) error {
		_, err := m.Drill(ctx, "latest")
		return err
	}
	operations["rebuild"] = func(ctx context.Context, m *snapshot.Manager) error {
		_, err := m.Rebuild(ctx)
		return err
	}
}

// faultsChild runs an operation whose file calls the test decides about. args: operation, database.
func faultsChild(args []string) error {
	if err := testdb.HandOverCalls(); err != nil {
		return err
	}
	m, err := snapshot.Open(context.Background(), snapshot.Config{Database: args[1]})
	if err != nil {
		return err
	}
	if err = operations[args[0]](context.Background(), m); errors.Is(err, snapshot.ErrCorrupt) {
		return fmt.Errorf("%s: %w", saysCorrupt, err)
	}
	return err
}

const saysCorrupt = "the verdict is damage"

// fault is what goes wrong at one call of an operation, or from it on.
type fault struct {
	name string
	testdb.Fault
	stays bool // every later such call on the file fails as well
}

var (
	readFaults = []fault{
		{"EIO once", testdb.Fault{Errno: syscall.EIO}, false}, {"EACCES", testdb.Fault{Errno: syscall.EACCES}, false},
		{"EINTR", testdb.Fault{Errno: syscall.EINTR}, false}, {"short", testdb.Fault{Short: true}, false},
		{"EIO for ever", testdb.Fault{Errno: syscall.EIO}, true},
	}
	writeFaults = append(slices.Clip(readFaults), fault{"ENOSPC", testdb.Fault{Errno: syscall.ENOSPC}, false}, fault{"kill", testdb.Fault{Kill: true}, false})
)

// faultScenarios are those of the crash sweep, and operations that replace nothing.
func faultScenarios() []*scenario {
	return append(crashScenarios(),
		&scenario{name: "recover healthy", op: "recover", mode: "delete", sound: true},
		&scenario{name: "recover healthy in WAL mode", op: "recover", mode: "wal", sound: true},
		&scenario{name: "recover healthy with a WAL", op: "recover", mode: "wal", sound: true, damage: killedWriter},
		&scenario{name: "recover to a point", op: "recover", mode: "wal", point: true, damage: ruin},
		&scenario{name: "verify", op: "verify", mode: "wal"}, &scenario{name: "verify full", op: "verify full", mode: "wal"},
		&scenario{name: "drill", op: "drill", mode: "wal"}, &scenario{name: "rebuild", op: "rebuild", mode: "wal"},
	)
}

// A fault of the disk, whichever call it meets, costs no more than the operation: no sound
// database is replaced, and no good backup marked failed. Made here are the worst fault at each class
// of calls, another one at each that changes something, and of each operation fewFaults more, spread
// evenly; make sweep makes them all, in parts.
func TestFaults(t *testing.T) {
	const fewFaults = 2
	part, sweeping := testdb.SweepPart(t)
	classes := &callClasses{met: map[string]int{}}
	t.Cleanup(func() { classes.check(t) })
	for _, s := range faultScenarios() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			s.prepare(t)
			var calls []testdb.Call
			if err := s.withFault(t, s.copy(t), func(n int, c testdb.Call) testdb.Fault {
				calls = append(calls, c)
				return testdb.Fault{}
			}); err != nil && s.damage == nil {
				t.Fatalf("without a fault: %v", err)
			}
			points, met, refused := 0, 0, 0
			meet := func(n int, f fault) {
				met++
				if s.at(t, n, f) != nil {
					refused++
				}
			}
			for n, c := range calls {
				if f, ok := classes.next(c); ok {
					meet(n, f)
				}
				for i, f := range faultsOf(c) {
					every := len(calls) / fewFaults // with another fault each time
					if points++; sweeping && part.Has(points) || !sweeping && n%every == every-1 && n/every%len(faultsOf(c)) == i {
						meet(n, f)
					}
				}
			}
			t.Logf("%d calls, %d of %d faults made, %d ended the operation with an error", len(calls), met, points, refused)
			if met == 0 || met < fewFaults && !sweeping {
				t.Errorf("only %d faults were made: the sweep proves nothing", met)
			}
		})
	}
}

// faultsOf are those that a call can have, the worst one last.
func faultsOf(c testdb.Call) []fault {
	if c.Reads() {
		return readFaults
	}
	return writeFaults
}

// callClasses are the classes of calls at which some scenario of the sweep made faults. A class is a
// kind of call on a kind of file: the rename of a catalog, say.
type callClasses struct {
	mu  sync.Mutex
	met map[string]int // class → faults; guarded by mu
}

// ownPart matches what a name of a file has of its own, and what SQLite adds to that of a temporary one.
var ownPart = regexp.MustCompile(`-[0-9a-f]{16}(-wal|-shm|-journal)?|_[0-9]{8}_[0-9]{6}(_[0-9]+)?`)

// next returns a fault for c where its class has had too few: the worst one, then another.
func (k *callClasses) next(c testdb.Call) (f fault, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	class := c.Name
	if strings.HasSuffix(class, "stat") || strings.HasSuffix(class, "statat") {
		class = "stat" // whichever of them asks
	}
	class += " " + ownPart.ReplaceAllString(filepath.Base(c.Path), "")
	k.met[class]++
	all := faultsOf(c)
	switch met := k.met[class]; {
	case met == 1:
		return all[len(all)-1], true
	case met == 2 && !c.Reads():
		return all[len(k.met)%(len(all)-1)], true
	}
	return fault{}, false
}

// check fails where there was none at a class that every sweep meets.
func (k *callClasses) check(t *testing.T) {
	if len(k.met) == 0 {
		return // skipped
	}
	for _, class := range []string{"open catalog.json", "stat data.db", "read catalog.json", "pread64 data_backup_AUTO.db.zst", "write activity.jsonl",
		"pwrite64 .snapd-tmp-catalog.json", "fsync backups", "fsync data.db", "ftruncate data.db", "rename data.db", "rename .data.db.snapd-restore",
		"unlink .data.db.snapd-restore", "unlink data_backup_AUTO.db.zst", "symlink .snapd-tmp-data_latest.db.zst-link"} {
		if k.met[class] == 0 {
			t.Errorf("no %s failed: the sweep does not show what becomes of it", class)
		}
	}
}

// Faults that once cost what was good: all such calls of the operation on the file fail.
func TestFaultsThatCost(t *testing.T) {
	for _, c := range []struct {
		scenario, calls, file string
	}{
		{"restore offline with a WAL", "pwrite64 rename", "data.db"}, // the checkpoint of a log that was then removed
		{"rebuild", "pread64", "data_backup_AUTO*"},                  // an archive, which was marked failed
		{"verify", "open", "data_backup_AUTO*"}, {"verify", "pread64", "data_backup_AUTO*"}, {"verify full", "pread64", "data_backup_AUTO*"},
		{"drill", "open", "data_backup_AUTO*"}, {"drill", "pread64", "data_backup_AUTO*"},
	} {
		t.Run(c.scenario+" "+c.calls, func(t *testing.T) {
			t.Parallel()
			all := faultScenarios()
			s := all[slices.IndexFunc(all, func(s *scenario) bool { return s.name == c.scenario })]
			s.prepare(t)
			s.survives(t, c.scenario, func(_ int, call testdb.Call) testdb.Fault {
				if is, _ := filepath.Match(c.file, filepath.Base(call.Path)); is && strings.Contains(c.calls, call.Name) {
					return testdb.Fault{Errno: syscall.EIO}
				}
				return testdb.Fault{}
			})
		})
	}
}

// Lost: the commits since the newest backup, where the change log, or the backup that it is read over, could not be read any more
// at some moment. From each opening of such a file on every call on it fails.
func TestFaultsOfPointsCostNoPoint(t *testing.T) {
	all := faultScenarios()
	s := all[slices.IndexFunc(all, func(s *scenario) bool { return s.name == "recover to a point" })]
	s.prepare(t)
	const fewest = 8
	for from := 0; ; from++ {
		opened, failing := 0, ""
		s.survives(t, fmt.Sprintf("EIO from the opening %d on", from), func(_ int, c testdb.Call) testdb.Fault {
			name := filepath.Base(c.Path)
			if c.Name == "open" && (strings.Contains(name, ".chg") || strings.Contains(name, "_AUTO_")) {
				if opened == from {
					failing = c.Path
				}
				opened++
			}
			if failing == c.Path && c.Reads() {
				return testdb.Fault{Errno: syscall.EIO}
			}
			return testdb.Fault{}
		})
		if failing == "" && from < fewest {
			t.Errorf("only %d openings: the test proves nothing", from)
		}
		if failing == "" {
			return
		}
	}
}

// at meets the operation with fault f at its n-th call. It returns the error that the
// operation ended with.
func (s *scenario) at(t *testing.T, n int, f fault) error {
	t.Helper()
	var failed testdb.Call
	return s.survives(t, fmt.Sprintf("%s at call %d", f.name, n), func(at int, c testdb.Call) testdb.Fault {
		if at == n {
			failed = c
		}
		if at == n || f.stays && at > n && c.Path == failed.Path && c.Reads() == failed.Reads() {
			return f.Fault
		}
		return testdb.Fault{}
	})
}

// survives runs the operation with the faults of decide, and checks all that must hold
// afterwards. It returns the error that the operation ended with.
func (s *scenario) survives(t *testing.T, what string, decide func(n int, c testdb.Call) testdb.Fault) error {
	t.Helper()
	db, remove := s.copyFor(t)
	defer remove()
	dir := filepath.Dir(db)
	var met []string
	err := s.withFault(t, db, func(n int, c testdb.Call) testdb.Fault {
		f := decide(n, c)
		if f != (testdb.Fault{}) {
			met = append(met, fmt.Sprintf("%s of %s at %d", c.Name, strings.TrimPrefix(c.Path, dir), c.Offset))
		}
		return f
	})
	where := fmt.Sprintf("%s, %q (the operation: %v)", what, met[:min(len(met), 3)], err)
	if s.damage == nil && err != nil && strings.Contains(err.Error(), saysCorrupt) {
		t.Errorf("%s: a fault is called damage", where)
	}
	testdb.Damaged(t, db) // it is checked here
	m, oerr := snapshot.Open(t.Context(), snapshot.Config{Database: db})
	if oerr != nil {
		t.Errorf("%s: the next start: %v", where, oerr)
		return err
	}
	if _, err := os.Lstat(intentOf(db)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s: the intent is still there after the next start: %v", where, err)
	}
	now := dbFiles(t, db)
	switch {
	case !s.replaces():
		if !maps.Equal(now, s.before) {
			t.Errorf("%s: the database changed", where)
		}
	case strings.HasSuffix(s.op, "online"):
		s.onlineOutcome(t, db, where)
	default:
		s.swapOutcome(t, m, db, now, where)
	}
	s.checkCatalog(t, m, where)
	all, lerr := m.Backups()
	must(t, lerr)
	for _, b := range all {
		if b.Verification.State == catalog.Failed {
			t.Errorf("%s: the backup %s is marked failed: %s", where, b.ID, b.Verification.Detail)
		}
	}
	return err
}

// withFault runs the operation on db in another process. decide gets the calls with their numbers.
func (s *scenario) withFault(t *testing.T, db string, decide func(n int, c testdb.Call) testdb.Fault) error {
	t.Helper()
	var turn sync.Mutex
	n := -1
	return testdb.WithFaults(t, filepath.Dir(db), func(c testdb.Call) testdb.Fault {
		turn.Lock()
		defer turn.Unlock()
		n++
		return decide(n, c)
	}, "faults", s.op, db).Wait()
}
