package httpapi

import (
	"context"
	"net/http"
	"testing"
)

// If this fails, who may do one thing only, or a program that tries again and again,
// fills the activity log with refusals until it holds nothing else, and the history
// of days with it.
func TestRefusalsDoNotFillTheLog(t *testing.T) {
	var f *faults
	a := openAPI(t, faulty(&f))
	b := a.backup("first")
	entered, leave := make(chan struct{}), make(chan struct{})
	f.on("Verify", func(context.Context) error { // and does not stop when it is asked to
		close(entered)
		<-leave
		return nil
	})
	op := decodeOperation(t, a.ask("POST", "/backups/"+b.ID+"/verify", ""), http.StatusAccepted)
	<-entered
	for range 3 * recordLimit.Burst {
		a.ask("POST", "/backups/"+b.ID+"/drill", "").problem(409, "busy")
		a.ask("DELETE", "/operations/"+op.ID, "").into(202, nil)
	}
	a.ask("POST", "/backups/"+b.ID+"/restore", `{"token":"x","confirm":"data.db"}`, "X-Who: mallory").problem(409, "stale")
	close(leave)
	f.on("Verify", nil)
	a.wait(op.ID)
	var log activityPage
	a.ask("GET", "/activity?limit=500", "").into(200, &log)
	counts := make(map[string]int)
	for _, e := range log.Activity {
		counts[e.Who+" "+e.Action+" "+e.Outcome]++
	}
	if n := counts["alice drill refused"]; n == 0 || n > recordLimit.Burst {
		t.Errorf("%d of %d refusals were entered", n, 3*recordLimit.Burst)
	}
	if counts["alice cancel done"] != 1 {
		t.Errorf("asking to stop the same operation was entered %d times", counts["alice cancel done"])
	}
	if counts["mallory restore refused"] != 1 {
		t.Errorf("hidden behind other refusals: %v", counts)
	}
}
