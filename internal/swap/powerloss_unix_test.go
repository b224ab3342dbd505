//go:build !windows

package swap_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/swap"
	"example.com/snapd/internal/testdb"
)

// leastStates is the least number of different states that a loss of power can leave of a
// scenario's swap.
var leastStates = map[string]int{
	"alone": 8, "sidecars": 12, "missing": 8,
	"in place": 9, "in place, larger": 9, "in place, preserved with sidecars": 20,
	"preserved": 15, "preserved with sidecars": 25, "preserved orphan": 16,
}

// ownFiles are those that SQLite itself writes and syncs.
func ownFiles(name string) bool { return name == "data.db" || strings.HasPrefix(name, "data.db-") }

// noFiles: SQLite writes none, all are synced by package durable.
func noFiles(string) bool { return false }

// watch begins with what is there, being durable.
func (p *place) watch(t *testing.T, own func(string) bool) *testdb.PowerLoss {
	return testdb.WatchPowerLoss(t, filepath.Dir(p.target.Database), ".snapd-restore", own)
}

// left puts what a loss of power left in the place, as a process finds it that starts then.
func (p *place) left(t *testing.T, image testdb.Image) *place {
	t.Helper()
	dir := filepath.Dir(p.target.Database)
	must(t, os.RemoveAll(dir)) // an intent has the paths in it
	must(t, os.Rename(image.Dir, dir))
	return placeAt(dir)
}

// Lost if this fails: the database, its sidecars or its quarantine, to a power cut in the
// middle of a swap or right after it.
func TestPowerLoss(t *testing.T) {
	for name, s := range scenarios {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, s.old)
			own := ownFiles
			if s.inPlace {
				own = noFiles
			}
			model := p.watch(t, own)
			_, err := p.swaps(t.Context(), s)
			must(t, err)
			images := model.End()
			t.Logf("%d states", len(images))
			if least := leastStates[name]; len(images) < least {
				t.Errorf("only %d states, at least %d", len(images), least)
			}
			for _, image := range images {
				p.left(t, image).afterPowerLoss(t, s, strings.HasPrefix(image.Where, "done"))
				if t.Failed() {
					t.Fatal(image.Where)
				}
			}
		})
	}
}

// afterPowerLoss wants the old database or the new one, each with what belongs to it. A
// swap that was done has the new one.
func (p *place) afterPowerLoss(t *testing.T, s scenario, done bool) {
	t.Helper()
	end, err := p.target.Finish(t.Context())
	if err != nil || end.Outcome == swap.Abandoned {
		t.Errorf("finish: %+v, %v", end, err)
	}
	must(t, swap.Sweep(p.target.Database))
	if _, err := durable.Sweep(p.target.Dir); err != nil {
		t.Error(err)
	}
	p.wantClean(t)
	if !done && at(t, p.target.Database)[""] == s.old[""] {
		want(t, p.target.Database, s.old)
		p.wantQuarantine(t, nil)
		return
	}
	want(t, p.target.Database, files{"": newImage})
	p.wantQuarantine(t, s.kept())
	mode := os.FileMode(0o640)
	if s.old[""] == "" {
		mode = 0o600
	}
	if info, err := os.Stat(p.target.Database); err != nil || info.Mode().Perm() != mode {
		t.Errorf("mode %v, %v, want %v", info.Mode(), err, mode)
	}
}

// Lost: what the quarantine keeps, where a process died right after it had put it there,
// and the one that finished the swap lost power.
func TestPowerLossWhileFinishing(t *testing.T) {
	p := newPlace(t, files{"-wal": "commits"}) // without a database there is no lock to be left held
	model := p.watch(t, ownFiles)
	kept := filepath.Join(p.target.Dir, quarantine+"-wal")
	stopped, over, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	model.Step = func(s durable.Step, path string) {
		if _, err := os.Lstat(kept); err == nil && s == durable.StepSyncDir && path == p.target.Dir {
			close(stopped)
			<-over
			runtime.Goexit()
		}
	}
	go func() {
		defer close(ended)
		_, err := p.run(t.Context(), preserving)
		ended <- err
	}()
	select {
	case <-stopped:
	case err := <-ended:
		t.Fatalf("the swap ended: %v", err)
	}
	t.Cleanup(func() { close(over); <-ended })
	model.Step = nil
	end, err := p.target.Finish(t.Context())
	if err != nil || end.Outcome != swap.Completed {
		t.Fatalf("finish: %+v, %v", end, err)
	}
	images := model.End()
	for _, image := range images {
		has := at(t, filepath.Join(image.Dir, "backups", quarantine))["-wal"] == "commits"
		if !has && at(t, filepath.Join(image.Dir, "data.db"))["-wal"] == "" {
			t.Errorf("%s: the -wal is gone", image.Where)
		}
	}
	if len(images) < 15 {
		t.Errorf("only %d states", len(images))
	}
}

// Lost: the time of everybody who waits for the database. A swap that syncs its image only
// once it has the lock holds them up for as long as that takes.
func TestSyncsBeforeItLocks(t *testing.T) {
	p := newPlace(t, files{"": "old"})
	synced := false
	defer durable.Observe(&durable.Observer{Synced: func(s durable.Step, path string) {
		synced = synced || s == durable.StepSync && strings.HasPrefix(filepath.Base(path), durable.TempPrefix)
	}})()
	_, err := p.run(t.Context(), func(s *swap.Swap) {
		s.Unchanged = func() (bool, error) {
			if !synced {
				return false, errors.New("asked before the image was synced")
			}
			return true, nil
		}
	})
	must(t, err)
}
