//go:build !windows

package snapshot_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"example.com/snapd/internal/testdb"
	"example.com/snapd/snapshot"
)

// ownFiles are those that SQLite itself writes and syncs.
func ownFiles(name string) bool {
	return name == "data.db" || strings.HasPrefix(name, "data.db-")
}

// powerLossScenarios are the operations that have to survive a loss of power, with the
// least number of different states that one can leave.
var powerLossScenarios = map[string]int{
	"backup": 12, "backup of what changed": 12, "backup rollback mode": 12, "prune": 8, "delete": 10,
	"restore offline": 30, "restore offline with a WAL": 30, "restore point offline": 30,
	"recover corrupt": 25, "recover corrupt with a WAL": 25, "recover by a repair": 15, "recover missing": 15,
}

// Lost if this fails: a database or a backup, to a power cut at the instant at which the
// disk had only what was synced, or that and the names of what was not. Looked at are the states after each
// operation's end and, of each operation, those before every kind of step with no such name or all; of the others,
// and of those with a single one, a sample. make sweep looks at all.
func TestPowerLoss(t *testing.T) {
	sample := testdb.NewSample(6)
	swept := 0
	for _, s := range crashScenarios() {
		least, chosen := powerLossScenarios[s.name]
		if !chosen {
			continue
		}
		swept++
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			s.prepare(t)
			db := s.copy(t)
			model := testdb.WatchPowerLoss(t, filepath.Dir(db), ".snapd-restore", ownFiles)
			must(t, operations[s.op](t.Context(), openManager(t, db)))
			images := model.End()
			chosen := s.chosen(t, sample, images)
			t.Logf("%d states, %d of them looked at", len(images), len(chosen))
			if len(images) < least {
				t.Errorf("only %d states, at least %d", len(images), least)
			}
			for _, image := range chosen {
				// The paths have to be the same: an intent has the backup directory in it.
				must(t, os.RemoveAll(filepath.Dir(db)))
				must(t, os.Rename(image.Dir, filepath.Dir(db)))
				s.afterPowerLoss(t, db, image.Where, strings.HasPrefix(image.Where, "done"))
			}
		})
	}
	if swept != len(powerLossScenarios) {
		t.Errorf("%d operations, want %d", swept, len(powerLossScenarios))
	}
}

// chosen are the states to look at.
func (s *scenario) chosen(t *testing.T, sample *testdb.Sample, images []testdb.Image) (chosen []testdb.Image) {
	kinds := make([]string, len(images))
	for i, image := range images {
		kinds[i] = ownPart.ReplaceAllString(image.Where, "")
		if !strings.Contains(image.Where, ", only ") {
			kinds[i] = s.op + " " + kinds[i]
		}
	}
	in := sample.Choose(t.Name(), kinds)
	for i, image := range images {
		if slices.Contains(in, i) || strings.HasPrefix(image.Where, "done") {
			chosen = append(chosen, image)
		}
	}
	return chosen
}

// afterPowerLoss starts on what was left. When the operation was done, its effect is there.
func (s *scenario) afterPowerLoss(t *testing.T, db, where string, done bool) {
	t.Helper()
	t.Logf("%s", where)
	testdb.Damaged(t, db) // it is checked here
	m := openManager(t, db)
	isNew := false
	if s.replaces() {
		isNew = s.swapOutcome(t, m, db, dbFiles(t, db), where)
	}
	s.checkCatalog(t, m, where)
	if done {
		s.effect(t, m, isNew, where)
	}
	s.goOn(t, m, db, where)
}

// effect wants what an operation that returned has promised.
func (s *scenario) effect(t *testing.T, m *snapshot.Manager, isNew bool, where string) {
	t.Helper()
	all, err := m.Backups()
	must(t, err)
	listed := map[string]bool{}
	for _, b := range all {
		listed[b.ID] = b.Verification.State == "verified"
	}
	switch s.op {
	case "backup":
		if len(all) != len(s.ids)+1 || !listed[all[0].ID] {
			t.Errorf("%s: the backup is gone, or no longer verified: %+v", where, all[0])
		}
	case "prune", "delete":
		for i, id := range s.ids {
			if gone := s.op == "prune" && (i == 1 || i == 3) || s.op == "delete" && (i == 0 || i == 2); listed[id] == gone {
				t.Errorf("%s: %s is listed: %v, removed: %v", where, id, listed[id], gone)
			}
		}
	default:
		if !isNew {
			t.Errorf("%s: the database is the old one again", where)
		}
		for _, id := range s.ids {
			if !listed[id] {
				t.Errorf("%s: %s is gone, or no longer verified", where, id)
			}
		}
	}
}

// Lost if this fails: a file that a restore wrote for the first time, and said so.
func TestPowerLossOfARestoreToAFile(t *testing.T) {
	t.Parallel()
	b := newBench(t, "wal")
	e := b.manual()
	dir := t.TempDir()
	to := filepath.Join(dir, "there.db")
	model := testdb.WatchPowerLoss(t, dir, ".snapd-restore", func(string) bool { return false })
	must(t, last(b.m.Restore(t.Context(), e.ID, snapshot.RestoreOptions{To: to})))
	want, found := testdb.FileHash(t, to), 0
	images := model.End()
	for _, image := range images {
		path := filepath.Join(image.Dir, "there.db")
		if _, err := os.Stat(path); err != nil {
			if strings.HasPrefix(image.Where, "done") {
				t.Errorf("%s: %v", image.Where, err)
			}
			continue
		}
		found++
		if got := testdb.FileHash(t, path); got != want {
			t.Errorf("%s: there is a file, which is not the backup's image", image.Where)
		}
	}
	if found == 0 || len(images) < 3 {
		t.Errorf("%d states, %d with the file", len(images), found)
	}
}
