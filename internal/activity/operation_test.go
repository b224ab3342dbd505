package activity

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func line(of Line, kind, id, outcome string) Record {
	return Record{Entry: Entry{At: began, Who: "alice", Action: kind, Operation: id, Outcome: outcome}, Mark: Mark{Line: of}}
}

// Lost: how an operation ended, or that it never did.
func TestOperationsOfTheLog(t *testing.T) {
	j := NewJournal(t.TempDir())
	began := began.Add(-time.Second)
	done := line(Ended, "backup", `a "b" <c>`, "done")
	done.Began, done.Result, done.Hint = &began, []byte(`{"id":1}`), "look"
	for _, r := range []Record{line(Started, "backup", `a "b" <c>`, Running), done, line("", "check", "x", "done"), line(Started, "check", "c", Running),
		line(Started, "restore", "r", Running), line(Ended, "pin", "p", "done"), line(Ended, "restore", "r", "failed"), line(Ended, "restore", "r", "done")} {
		if err := j.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	op, ok, err := j.Operation(`a "b" <c>`)
	if want := (Operation{ID: `a "b" <c>`, Kind: "backup", Who: "alice", Started: began, Ended: done.At, Outcome: "done", Hint: "look"}); err != nil || !ok ||
		string(op.Result) != `{"id":1}` || fmt.Sprint(op) != fmt.Sprint(func() Operation { want.Result = op.Result; return want }()) {
		t.Errorf("%+v, %v, %v", op, ok, err)
	}
	for _, id := range []string{"", "x", "nosuch"} {
		if op, ok, err := j.Operation(id); ok || err != nil {
			t.Errorf("%q: %+v, %v", id, op, err)
		}
	}
	list := func(limit int, kinds ...string) string {
		all, err := j.Operations(kinds, limit)
		var words []string
		for _, op := range all {
			words = append(words, op.ID+" "+op.Outcome)
		}
		if err != nil {
			words = append(words, err.Error())
		}
		return strings.Join(words, ", ")
	}
	if got := list(9, "restore", "check", "backup"); got != `r done, c running, a "b" <c> done` { // the last end counts
		t.Error(got)
	}
	if got := list(1, "check", "backup"); got != "c running" {
		t.Error(got)
	}
}

// Lost: the one operation that a crash cut short; or an end for one that has one.
func TestUnended(t *testing.T) {
	for name, c := range map[string]struct {
		lines string // kind and what
		want  string
	}{
		"nothing":           {"", ""},
		"all ended":         {"b1+ b1- r1+ r1-", ""},
		"cut short":         {"b1+ b1- r1+ p1- c1+ c1-", "r1"},
		"the first":         {"b1+", "b1"},
		"checks are others": {"b1+ b1- c1+", ""},
		"an old one":        {"b1+ b2+ b2-", ""}, // its end was given up
		"never began":       {"b1-", ""},
	} {
		t.Run(name, func(t *testing.T) {
			j := NewJournal(t.TempDir())
			for _, word := range strings.Fields(c.lines) {
				of := Started
				if word[2] == '-' {
					of = Ended
				}
				if err := j.Write(line(of, word[:1], word[:2], "x")); err != nil {
					t.Fatal(err)
				}
			}
			if op, ok, err := j.Unended("c"); err != nil || ok != (c.want != "") || ok && op.ID != c.want {
				t.Errorf("%+v, %v, %v", op, ok, err)
			}
		})
	}
}

// Lost: the end of an operation on a full disk, for one who asks, and for the log once
// there is room again; or the order.
func TestWhatCannotBeWrittenWaits(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "later")
	j := NewJournal(dir)
	if err := j.Write(line(Ended, "check", "0", "done")); err != nil {
		t.Errorf("without a directory: %v", err)
	}
	if err := errors.Join(os.Mkdir(dir, 0o700), os.Mkdir(j.Log().path(logName), 0o700)); err != nil {
		t.Fatal(err)
	}
	reports := 0
	for n := range 2 * maxWaiting {
		if err := j.Write(line(Ended, "backup", fmt.Sprint(n), "failed")); err != nil {
			reports++
		}
	}
	if reports != 1 {
		t.Errorf("reported %d times", reports)
	}
	if op, ok, err := j.Operation("63"); !ok || err != nil || op.Outcome != "failed" {
		t.Errorf("%+v, %v", op, err)
	}
	if err := os.Remove(j.Log().path(logName)); err != nil {
		t.Fatal(err)
	}
	j.Idle(Entry{At: began, Who: Automatic, Action: "backup", Outcome: "unchanged"})
	if err := j.Write(line(Ended, "backup", "64", "done")); err != nil {
		t.Fatal(err)
	}
	page, _, err := j.Log().Page("", MaxPage)
	if err != nil || len(page) != maxWaiting+2 || page[0].Operation != "64" || page[1].Outcome != "unchanged" || page[2].Operation != "63" {
		t.Errorf("%d entries, %v, %v", len(page), page[:3], err)
	}
}

// Lost: the difference between what another process does just now and what none does.
func TestProcesses(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	gone := exec.Command(self, "-test.run=^$")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	for process, want := range map[string]bool{
		thisProcess:                        true,
		fmt.Sprint(os.Getpid(), " other"):  false, // that had this id before
		fmt.Sprint(os.Getppid(), " x"):     true,
		fmt.Sprint(gone.Process.Pid, " x"): false,
		"":                                 false, "x": false, "0 x": false, "-1 x": false, "99999999999999999999 x": false,
	} {
		if got := isRunning(process); got != want {
			t.Errorf("%q: %v", process, got)
		}
	}
}
