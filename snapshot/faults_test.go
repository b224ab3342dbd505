package snapshot_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
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
		{"EIO once", testdb.Fault{Errno: syscall.EIO}, false}, {"EIO for ever", testdb.Fault{Errno: syscall.EIO}, true},
		{"EACCES", testdb.Fault{Errno: syscall.EACCES}, false}, {"EINTR", testdb.Fault{Errno: syscall.EINTR}, false},
		{"short", testdb.Fault{Short: true}, false},
	}
	writeFaults = append([]fault{
		{"ENOSPC", testdb.Fault{Errno: syscall.ENOSPC}, false}, {"kill", testdb.Fault{Kill: true}, false},
	}, readFaults...)
)

// faultScenarios are those of the crash sweep, and operations that replace nothing.
func faultScenarios() []*scenario {
	return append(crashScenarios(),
		&scenario{name: "recover healthy", op: "recover", mode: "delete", sound: true},
		&scenario{name: "recover healthy in WAL mode", op: "recover", mode: "wal", sound: true},
		&scenario{name: "recover healthy with a WAL", op: "recover", mode: "wal", sound: true, damage: killedWriter},
		&scenario{name: "verify", op: "verify", mode: "wal"}, &scenario{name: "verify full", op: "verify full", mode: "wal"},
		&scenario{name: "drill", op: "drill", mode: "wal"}, &scenario{name: "rebuild", op: "rebuild", mode: "wal"},
	)
}

// A fault of the disk, whichever call it meets, costs no more than the operation: no sound
// database is replaced, and no good backup marked failed. Each 307th fault is made here, which
// meets other kinds of calls and faults each time around, and of operations with many calls
// mostFaults, spread evenly, and one at least at each kind of call; make sweep makes them all, in parts.
func TestFaults(t *testing.T) {
	const every, mostFaults = 307, 12
	part, sweeping := testdb.SweepPart(t)
	kinds := &callKinds{failed: map[string]bool{}}
	t.Cleanup(func() { kinds.check(t) })
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
			type point struct {
				call  int
				fault fault
			}
			var points []point
			for n, c := range calls {
				faults := writeFaults
				if c.Reads() {
					faults = readFaults
				}
				for _, f := range faults {
					points = append(points, point{n, f})
				}
			}
			step := max(every, len(points)/mostFaults)
			for step%len(readFaults) == 0 || step%len(writeFaults) == 0 {
				step++ // or it would be the same fault each time
			}
			meets := func(i int) bool { return (i+1)%step == 0 }
			if sweeping {
				meets = part.Has
			}
			met, refused := 0, 0
			for i, p := range points {
				if first := kinds.first(calls[p.call].Name); !first && !meets(i) {
					continue
				}
				met++
				if s.at(t, p.call, p.fault) != nil {
					refused++
				}
			}
			t.Logf("%d calls, %d of %d faults made, %d ended the operation with an error", len(calls), met, len(points), refused)
			if met == 0 {
				t.Error("no fault was made: the sweep proves nothing")
			}
		})
	}
}

// callKinds are the kinds of calls at which a scenario of the sweep made a fault.
type callKinds struct {
	mu     sync.Mutex
	failed map[string]bool // guarded by mu
}

// first reports whether no call of that kind failed before.
func (k *callKinds) first(call string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	before := k.failed[call]
	k.failed[call] = true
	return !before
}

// check fails where none failed of a kind that every sweep meets.
func (k *callKinds) check(t *testing.T) {
	if len(k.failed) == 0 {
		return // skipped
	}
	for _, call := range []string{"open", "newfstatat", "read", "pread64", "write", "pwrite64", "fsync", "ftruncate", "rename", "unlink", "symlink"} {
		if !k.failed[call] {
			t.Errorf("no %s failed: the sweep does not show what becomes of it", call)
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
	} {
		t.Run(c.scenario, func(t *testing.T) {
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
	now := dbFiles(t, db)
	switch {
	case !s.replaces():
		if !maps.Equal(now, s.before) {
			t.Errorf("%s: the database changed", where)
		}
	case s.op == "restore online":
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
