package snapshot_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/integrity"
	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/samplecrm"
	"example.com/snapd/internal/testdb"
	"example.com/snapd/snapshot"
)

func init() { children["crash"] = crashChild }

// crashChild runs an operation and stops for good at a crash point, which is
// given by its number or by its name. args: operation, database, point.
func crashChild(args []string) error {
	reached := 0
	snapshot.SetCrashPoint(func(name string) {
		if reached++; strconv.Itoa(reached) == args[2] || name == args[2] {
			fmt.Println("at " + name)
			for {
				time.Sleep(time.Hour) // until it is killed
			}
		}
	})
	m, err := snapshot.Open(snapshot.Config{Database: args[1]})
	if err == nil {
		err = operations[args[0]](context.Background(), m)
	}
	fmt.Println("ended")
	return err
}

const (
	manualNote = "the one to restore"
	keepOne    = 1
)

var operations = map[string]func(context.Context, *snapshot.Manager) error{
	"open": func(context.Context, *snapshot.Manager) error { return nil },
	"backup": func(ctx context.Context, m *snapshot.Manager) error {
		_, err := m.Backup(ctx, snapshot.Manual("made beside crashes"))
		return err
	},
	"prune": func(ctx context.Context, m *snapshot.Manager) error {
		_, err := m.Prune(ctx, &snapshot.Policy{Last: keepOne}, false)
		return err
	},
	"delete": func(ctx context.Context, m *snapshot.Manager) error {
		id, err := restoreID(m)
		if err != nil {
			return err
		}
		return m.Delete(ctx, []string{"latest", id}, true)
	},
	"recover": func(ctx context.Context, m *snapshot.Manager) error {
		_, err := m.Recover(ctx)
		return err
	},
	"restore online":  func(ctx context.Context, m *snapshot.Manager) error { return restoreManual(ctx, m, false) },
	"restore offline": func(ctx context.Context, m *snapshot.Manager) error { return restoreManual(ctx, m, true) },
}

func restoreManual(ctx context.Context, m *snapshot.Manager, offline bool) error {
	id, err := restoreID(m)
	if err != nil {
		return err
	}
	return m.Restore(ctx, id, snapshot.RestoreOptions{Offline: offline})
}

// restoreID finds the manual backup of the scenario.
func restoreID(m *snapshot.Manager) (string, error) {
	all, err := m.Backups()
	for _, b := range all {
		if b.Note == manualNote {
			return b.ID, err
		}
	}
	return "", errors.Join(err, errors.New("the manual backup is gone"))
}

// scenario is a directory before an operation: data.db and its backups, three
// automatic ones of different states, and a manual one of a state in between.
type scenario struct {
	name, op, mode string
	// damage changes data.db after the last backup; nil leaves it healthy.
	damage func(t *testing.T, db string)

	dir      string // the template; every crash happens in a copy
	before   map[string]string
	ids      []string // of the backups, newest first
	live     string   // dump of the database as it was; "" where it cannot be read
	manual   string   // hash of the image of the manual backup
	newest   string   // hash of the image of the newest one
	restored string   // dump of what a restore or recovery puts there
}

// killedWriter leaves a -wal with commits and an -shm, as after a power cut.
func killedWriter(t *testing.T, db string) {
	w := testdb.StartPythonWriter(t, db)
	w.WaitCommits(5)
	w.Kill()
}

// hotJournal leaves half a transaction in the file, and the -journal that takes it back.
func hotJournal(t *testing.T, db string) {
	p := startPython(t, db, "5")
	for _, statement := range []string{"PRAGMA cache_size=5", "BEGIN IMMEDIATE",
		"UPDATE notes SET body = body || 'torn'", "UPDATE activities SET body = body || 'torn'"} {
		if got := p.ask(statement); got != "" {
			t.Fatal(got)
		}
	}
	p.kill()
	if st, err := os.Stat(db + "-journal"); err != nil || st.Size() == 0 {
		t.Fatalf("no hot journal: %v", err)
	}
}

func crashScenarios() []*scenario {
	header := func(t *testing.T, db string) { testdb.OverwriteHeader(t, db, make([]byte, 100)) }
	return []*scenario{
		{name: "backup", op: "backup", mode: "wal"},
		{name: "backup rollback mode", op: "backup", mode: "delete"},
		{name: "prune", op: "prune", mode: "wal"},
		{name: "delete", op: "delete", mode: "wal"},
		{name: "restore online", op: "restore online", mode: "wal"},
		{name: "restore online rollback mode", op: "restore online", mode: "delete"},
		{name: "restore online after a crash of the application", op: "restore online", mode: "wal", damage: killedWriter},
		{name: "restore offline", op: "restore offline", mode: "delete"},
		{name: "restore offline with a WAL", op: "restore offline", mode: "wal", damage: killedWriter},
		{name: "restore offline with a hot journal", op: "restore offline", mode: "delete", damage: hotJournal},
		{name: "recover corrupt", op: "recover", mode: "delete", damage: header},
		{name: "recover corrupt with a WAL", op: "recover", mode: "wal", damage: func(t *testing.T, db string) {
			killedWriter(t, db)
			header(t, db)
		}},
		{name: "recover missing", op: "recover", mode: "wal", damage: func(t *testing.T, db string) {
			testdb.Damaged(t, db)
			must(t, os.Remove(db))
		}},
		{name: "recover missing with an orphan WAL", op: "recover", mode: "wal", damage: func(t *testing.T, db string) {
			killedWriter(t, db)
			testdb.Damaged(t, db)
			must(t, os.Remove(db))
			must(t, os.Remove(db+"-shm"))
		}},
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// prepare makes the template.
func (s *scenario) prepare(t *testing.T) {
	t.Helper()
	testdb.RequireTool(t, "sqlite3")
	testdb.RequireTool(t, "zstd")
	s.dir = t.TempDir()
	db := filepath.Join(s.dir, "data.db")
	must(t, samplecrm.Create(t.Context(), db, samplecrm.Options{Seed: 1, JournalMode: s.mode}))
	m := openManager(t, db)
	change := func() {
		testdb.ShellQuery(t, db, "INSERT INTO notes(contact_id, author, body, created_at) SELECT contact_id, author, body||'x', created_at FROM notes LIMIT 5")
	}
	for i := range 4 {
		req := snapshot.Auto(catalog.TriggerSchedule)
		if i == 1 {
			req = snapshot.Manual(manualNote)
		}
		b, err := m.Backup(t.Context(), req)
		must(t, err)
		s.ids = slices.Insert(s.ids, 0, b.ID)
		image := filepath.Join(t.TempDir(), "image.db")
		unzstd(t, m.ArchivePath(b), image)
		if i == 1 {
			s.manual = testdb.FileHash(t, image)
		}
		if s.newest = testdb.FileHash(t, image); i == 1 && s.op != "recover" || i == 3 && s.op == "recover" {
			s.restored = dump(t, image)
		}
		change()
	}
	if s.damage != nil {
		s.damage(t, db)
	}
	s.before = dbFiles(t, db)
	if s.op != "recover" {
		s.live = contents(t, db)
	}
}

// copy makes a directory to crash in and returns its database's path.
func (s *scenario) copy(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "work")
	command(t, "cp", "-a", s.dir, dir)
	return filepath.Join(dir, "data.db")
}

func command(t testing.TB, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %q: %v: %s", name, args, err, out)
	}
}

func unzstd(t testing.TB, archive, to string) {
	t.Helper()
	command(t, testdb.RequireTool(t, "zstd"), "-q", "-d", "-f", archive, "-o", to)
}

func dump(t testing.TB, db string) string {
	t.Helper()
	return testdb.ShellQuery(t, db, ".dump")
}

func openManager(t testing.TB, db string) *snapshot.Manager {
	t.Helper()
	m, err := snapshot.Open(snapshot.Config{Database: db})
	must(t, err)
	return m
}

// dbFiles gives the hashes of the database and of those sidecars that hold data:
// a process that is killed while it reads a WAL database leaves an empty one.
func dbFiles(t testing.TB, db string) map[string]string {
	t.Helper()
	files := map[string]string{}
	for _, suffix := range []string{"", "-wal", "-journal"} {
		if st, err := os.Lstat(db + suffix); err == nil && (st.Size() > 0 || suffix == "") {
			files[suffix] = testdb.FileHash(t, db+suffix)
		}
	}
	return files
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

// Lost if this fails: the promise that whatever instant the process dies at,
// the database is the old one or the new one, and the next start finds its way.
func TestKilledAtEveryPoint(t *testing.T) {
	for _, s := range crashScenarios() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			s.prepare(t)
			olds, news := 0, 0
			for n := 1; ; n++ {
				db := s.copy(t)
				point := crashAt(t, s.op, db, n)
				where := fmt.Sprintf("killed at point %d, %q", n, point)
				if point == "" {
					where = "not killed"
				}
				if s.settle(t, db, where) {
					news++
				} else {
					olds++
				}
				if t.Failed() {
					return
				}
				if point == "" {
					t.Logf("%d points", n-1)
					break
				}
			}
			if s.replaces() && (olds == 0 || news < 2) {
				t.Errorf("%d outcomes were old and %d new: the points do not lie on both sides", olds, news)
			}
		})
	}
}

// Lost: a second power cut, while the first one's half-done swap is being
// finished, must not do what the first one could not.
func TestKilledTwice(t *testing.T) {
	for _, s := range crashScenarios() {
		if !strings.Contains(s.name, "with a") {
			continue // without sidecars there is little to do
		}
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			s.prepare(t)
			for n := 1; ; n++ {
				db := s.copy(t)
				const first = "intent written"
				if got := crashAt(t, s.op, db, first); got != first {
					t.Fatalf("%s never reaches %q", s.op, first)
				}
				point := crashAt(t, "open", db, n)
				s.settle(t, db, fmt.Sprintf("killed at %q, then at point %d of finishing it, %q", first, n, point))
				if point == "" || t.Failed() {
					return
				}
			}
		})
	}
}

// replaces tells whether the operation puts another database in place.
func (s *scenario) replaces() bool { return s.op == "recover" || strings.HasPrefix(s.op, "restore") }

// settle opens a Manager as the next start would and checks all that must hold.
// It returns whether the operation had its effect on the database.
func (s *scenario) settle(t *testing.T, db, where string) (isNew bool) {
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
	case s.op == "restore online":
		isNew = s.onlineOutcome(t, db, where)
	default:
		isNew = s.swapOutcome(t, m, db, now, where)
	}
	s.checkCatalog(t, m, where)
	s.goOn(t, m, db, where)
	return isNew
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
// the image there and no sidecar beside it.
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
	latest, err := m.Find("latest")
	must(t, err)
	link := filepath.Join(m.Dir(), "data_latest.db.zst")
	if to, err := os.Readlink(link); err != nil || to != latest.File {
		t.Errorf("%s: the link points to %q (%v), the newest verified backup is %s", where, to, err, latest.File)
	}
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

// noDebris fails the test where temp files or an intent lie about.
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
