package swap_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/swap"
	"example.com/snapd/internal/testdb"
)

// scenario is a swap, and every point at which it may die.
type scenario struct {
	old      files
	preserve bool
	inPlace  bool // nothing can be renamed over the database
	points   []string
}

var scenarios = map[string]scenario{
	"alone": {old: files{"": "old"},
		points: []string{"intent written", "preserved", "renamed", "intent removed"}},
	"sidecars": {old: files{"": "old", "-journal": "hot", "-wal": "commits", "-shm": "index"},
		points: []string{"intent written", "preserved", "removed -journal", "removed -wal", "removed -shm", "renamed", "intent removed"}},
	"missing": {old: files{},
		points: []string{"intent written", "preserved", "renamed", "intent removed"}},
	"preserved": {old: files{"": "old"}, preserve: true,
		points: []string{"intent written", "report written", "kept ", "preserved", "renamed", "intent removed"}},
	"preserved with sidecars": {old: files{"": "old", "-journal": "hot", "-wal": "commits", "-shm": "index"}, preserve: true,
		points: []string{"intent written", "report written", "kept ", "kept -journal", "kept -wal", "preserved",
			"removed -journal", "removed -wal", "removed -shm", "renamed", "intent removed"}},
	"in place": {old: files{"": "old"}, inPlace: true,
		points: []string{"intent written", "preserved", "journal placed", "written in place", "journal retired", "intent removed"}},
	"in place, larger": {old: files{"": strings.Repeat("older ", 3000), "-wal": "commits"}, inPlace: true,
		points: []string{"intent written", "preserved", "removed -wal", "journal placed", "written in place", "journal retired", "intent removed"}},
	"in place, preserved with sidecars": {old: files{"": "old", "-journal": "hot", "-wal": "commits", "-shm": "index"}, preserve: true, inPlace: true,
		points: []string{"intent written", "report written", "kept ", "kept -journal", "kept -wal", "preserved",
			"removed -journal", "removed -wal", "removed -shm", "journal placed", "written in place", "journal retired", "intent removed"}},
	"preserved orphan": {old: files{"-wal": "commits"}, preserve: true,
		points: []string{"intent written", "report written", "kept -wal", "preserved", "removed -wal", "renamed", "intent removed"}},
}

// stopAt has the process stop for good at a point.
func (p *place) stopAt(point string) {
	p.target.Observer.Point = func(name string) {
		if name == point {
			fmt.Println("at " + name)
			for {
				time.Sleep(time.Hour) // until it is killed
			}
		}
	}
}

// runChild swaps and dies. args: scenario, directory, point.
func runChild(args []string) error {
	p := placeAt(args[1])
	p.stopAt(args[2])
	_, err := p.swaps(context.Background(), scenarios[args[0]])
	fmt.Println("ended")
	return err
}

// finishChild finishes and dies. args: directory, point.
func finishChild(args []string) error {
	p := placeAt(args[0])
	p.stopAt(args[1])
	_, err := p.target.Finish(context.Background())
	fmt.Println("ended")
	return err
}

// swaps carries the scenario out.
func (p *place) swaps(ctx context.Context, s scenario) (swap.Result, error) {
	if s.inPlace {
		swap.MountPoint(p.target.Database)
	}
	return p.run(ctx, func(sw *swap.Swap) {
		if s.preserve {
			preserving(sw)
		}
	})
}

// committed is the point from which on the database is the new one.
func (s scenario) committed() string {
	if s.inPlace {
		return "journal retired"
	}
	return "renamed"
}

// killedAt has a child die at a point.
func killedAt(t *testing.T, point, child string, args ...string) {
	t.Helper()
	c := testdb.Reexec(t, child, append(args, point)...)
	if line := c.WaitLine(""); line != "at "+point {
		t.Fatalf("%s never came to %q: %q", child, point, line)
	}
	c.Kill()
}

// kept is what a quarantine holds after the scenario's swap.
func (s scenario) kept() files {
	if !s.preserve {
		return nil
	}
	kept := files{}
	for suffix, content := range s.old {
		if suffix != "-shm" {
			kept[suffix] = content
		}
	}
	return kept
}

// each runs f for every scenario, after a look at whether the points are all of them.
func each(t *testing.T, f func(t *testing.T, name string, s scenario)) {
	for name, s := range scenarios {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, s.old)
			res, err := p.swaps(t.Context(), s)
			must(t, err)
			if !slices.Equal(p.points, s.points) {
				t.Fatalf("a swap passes %q, not %q: the sweep would miss some", p.points, s.points)
			}
			want(t, p.target.Database, files{"": newImage})
			p.wantQuarantine(t, s.kept())
			p.wantClean(t)
			if !res.Committed || (res.InPlace != "") != s.inPlace || (res.Kept != "") != s.preserve || len(p.notes) != 1 || p.notes[0] != note {
				t.Errorf("%+v, notes %+v", res, p.notes)
			}
			f(t, name, s)
		})
	}
}

// Lost if this fails: the database of a machine that lost its power during a restore.
func TestKilledAtEveryPoint(t *testing.T) {
	each(t, func(t *testing.T, name string, s scenario) {
		for _, point := range s.points {
			p := newPlace(t, s.old)
			killedAt(t, point, "run", name, filepath.Dir(p.target.Database))
			p.finishes(t, s, point)
			if t.Failed() {
				t.Fatalf("killed at %q", point)
			}
		}
	})
}

// finishes wants the new database after a swap that died at a point.
func (p *place) finishes(t *testing.T, s scenario, point string) {
	t.Helper()
	outcome := swap.Completed
	switch point {
	case s.committed():
		outcome = swap.Committed
	case "intent removed":
		outcome = swap.NonePending
	}
	end, err := p.target.Finish(t.Context())
	if err != nil || end.Outcome != outcome {
		t.Errorf("finish: %+v, %v, want outcome %d", end, err, outcome)
	}
	if outcome != swap.NonePending && (end.Note != note || !slices.Equal(p.notes, []swap.Note{note}) || (end.Kept != "") != s.preserve) {
		t.Errorf("%+v, notes %+v", end, p.notes)
	}
	want(t, p.target.Database, files{"": newImage})
	p.wantQuarantine(t, s.kept())
	if st, err := os.Stat(p.target.Database); s.old[""] != "" && (err != nil || st.Mode().Perm() != 0o640) {
		t.Errorf("mode %v, %v, had 0640", st.Mode(), err)
	}
	p.wantSwept(t)
}

// wantSwept is wantClean after the next start has swept what no intent names any more.
func (p *place) wantSwept(t *testing.T) {
	t.Helper()
	must(t, swap.Sweep(p.target.Database))
	p.wantClean(t)
}

// Lost: the same, when the power fails again while the swap is being finished.
func TestKilledTwice(t *testing.T) {
	each(t, func(t *testing.T, name string, s scenario) {
		for _, point := range s.points[1:] { // the intent is there already
			p := newPlace(t, s.old)
			killedAt(t, "intent written", "run", name, filepath.Dir(p.target.Database))
			killedAt(t, point, "finish", filepath.Dir(p.target.Database))
			p.finishes(t, s, point)
			if t.Failed() {
				t.Fatalf("killed at %q of finishing", point)
			}
		}
	})
}

// Lost: the old database, when the staged file did not survive the crash.
func TestUndoneWhereTheStagedFileIsDamaged(t *testing.T) {
	each(t, func(t *testing.T, name string, s scenario) {
		for _, point := range s.points[:slices.Index(s.points, s.committed())] {
			p := newPlace(t, s.old)
			killedAt(t, point, "run", name, filepath.Dir(p.target.Database))
			must(t, os.WriteFile(p.staged(t), []byte(strings.ToUpper(newImage)), 0o600))
			end, err := p.target.Finish(t.Context())
			if err != nil || end.Outcome != swap.Undone || len(p.notes) > 0 {
				t.Errorf("finish: %+v, %v, notes %+v", end, err, p.notes)
			}
			left := at(t, p.target.Database)
			for suffix, content := range s.old {
				gone := left[suffix] == "" && !s.preserve // a safety backup has them
				if left[suffix] != content && suffix != "-shm" && !gone {
					t.Errorf("%q is %q, was %q", suffix, left[suffix], content)
				}
				if st, err := os.Stat(p.target.Database + suffix); err == nil && st.Mode().Perm() != 0o640 && s.old[""] != "" {
					t.Errorf("%q has mode %v, had 0640", suffix, st.Mode())
				}
			}
			p.wantQuarantine(t, nil)
			p.wantSwept(t)
			if t.Failed() {
				t.Fatalf("killed at %q", point)
			}
		}
	})
}

// Lost: what the application wrote after a crash, before the swap was finished; or
// the log that belongs to what it wrote into.
func TestUsedAfterACrash(t *testing.T) {
	each(t, func(t *testing.T, name string, s scenario) {
		for _, point := range s.points[:len(s.points)-1] {
			p := newPlace(t, s.old)
			killedAt(t, point, "run", name, filepath.Dir(p.target.Database))
			main := at(t, p.target.Database)[""]
			if point == "journal placed" || point == "written in place" { // SQLite rolls back first
				main = s.old[""]
				must(t, os.Remove(p.target.Database+"-journal"))
			}
			must(t, os.WriteFile(p.target.Database, []byte(main+" and a commit"), 0o640))
			outcome := swap.Abandoned
			if point == s.committed() {
				outcome = swap.Committed
			}
			before := at(t, p.target.Database)
			end, err := p.target.Finish(t.Context())
			if err != nil || end.Outcome != outcome {
				t.Errorf("finish: %+v, %v, want outcome %d", end, err, outcome)
			}
			want(t, p.target.Database, before)
			if slices.Index(s.points, point) >= slices.Index(s.points, "preserved") {
				p.wantQuarantine(t, s.kept())
			} else if !strings.HasPrefix(point, "kept") {
				p.wantQuarantine(t, nil)
			}
			p.wantSwept(t)
			if t.Failed() {
				t.Fatalf("killed at %q", point)
			}
		}
	})
}

// staged is the staged file that a dead process left.
func (p *place) staged(t *testing.T) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(filepath.Dir(p.target.Database), durable.TempPrefix+"data.db-[0-9a-f]*"))
	if err != nil || len(found) != 1 {
		t.Fatalf("staged files %q, %v", found, err)
	}
	return found[0]
}

// Where there was no room for copies the quarantine is other names of the live files.
// Lost: what was preserved, to an application that goes on with those.
func TestLinkedQuarantineIsParted(t *testing.T) {
	old := files{"": "old", "-wal": "commits"}
	p := newPlace(t, old)
	killedAt(t, "preserved", "run", "preserved with sidecars", filepath.Dir(p.target.Database))
	kept := filepath.Join(p.target.Dir, quarantine)
	for suffix := range old {
		must(t, os.Remove(kept+suffix))
		must(t, os.Link(p.target.Database+suffix, kept+suffix))
	}
	must(t, os.WriteFile(p.target.Database+"-journal", []byte("the application's"), 0o640))
	if end, err := p.target.Finish(t.Context()); err != nil || end.Outcome != swap.Abandoned || end.Kept != kept {
		t.Errorf("finish: %+v, %v", end, err)
	}
	for suffix := range old {
		must(t, os.WriteFile(p.target.Database+suffix, []byte("written later"), 0o640))
	}
	p.wantQuarantine(t, old)
	p.wantClean(t)
}
