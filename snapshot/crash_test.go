package snapshot_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/integrity"
	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/testdb"
	"example.com/snapd/snapshot"
)

// durablePoints are the operations that can be killed before every step that changes
// files. The others name their crash points themselves, and have TestPowerLoss.
var durablePoints = []string{"backup", "prune", "delete", "automatic", "accept"}

func init() { children["crash"] = crashChild }

// noCrash is a crash point that no operation reaches.
const noCrash = "0"

// crashChild runs an operation and stops for good at a crash point, which is
// given by its number or by its name; with noCrash it prints those that it passes.
// args: operation, database, point.
func crashChild(args []string) error {
	reached := 0
	reach := func(name string) {
		if args[2] == noCrash {
			fmt.Println("passed " + name)
		}
		if reached++; strconv.Itoa(reached) == args[2] || name == args[2] {
			fmt.Println("at " + name)
			for {
				time.Sleep(time.Hour) // until it is killed
			}
		}
	}
	if slices.Contains(durablePoints, args[0]) {
		durable.Observe(&durable.Observer{Before: func(s durable.Step, path string) { reach(string(s) + " " + filepath.Base(path)) }})
	} else {
		snapshot.SetCrashPoint(reach)
	}
	m, err := snapshot.Open(context.Background(), snapshot.Config{Database: args[1]})
	if err == nil {
		err = operations[args[0]](context.Background(), m)
	}
	fmt.Println("ended")
	return err
}

// crashAt runs op on db in another process and kills it at a point, its number
// or name; the answer is its name, "" when the operation ended before.
func crashAt(t *testing.T, op, db string, at any) (point string) {
	t.Helper()
	c := testdb.Reexec(t, "crash", op, db, fmt.Sprint(at))
	line := c.WaitLine("")
	if line == "ended" {
		if err := c.Wait(); err != nil {
			t.Fatalf("%s ended with: %v", op, err)
		}
		return ""
	}
	c.Kill()
	return strings.TrimPrefix(line, "at ")
}

// crashPoints runs op on db in another process to its end, and returns the names of the crash points on the way.
func crashPoints(t *testing.T, op, db string) (names []string) {
	t.Helper()
	c := testdb.Reexec(t, "crash", op, db, noCrash)
	lines := c.Lines()
	if err := c.Wait(); err != nil {
		t.Fatalf("%s ended with: %v", op, err)
	}
	for _, line := range lines {
		if name, ok := strings.CutPrefix(line, "passed "); ok {
			names = append(names, name)
		}
	}
	return names
}

// sweeps says how many crash points the operation of a scenario passes at least. A
// sweep that meets fewer proves less than it should.
var sweeps = map[string]int{
	"automatic": 12, "accept": 3, "backup": 12, "backup of what changed": 12, "backup rollback mode": 12, "prune": 10, "delete": 12,
	"restore online": 7, "restore online rollback mode": 7, "restore online after a crash of the application": 7,
	"restore offline": 10, "restore offline with a WAL": 11, "restore offline with a hot journal": 11,
	"restore point online": 7, "restore point online rollback mode": 7, "restore point offline": 10,
	"recover corrupt": 7, "recover corrupt with a WAL": 10, "recover by a repair": 7, "recover by a repair of the log": 9,
	"restore offline onto a mount point": 12, "restore offline onto a mount point with a WAL": 12, "recover a corrupt mount point": 9,
	"recover missing": 5, "recover missing with an orphan WAL": 8,
}

// swept returns the numbers of the crash points, counted from 1, at which the sweep kills the operation.
// It fails the test where the operation passes fewer points than it should.
func (s *scenario) swept(t *testing.T, sample *testdb.Sample, points []string) (chosen []int) {
	t.Helper()
	kinds := make([]string, len(points))
	for i, name := range points {
		kinds[i] = s.op + " " + ownPart.ReplaceAllString(name, "")
	}
	for _, i := range sample.Choose(t.Name(), kinds) {
		chosen = append(chosen, i+1)
	}
	t.Logf("%d points, killed at %d of them: %v", len(points), len(chosen), chosen)
	if want := sweeps[s.name]; len(points) < want || want == 0 {
		t.Errorf("the operation passes %d points, want %d at least", len(points), want)
	}
	return chosen
}

// outcomes counts, for each operation that replaces the database, how often a killed one left the old
// database and how often the new one.
type outcomes struct {
	mu         sync.Mutex
	olds, news map[string]int // guarded by mu
}

func (o *outcomes) note(op string, isNew bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if isNew {
		o.news[op]++
	} else {
		o.olds[op]++
	}
}

// check fails the test where the points of an operation are not on both sides of its effect.
func (o *outcomes) check(t *testing.T) {
	for _, op := range slices.Sorted(maps.Keys(o.news)) {
		if o.olds[op] == 0 || o.news[op] == 0 {
			t.Errorf("%s: %d outcomes were old and %d new: the points are not on both sides", op, o.olds[op], o.news[op])
		}
	}
}

// Lost if this fails: the promise that at every instant at which the process can die,
// the database is the old one or the new one, and the next start finds its way. Each operation
// is killed at every kind of point that it passes, and each scenario at one in six of the others;
// make sweep kills every scenario at every point.
func TestKilledAtEveryPoint(t *testing.T) {
	sample := testdb.NewSample(6)
	killed := &outcomes{olds: map[string]int{}, news: map[string]int{}}
	t.Cleanup(func() { killed.check(t) })
	for _, s := range crashScenarios() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			s.prepare(t)
			db := s.copy(t)
			points := crashPoints(t, s.op, db)
			if isNew := s.finish(t, db, "not killed"); isNew != s.replaces() {
				t.Errorf("not killed, and the database is the new one: %v", isNew)
			}
			for _, n := range s.swept(t, sample, points) {
				db := s.copy(t)
				isNew := s.finish(t, db, fmt.Sprintf("killed at point %d, %q", n, crashAt(t, s.op, db, n)))
				if s.replaces() {
					killed.note(s.op, isNew)
				}
				if t.Failed() {
					return
				}
			}
		})
	}
}

// Lost: a second power cut, while the first one's half-done swap is being
// finished, must not do what the first one could not.
func TestKilledTwice(t *testing.T) {
	sample := testdb.NewSample(6)
	for _, s := range crashScenarios() {
		if !strings.Contains(s.name, "with a") {
			continue // without sidecars there is little to do
		}
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			s.prepare(t)
			once := func() (db string) {
				db = s.copy(t)
				if got := crashAt(t, s.op, db, "intent written"); got != "intent written" {
					t.Fatalf("%s never reaches the point: %q", s.op, got)
				}
				return db
			}
			db := once()
			points := crashPoints(t, "open", db)
			s.finish(t, db, "killed once")
			if len(points) < 2 {
				t.Errorf("%d points of finishing it, at least 2", len(points))
			}
			for _, i := range sample.Choose(t.Name(), points) {
				db := once()
				point := crashAt(t, "open", db, i+1)
				s.finish(t, db, fmt.Sprintf("killed with the intent written, then at point %d of finishing it, %q", i+1, point))
				if t.Failed() {
					return
				}
			}
		})
	}
}

// replaces reports whether the operation puts another database in place.
func (s *scenario) replaces() bool {
	return s.op == "recover" && !s.sound || strings.HasPrefix(s.op, "restore")
}

// finish opens a Manager as the next start would and checks all that must hold.
// It returns whether the operation had its effect on the database.
func (s *scenario) finish(t *testing.T, db, where string) (isNew bool) {
	t.Helper()
	t.Logf("%s", where)
	testdb.Damaged(t, db) // it is checked here
	m := openManager(t, db)
	if _, err := os.Lstat(intentOf(db)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s: the intent is still there after Open: %v", where, err)
	}
	now := dbFiles(t, db)
	switch {
	case !s.replaces():
		if !maps.Equal(now, s.before) {
			t.Errorf("%s: the database changed", where)
		}
	case strings.HasSuffix(s.op, "online"):
		isNew = s.onlineOutcome(t, db, where)
	default:
		isNew = s.swapOutcome(t, m, db, now, where)
	}
	s.checkCatalog(t, m, where)
	s.goOn(t, m, db, where)
	if isNew && strings.HasPrefix(s.op, "restore point") {
		if state, err := m.State(); err != nil || state.Timeline == nil || state.Timeline.Point != scenarioPoint || state.Timeline.From != s.ids[0] {
			t.Errorf("%s: the timeline is %+v, %v", where, state.Timeline, err)
		}
	}
	s.checkOperations(t, m, isNew, where)
	return isNew
}

// checkOperations wants an end of every operation in the log, and of a restore that was
// killed the right one.
func (s *scenario) checkOperations(t *testing.T, m *snapshot.Manager, isNew bool, where string) {
	t.Helper()
	ops, err := m.Operations([]snapshot.Operation{snapshot.OpBackup, snapshot.OpRestore, snapshot.OpRecover, snapshot.OpPrune, snapshot.OpDelete, snapshot.OpVerify}, 99)
	must(t, err)
	if len(ops) == 0 {
		t.Errorf("%s: the log has no operations", where)
	}
	for _, op := range ops {
		if op.Ended.IsZero() {
			t.Errorf("%s: this operation has no end: %+v", where, op)
		}
		if op.Kind == string(snapshot.OpRestore) && (op.Outcome == "done") != isNew {
			t.Errorf("%s: the restore is recorded as %s %s, restored: %v", where, op.Outcome, op.Code, isNew)
		}
	}
}

func intentOf(db string) string {
	return filepath.Join(filepath.Dir(db), "."+filepath.Base(db)+".snapd-restore")
}

// contents is a database's dump; reading it, the shell may roll back and
// checkpoint, and so it gets a copy.
func contents(t *testing.T, db string) string {
	t.Helper()
	copied := filepath.Join(t.TempDir(), "copy")
	command(t, "cp", "-a", filepath.Dir(db), copied)
	testdb.ShellIntegrity(t, filepath.Join(copied, "data.db"))
	return dump(t, filepath.Join(copied, "data.db"))
}

// onlineOutcome compares contents: SQLite itself may have to roll back first.
func (s *scenario) onlineOutcome(t *testing.T, db, where string) (isNew bool) {
	t.Helper()
	switch contents(t, db) {
	case s.live:
		return false
	case s.restored:
		return true
	}
	t.Errorf("%s: the database is neither the old one nor the restored one", where)
	return false
}

// swapOutcome compares bytes: a swap leaves the old files untouched, or puts
// the image there and no sidecar next to it.
func (s *scenario) swapOutcome(t *testing.T, m *snapshot.Manager, db string, now map[string]string, where string) (isNew bool) {
	t.Helper()
	want := s.newest
	if s.op != "recover" {
		want = s.manual
	}
	isNew = maps.Equal(now, map[string]string{"": want})
	if !isNew && !maps.Equal(now, s.before) && (s.op == "recover" || contents(t, db) != s.live) {
		t.Errorf("%s: the database is neither the old one nor the restored one: %v, was %v, restored %v", where, now, s.before, want)
	}
	kept, err := filepath.Glob(filepath.Join(m.Dir(), "corrupted_*"))
	must(t, err)
	if s.op != "recover" || !isNew || len(s.before) == 0 {
		if len(kept) > 0 {
			t.Errorf("%s: quarantine without a cause: %q", where, kept)
		}
		return isNew
	}
	s.checkQuarantine(t, kept, where)
	return isNew
}

// checkQuarantine wants one quarantine, whole, with its report.
func (s *scenario) checkQuarantine(t *testing.T, kept []string, where string) {
	t.Helper()
	stem := ""
	for _, name := range kept {
		if at := strings.TrimSuffix(name, ".json"); at != name {
			stem = at
		}
	}
	var report snapshot.Report
	if raw, err := os.ReadFile(stem + ".json"); err != nil || json.Unmarshal(raw, &report) != nil || report.Verdict == "" {
		t.Errorf("%s: the quarantine's report is missing or unreadable among %q: %v", where, kept, err)
	}
	if got := dbFiles(t, stem+".db"); !maps.Equal(got, s.before) {
		t.Errorf("%s: the quarantine holds %v, the database was %v", where, got, s.before)
	}
	if len(kept) != len(s.before)+1 {
		t.Errorf("%s: quarantined: %q", where, kept)
	}
	for _, name := range kept {
		if st, err := os.Stat(name); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %s: %v, %v, want mode 0600", where, name, st.Mode(), err)
		}
	}
}

// checkCatalog wants entries and archives to agree, no good backup lost that
// was not to be removed, and the link on the newest verified one.
func (s *scenario) checkCatalog(t *testing.T, m *snapshot.Manager, where string) {
	t.Helper()
	all, err := m.Backups()
	must(t, err)
	listed := map[string]bool{}
	for _, b := range all {
		listed[b.ID] = true
		if st, err := os.Stat(m.ArchivePath(b)); err != nil || st.Size() != b.ArchiveBytes {
			t.Errorf("%s: %s is listed with %d bytes: %v", where, b.ID, b.ArchiveBytes, err)
		}
	}
	files, err := filepath.Glob(filepath.Join(m.Dir(), "*_backup_*.db.zst"))
	must(t, err)
	if len(files) != len(all) {
		t.Errorf("%s: %d archives, %d entries", where, len(files), len(all))
	}
	for i, id := range s.ids {
		goes := s.op == "prune" && i == 1 || s.op == "prune" && i == 3 || s.op == "delete" && (i == 0 || i == 2)
		if !listed[id] && !goes {
			t.Errorf("%s: the backup %s is lost", where, id)
		}
	}
	if s.op == "rebuild" {
		return // nothing is verified then
	}
	latest, err := m.Find("latest")
	must(t, err)
	link := filepath.Join(m.Dir(), "data_latest.db.zst")
	if to, err := os.Readlink(link); (err != nil || to != latest.File) && !sameFile(link, m.ArchivePath(latest)) {
		t.Errorf("%s: the link points to %q (%v), the newest verified backup is %s", where, to, err, latest.File)
	}
}

// sameFile reports whether a link that is not symbolic leads to the archive.
func sameFile(link, archive string) bool {
	a, aerr := os.Lstat(link)
	b, berr := os.Lstat(archive)
	return aerr == nil && berr == nil && os.SameFile(a, b)
}

// goOn makes the next operations of a program that starts, and checks that
// they work, that no debris is left and that every backup is good.
func (s *scenario) goOn(t *testing.T, m *snapshot.Manager, db, where string) {
	t.Helper()
	rec, err := m.Recover(t.Context())
	if err != nil {
		t.Errorf("%s: recover: %v", where, err)
		return
	}
	if rec.Action == snapshot.ActionRestored && s.op != "recover" {
		t.Errorf("%s: the next start found a reason to restore: %+v", where, rec.Report)
	}
	b, err := m.Backup(t.Context(), snapshot.Manual("after a crash"))
	if err != nil || b.Verification.State != catalog.Verified {
		t.Errorf("%s: next backup: %v %+v", where, err, b.Verification)
	}
	all, err := m.Backups()
	must(t, err)
	for _, b := range all {
		if slices.Contains(s.ids, b.ID) {
			continue // no operation here writes to an archive that exists
		}
		if b, err := m.Verify(t.Context(), b.ID, integrity.LevelQuick); err != nil {
			t.Errorf("%s: verify %s: %v", where, b.ID, err)
		}
	}
	noDebris(t, db, where)
	testdb.Ledger(t, db)
}

// noDebris fails the test where temp files or an intent are left.
func noDebris(t testing.TB, db, where string) {
	t.Helper()
	dir := filepath.Dir(db)
	for _, pattern := range []string{durable.TempPrefix + "*", filepath.Join("backups", durable.TempPrefix+"*"), ".*.snapd-restore"} {
		left, err := filepath.Glob(filepath.Join(dir, pattern))
		must(t, err)
		if len(left) > 0 {
			t.Errorf("%s: left behind: %q", where, left)
		}
	}
}
