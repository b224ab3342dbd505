package snapshot_test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/testdb"
	"example.com/snapd/snapshot"
)

// appWrites starts as the application does after a crash: it opens the
// database, creating it if there is none, and commits. It returns whether that
// was possible: a corrupt database answers with an error. A killed application
// leaves its commit in the -wal.
func appWrites(t *testing.T, db string, killed bool) bool {
	t.Helper()
	p := startPython(t, db, "5")
	ok := !strings.HasPrefix(p.ask("CREATE TABLE IF NOT EXISTS app(word)"), "error") &&
		!strings.HasPrefix(p.ask("INSERT INTO app VALUES('after the crash')"), "error")
	if killed {
		p.kill()
	} else {
		p.end()
	}
	return ok
}

// appWord reads what appWrites wrote, without changing a database.
func appWord(t *testing.T, db string) string {
	t.Helper()
	copied := filepath.Join(t.TempDir(), "copy")
	command(t, "cp", "-a", filepath.Dir(db), copied)
	out, err := exec.Command(testdb.RequireTool(t, "sqlite3"), "-batch", filepath.Join(copied, "data.db"), "SELECT word FROM app").CombinedOutput()
	if err != nil {
		return fmt.Sprintf("%v: %s", err, out)
	}
	return strings.TrimSpace(string(out))
}

// Lost if this fails: what users typed in after a crash, when the application is
// started before snapd, on what the crash left. Its commits must be there
// when snapd has tidied up, and what the swap was replacing must be found in a
// backup or in quarantine. The points are a sample, as those of TestKilledAtEveryPoint.
func TestApplicationStartsFirst(t *testing.T) {
	sample := testdb.NewSample(6)
	for _, s := range crashScenarios() {
		if s.op != "recover" && s.op != "restore offline" {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			s.prepare(t)
			for _, n := range s.swept(t, sample, crashPoints(t, s.op, s.copy(t))) {
				db := s.copy(t)
				point := crashAt(t, s.op, db, n)
				killed := n%2 == 0
				where := "killed at point " + strconv.Itoa(n) + ", " + strconv.Quote(point)
				wrote := appWrites(t, db, killed)
				t.Logf("%s; application wrote: %v, killed: %v", where, wrote, killed)
				s.afterApplication(t, db, where, wrote)
				if t.Failed() {
					return
				}
			}
		})
	}
}

func (s *scenario) afterApplication(t *testing.T, db, where string, wrote bool) {
	t.Helper()
	testdb.Damaged(t, db) // it is checked here
	m := openManager(t, db)
	if wrote {
		if word := appWord(t, db); word != "after the crash" {
			t.Errorf("%s: after Open the application's commit is %q", where, word)
		}
		s.startedOnOldOrNew(t, db, where)
	}
	s.nothingReplacedIsLost(t, m, where)
	rec, err := m.Recover(t.Context())
	if err != nil {
		t.Errorf("%s: recover: %v", where, err)
	}
	// An index that is damaged does not keep the application from writing.
	if wrote && rec.Action != snapshot.ActionNone && !(s.repaired && rec.Action == snapshot.ActionRepaired) {
		t.Errorf("%s: the application's database was found %s: %+v", where, rec.Verdict, rec.Report.Findings)
	}
	if word := appWord(t, db); wrote && word != "after the crash" {
		t.Errorf("%s: after Recover the application's commit is %q", where, word)
	}
	testdb.ShellIntegrity(t, db)
	if b, err := m.Backup(t.Context(), snapshot.Manual("after a crash")); err != nil || b.Verification.State != catalog.Verified {
		t.Errorf("%s: next backup: %v", where, err)
	}
	s.checkCatalog(t, m, where)
	noDebris(t, db, where)
}

// startedOnOldOrNew wants the application not to have been given anything
// between the two states: no old file without the commits of its -wal, and none
// with half a transaction in it.
func (s *scenario) startedOnOldOrNew(t *testing.T, db, where string) {
	t.Helper()
	if s.op == "recover" {
		return // what was there is damaged, or nothing
	}
	var rest []string
	for line := range strings.Lines(contents(t, db)) {
		if !strings.Contains(line, "CREATE TABLE IF NOT EXISTS app(") && !strings.Contains(line, "CREATE TABLE app(") && !strings.Contains(line, "INSERT INTO app ") {
			rest = append(rest, line)
		}
	}
	if got := strings.Join(rest, ""); got != s.live && got != s.restored {
		t.Errorf("%s: the application was given neither the old state nor the restored one", where)
	}
}

// nothingReplacedIsLost wants the state before the operation in the database, in
// a safety backup, or whole in quarantine, once sidecars that belong to it are gone.
func (s *scenario) nothingReplacedIsLost(t *testing.T, m *snapshot.Manager, where string) {
	t.Helper()
	if s.op == "recover" {
		if s.before["-wal"] == "" {
			return // the main file alone was damaged: there is nothing in it to keep but itself
		}
		found, err := filepath.Glob(filepath.Join(m.Dir(), "corrupted_*-wal"))
		must(t, err)
		for _, wal := range append(found, m.Database()+"-wal") {
			if dbFiles(t, strings.TrimSuffix(wal, "-wal"))["-wal"] == s.before["-wal"] {
				return
			}
		}
		t.Logf("%s: the WAL is gone", where)
		return
	}
	all, err := m.Backups()
	must(t, err)
	for _, b := range all {
		if b.Trigger != catalog.TriggerPreRestore {
			continue
		}
		image := filepath.Join(t.TempDir(), "image.db")
		unzstd(t, m.ArchivePath(b), image)
		if got := dump(t, image); got != s.live || !b.Pinned {
			t.Errorf("%s: the safety backup (pinned: %v) is not the state before", where, b.Pinned)
		}
		return
	}
	if point := strings.Contains(where, "removed") || strings.Contains(where, "renamed"); point {
		t.Errorf("%s: there is no safety backup", where)
	}
}
