package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/snapd/internal/activity"
	"example.com/snapd/internal/testdb"
	"example.com/snapd/snapshot"
)

// writeLines adds lines to the log that a's Manager reads.
func (a *api) writeLines(lines ...activity.Record) {
	a.t.Helper()
	if err := activity.New(a.m.Dir()).Write(lines...); err != nil {
		a.t.Fatal(err)
	}
}

// startedLine begins an operation of a process that is gone.
func startedLine(kind snapshot.Operation, at time.Time, backup, trigger string) activity.Record {
	return activity.Record{Mark: activity.Mark{Line: activity.Started, Quiet: true}, Entry: activity.Entry{At: at, Who: "alice",
		Action: string(kind), Operation: strings.ToLower(string(kind)) + trigger + backup, Backup: backup, Trigger: trigger, Outcome: activity.Running}}
}

// Lost: the outcome of what ran when the program was killed, above all of a restore.
func TestRestartInMidOperation(t *testing.T) {
	cfg := snapshot.Config{Database: testdb.CRM(t, 1<<20)}
	a := apiOver(t, cfg, nil)
	first := a.backup("first")
	a.change()
	began := time.Now().UTC()
	// Done although the end was not written down: a restore, a proof, a backup.
	if _, err := a.m.Restore(t.Context(), first.ID, snapshot.RestoreOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.m.Drill(t.Context(), first.ID); err != nil {
		t.Fatal(err)
	}
	a.change()
	made, err := a.m.Backup(t.Context(), snapshot.Manual("made"))
	if err != nil {
		t.Fatal(err)
	}
	var plan planDocument
	a.ask("POST", "/backups/"+first.ID+"/restore-plan", "").into(200, &plan)
	for _, c := range []struct {
		started            activity.Record
		want, backup, says string
	}{
		{startedLine(snapshot.OpRestore, began, first.ID, ""), "done", first.ID, `"safety_backup":"data_backup_AUTO_`},
		{startedLine(snapshot.OpDrill, began, first.ID, ""), "done", first.ID, `"verdict":"healthy"`},
		{startedLine(snapshot.OpVerify, began, first.ID, ""), "done", first.ID, `"etag"`},
		{startedLine(snapshot.OpBackup, began, "", "manual"), "done", made.ID, `"etag"`},
		{startedLine(snapshot.OpCheck, began, "", ""), "failed interrupted", "", "start it again"},
		{startedLine(snapshot.OpBackup, began, "", "schedule"), "failed interrupted", "", "make a new one"},
		{startedLine(snapshot.OpRestore, began, made.ID, ""), "failed interrupted", made.ID, "what it held before is in data_backup_AUTO_"},
		{startedLine(snapshot.OpRestore, time.Now().UTC(), first.ID, "late"), "failed interrupted", first.ID, "either as it was before or wholly restored"},
		{startedLine(snapshot.OpPrune, began, "", ""), "failed interrupted", "", "start it again"},
	} {
		id := c.started.Operation
		a.close()
		a.writeLines(c.started)
		for range 2 { // and the same at the next start
			a = apiOver(t, cfg, nil)
			got := decodeOperation(t, a.ask("GET", "/operations/"+id, ""), 200)
			state, says := got.State, string(got.Result)
			if got.Error != nil {
				state, says = state+" "+got.Error.Code, got.Error.Hint
			}
			if state != c.want || deref(got.Backup) != c.backup || !strings.Contains(says, c.says) || got.Who != "alice" || !got.StartedAt.Equal(c.started.At) {
				t.Errorf("%s is %s, want %s: %+v %+v %s", id, state, c.want, got, got.Error, says)
			}
			var log activityPage
			a.ask("GET", "/activity?limit=100", "").into(200, &log)
			ends := 0
			for _, e := range log.Activity {
				if e.Operation == id && e.Outcome == got.State && e.Who == "alice" {
					ends++
				}
			}
			if check := got.Kind == snapshot.OpCheck; !check && ends != 1 || (got.EndedAt == nil) != check { // a restart writes no end for a check
				t.Errorf("%s is %d times in the activity log, and ended at %v", id, ends, got.EndedAt)
			}
			a.close()
		}
	}
	a = apiOver(t, cfg, nil)
	a.ask("POST", "/backups/"+first.ID+"/restore", `{"token":"`+plan.Plan.Token+`","confirm":"data.db"}`).problem(409, "stale")
	var ops operationPage
	a.ask("GET", "/operations", "").into(200, &ops)
	for _, op := range ops.Operations {
		if op.State == stateRunning {
			t.Errorf("still running: %+v", op)
		}
	}
}

// Lost: what an operation came to, for one who asks after the program was restarted.
func TestOutcomesSurviveARestart(t *testing.T) {
	var f *faults
	cfg := snapshot.Config{Database: testdb.CRM(t, 1<<20)}
	a := apiOver(t, cfg, faulty(&f))
	b := a.backup("first")
	want := []operation{a.wait(a.ops.list()[0].ID), a.finish(a.ask("POST", "/check", "")), a.finish(a.ask("POST", "/backups/"+b.ID+"/drill", ""))}
	a.change()
	stop := a.m.Subscribe(func(ev snapshot.Event) {
		if ev.Phase == snapshot.PhaseCompress {
			_, _ = a.ops.cancel(ev.Run, "bob") // a second time it has been
		}
	})
	stopped := a.finish(a.ask("POST", "/backups", ""))
	stop()
	if stopped.State != stateCancelled || stopped.Error.Message != "stopped by bob" {
		t.Errorf("%+v %+v", stopped, stopped.Error)
	}
	want = append(want, stopped)
	for i := range want {
		want[i] = decodeOperation(t, a.ask("GET", "/operations/"+want[i].ID, ""), 200)
	}
	a.close()
	a = apiOver(t, cfg, nil)
	for _, op := range want {
		got := decodeOperation(t, a.ask("GET", "/operations/"+op.ID, ""), 200)
		was, err := json.Marshal(op.Error)
		is, err2 := json.Marshal(got.Error)
		if string(got.Result) != string(op.Result) || string(is) != string(was) || errors.Join(err, err2) != nil ||
			got.State != op.State || got.Kind != op.Kind || got.Who != op.Who || deref(got.Backup) != deref(op.Backup) || got.EndedAt == nil {
			t.Errorf("%+v\n%s %s, was\n%+v\n%s %s", got, got.Result, is, op, op.Result, was)
		}
	}
}

// Lost: who runs what: an operation of another process that lives, and of one that is gone.
func TestOperationsOfOtherProcesses(t *testing.T) {
	a := openAPI(t, nil)
	a.backup("first")
	now := time.Now().UTC()
	lives, gone := startedLine(snapshot.OpCheck, now, "", "lives"), startedLine(snapshot.OpRestore, now, "", "gone")
	lives.Process = fmt.Sprint(os.Getppid(), " and its word")
	a.writeLines(lives, gone)
	for id, want := range map[string]string{lives.Operation: stateRunning, gone.Operation: stateFailed} {
		if got := decodeOperation(t, a.ask("GET", "/operations/"+id, ""), 200); got.State != want || got.Cancellable {
			t.Errorf("%+v, want %s", got, want)
		}
	}
	a.ask("DELETE", "/operations/"+lives.Operation, "").problem(409, "not_cancellable")
}

// Lost: a program that does not start, or forgets what ran, because of bad lines.
func TestBadLinesAreNotInTheWay(t *testing.T) {
	cfg := snapshot.Config{Database: testdb.CRM(t, 1<<20)}
	a := apiOver(t, cfg, nil)
	a.backup("first")
	op := a.ops.list()[0]
	a.close()
	good := `{"at":"2026-11-25T09:00:01Z","who":"alice","action":"backup","outcome":"done","operation":"abc","line":"ended"}`
	var text strings.Builder
	for _, line := range []string{"", good[:len(good)/2], "null", "{}", strings.Repeat("x", 1<<20), good + good,
		strings.Replace(good, `"ended"`, `"dancing"`, 1), strings.Replace(good, `"backup"`, `"dance"`, 1),
		strings.Replace(good, `"done"`, `"dancing"`, 1), strings.Replace(good, `"who"`, `"began":"9999-12-31T23:59:59-01:00","who"`, 1),
		strings.Replace(good, `"alice"`, `"`+strings.Repeat("a", 10000)+`"`, 1), strings.Replace(good, `"ended"`, `"ended","result":[1]`, 1),
		strings.Replace(good, `"abc"`, `"../abc"`, 1)} {
		text.WriteString(line + "\n")
	}
	f, err := os.OpenFile(filepath.Join(a.m.Dir(), "activity.jsonl"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(text.String()); errors.Join(err, f.Close()) != nil {
		t.Fatal(err)
	}
	a = apiOver(t, cfg, nil)
	var ops operationPage
	a.ask("GET", "/operations", "").into(200, &ops)
	if !slices.ContainsFunc(ops.Operations, func(o operation) bool { return o.ID == op.ID && o.State == stateDone }) || len(ops.Operations) != 3 {
		t.Errorf("%+v", ops.Operations)
	}
	a.backup("it goes on")
}
