package snapshot_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/samplecrm"
	"example.com/snapd/internal/testdb"
	"example.com/snapd/snapshot"
)

const (
	manualNote = "the one to restore"
	// scenarioPoint is the recovery point of a scenario that restores one.
	scenarioPoint = "1.1"
	keepOne       = 1
)

var operations = map[string]func(context.Context, *snapshot.Manager) error{
	"open": func(context.Context, *snapshot.Manager) error { return nil },
	"backup": func(ctx context.Context, m *snapshot.Manager) error {
		_, err := m.Backup(ctx, snapshot.Manual("made between crashes"))
		return err
	},
	"automatic": func(ctx context.Context, m *snapshot.Manager) error {
		_, err := m.Backup(ctx, snapshot.Auto(catalog.TriggerSchedule))
		return err
	},
	"accept": func(ctx context.Context, m *snapshot.Manager) error {
		_, err := m.AcceptBreak(ctx)
		return err
	},
	"prune": func(ctx context.Context, m *snapshot.Manager) error {
		_, err := m.Prune(ctx, &snapshot.Policy{Last: keepOne})
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
	"restore point online": func(ctx context.Context, m *snapshot.Manager) error {
		_, err := m.Restore(ctx, scenarioPoint, snapshot.RestoreOptions{})
		return err
	},
	"restore point offline": func(ctx context.Context, m *snapshot.Manager) error {
		_, err := m.Restore(ctx, scenarioPoint, snapshot.RestoreOptions{Offline: true})
		return err
	},
}

func restoreManual(ctx context.Context, m *snapshot.Manager, offline bool) error {
	id, err := restoreID(m)
	if err != nil {
		return err
	}
	_, err = m.Restore(ctx, id, snapshot.RestoreOptions{Offline: offline})
	return err
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
	damage   func(t *testing.T, db string)
	repaired bool // recovery repairs what is damaged: nothing is lost
	sound    bool // recovery finds nothing to do
	mounted  bool // the database is a mount point of its own, so that it is written in place
	point    bool // what is to be restored is scenarioPoint

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

// loseIndexRoot zeroes the root page of an index, which costs no row.
func loseIndexRoot(t *testing.T, db string) {
	t.Helper()
	root, err := strconv.ParseInt(strings.TrimSpace(testdb.ShellQuery(t, db,
		"SELECT rootpage FROM sqlite_schema WHERE type='index' AND rootpage>0 AND sql IS NOT NULL ORDER BY name LIMIT 1")), 10, 64)
	must(t, err)
	testdb.ZeroPage(t, db, root)
}

// breakLog damages a page in the middle of the log.
func breakLog(t *testing.T, db string) {
	t.Helper()
	frame := testdb.PageSize(t, db) + 24
	middle := (size(t, db+"-wal") - 32) / frame / 2
	testdb.FlipByte(t, db+"-wal", 32+middle*frame+500)
	testdb.Damaged(t, db)
}

// ruin leaves nothing that can be read: a zeroed header alone would be repaired.
func ruin(t *testing.T, db string) { testdb.Overwrite(t, db, 0, make([]byte, size(t, db))) }

func crashScenarios() []*scenario {
	return []*scenario{
		{name: "backup", op: "backup", mode: "wal"},
		{name: "backup of what changed", op: "backup", mode: ofSeveralFrames},
		{name: "backup rollback mode", op: "backup", mode: "delete"},
		{name: "prune", op: "prune", mode: "wal"},
		{name: "delete", op: "delete", mode: "wal"},
		{name: "restore online", op: "restore online", mode: "wal"},
		{name: "restore online rollback mode", op: "restore online", mode: "delete"},
		{name: "restore online after a crash of the application", op: "restore online", mode: "wal", damage: killedWriter},
		{name: "restore offline", op: "restore offline", mode: "delete"},
		{name: "restore offline with a WAL", op: "restore offline", mode: "wal", damage: killedWriter},
		{name: "restore offline with a hot journal", op: "restore offline", mode: "delete", damage: hotJournal},
		{name: "restore point online", op: "restore point online", mode: "wal", point: true},
		{name: "restore point online rollback mode", op: "restore point online", mode: "delete", point: true},
		{name: "restore point offline", op: "restore point offline", mode: "wal", point: true},
		{name: "recover corrupt", op: "recover", mode: "delete", damage: ruin},
		{name: "recover corrupt with a WAL", op: "recover", mode: "wal", damage: func(t *testing.T, db string) {
			killedWriter(t, db)
			ruin(t, db)
		}},
		{name: "recover by a repair", op: "recover", mode: "delete", repaired: true, damage: loseIndexRoot},
		{name: "recover by a repair of the log", op: "recover", mode: "wal", repaired: true, damage: func(t *testing.T, db string) {
			killedWriter(t, db)
			must(t, os.Remove(db+"-shm"))
			breakLog(t, db)
		}},
		{name: "restore offline onto a mount point", op: "restore offline", mode: "delete", mounted: true},
		{name: "restore offline onto a mount point with a WAL", op: "restore offline", mode: "wal", mounted: true, damage: killedWriter},
		{name: "recover a corrupt mount point", op: "recover", mode: "delete", mounted: true, damage: ruin},
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

// beginning is what every scenario of a journal mode begins with. It is made once.
type beginning struct {
	once sync.Once
	dir  string
	ids  []string // of the backups, newest first
	// Of the images of the manual backup and of the newest one, the path and the hash.
	manual, newest         string
	manualHash, newestHash string
}

// ofSeveralFrames is WAL mode, with archives in which most frames are the base's.
const ofSeveralFrames = "wal, several frames"

var beginnings = map[string]*beginning{"wal": {}, "delete": {}, ofSeveralFrames: {}}

// make makes the database and its backups.
func (b *beginning) make(t *testing.T, mode string) {
	t.Helper()
	dir := filepath.Join(templates, mode)
	must(t, os.Mkdir(dir, 0o700))
	db := filepath.Join(dir, "data.db")
	o := samplecrm.Options{Seed: 1, JournalMode: mode}
	if mode == ofSeveralFrames {
		o.JournalMode, o.Bytes = "wal", 3<<20
	}
	testdb.MakeCRM(t, db, o)
	m := openManager(t, db)
	for i := range 4 {
		req := snapshot.Auto(catalog.TriggerSchedule)
		if i == 1 {
			req = snapshot.Manual(manualNote)
		}
		made, err := m.Backup(t.Context(), req)
		must(t, err)
		b.ids = slices.Insert(b.ids, 0, made.ID)
		b.newest = filepath.Join(templates, mode+strconv.Itoa(i)+".db")
		if i > 0 && (made.Base != "") != (mode == ofSeveralFrames) {
			t.Fatalf("%s: the base is %q", made.ID, made.Base)
		}
		unzstd(t, m.ArchivePath(made), b.newest)
		b.newestHash = testdb.FileHash(t, b.newest)
		if i == 1 {
			b.manual, b.manualHash = b.newest, b.newestHash
		}
		testdb.ShellQuery(t, db, "INSERT INTO notes(contact_id, author, body, created_at) SELECT contact_id, author, body||'x', created_at FROM notes LIMIT 5")
	}
	b.dir = dir
}

// prepare makes the template.
func (s *scenario) prepare(t *testing.T) {
	t.Helper()
	testdb.RequireTool(t, "sqlite3")
	testdb.RequireTool(t, "zstd")
	if s.mounted && os.Geteuid() != 0 {
		t.Skip("NOT TESTED: only root can mount a file")
	}
	b := beginnings[s.mode]
	b.once.Do(func() { b.make(t, s.mode) })
	if b.dir == "" {
		t.Fatal("there are no backups to begin with: another test says why")
	}
	s.dir = filepath.Join(t.TempDir(), "template")
	command(t, "cp", "-a", b.dir, s.dir)
	db := filepath.Join(s.dir, "data.db")
	s.ids, s.manual, s.newest, s.restored = b.ids, b.manualHash, b.newestHash, dump(t, b.manual)
	if s.op == "recover" {
		s.restored = dump(t, b.newest)
	}
	if s.point {
		s.makePoint(t, db)
	}
	if s.damage != nil {
		s.damage(t, db)
	}
	s.before = dbFiles(t, db)
	if s.repaired {
		whole := s.copy(t)
		rec, err := openManager(t, whole).Recover(t.Context())
		if err != nil || rec.Action != snapshot.ActionRepaired {
			t.Fatalf("recover: %+v %v", rec, err)
		}
		s.newest = testdb.FileHash(t, whole)
	}
	if s.op != "recover" {
		s.live = contents(t, db)
	}
}

// makePoint captures the database after the newest backup, and changes it again.
func (s *scenario) makePoint(t *testing.T, db string) {
	t.Helper()
	m := openManager(t, db)
	base, err := m.Find("latest")
	must(t, err)
	c := startCaptures(t, m, base)
	if id := c.capture(); id != scenarioPoint {
		t.Fatalf("captured %q", id)
	}
	c.stop()
	image := filepath.Join(t.TempDir(), "point.db")
	writeFile(t, image, c.images[scenarioPoint])
	s.manual = testdb.FileHash(t, image)
	s.newest = s.manual
	s.restored = dump(t, image)
	testdb.ShellQuery(t, db, "DELETE FROM notes WHERE id % 3 = 0")
}

// copy makes a directory to crash in and returns its database's path.
func (s *scenario) copy(t *testing.T) string {
	t.Helper()
	db, _ := s.copyFor(t)
	return db
}

// copyFor is copy that can be taken back before the test ends.
func (s *scenario) copyFor(t *testing.T) (db string, remove func()) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "work")
	command(t, "cp", "-a", s.dir, dir)
	if db = filepath.Join(dir, "data.db"); !s.mounted {
		return db, func() { os.RemoveAll(dir) }
	}
	command(t, "mount", "--bind", db, db)
	remove = sync.OnceFunc(func() {
		command(t, "umount", "-l", db) // descriptors of ours may be kept
		os.RemoveAll(dir)
	})
	t.Cleanup(remove)
	return db, remove
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
	m, err := snapshot.Open(t.Context(), snapshot.Config{Database: db})
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
