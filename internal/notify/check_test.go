package notify

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/snapd/internal/activity"
)

// check is a check of healthchecks: it expects a success each period, and is down after a failure, or a grace time after
// a success that did not come.
type check struct {
	success, start time.Time // the last ones; start is zero after a success
	failed         bool
	requests       []time.Time
	starts         int
	rids           map[string]bool
}

const (
	checkPeriod = 5 * time.Minute
	checkGrace  = time.Minute
)

func (c *check) serve(r *http.Request) (int, error) {
	now := time.Now()
	c.requests = append(c.requests, now)
	if rid := r.URL.Query().Get("rid"); rid != "" {
		if c.rids == nil {
			c.rids = map[string]bool{}
		}
		c.rids[rid] = true
	}
	switch {
	case strings.HasSuffix(r.URL.Path, "/start"):
		c.start, c.starts = now, c.starts+1
	case strings.HasSuffix(r.URL.Path, "/fail"):
		c.failed = true
	default:
		c.success, c.failed, c.start = now, false, time.Time{}
	}
	return http.StatusOK, nil
}

func (c *check) green(now time.Time) bool {
	return !c.failed && now.Sub(c.success) <= checkPeriod+checkGrace && (c.start.IsZero() || now.Sub(c.start) <= checkGrace)
}

// If this fails, a check is not red while the data is in danger, or is red while it is not.
func TestCheckGoesRedAndGreen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c := newWorld(t), &check{}
		w.hosts["hc"] = c.serve
		receiver := Receiver{Ping: "https://hc/uuid?create=1"}
		_, stop := w.start(receiver)
		red := func(what string, want bool) {
			t.Helper()
			if c.green(time.Now()) == want {
				t.Errorf("%s: green is %t", what, !want)
			}
		}
		after(time.Minute)
		for range 60 {
			red("at work", false)
			after(time.Minute)
		}
		if len(c.requests) != 13 {
			t.Errorf("%d requests in an hour", len(c.requests))
		}

		w.now(func() { w.active = []Condition{{Kind: AtRisk, Code: "damaged"}, {Kind: Corruption, Code: "corrupt"}} })
		after(11 * time.Second)
		red("the database is damaged", true)
		w.now(func() { w.active = nil })
		after(11 * time.Second)
		red("it was recovered", false)

		w.now(func() { w.active = []Condition{{Kind: AtRisk, Code: "remote"}, {Kind: RemoteBehind, Code: "remote"}} })
		after(11 * time.Second)
		red("a remote is gone for longer than its period", true)
		w.now(func() { w.active = nil })
		after(11 * time.Second)
		red("the remote has everything", false)
		after(time.Minute)

		w.write(logged("drill", "failed", "corrupt"))
		after(11 * time.Second)
		red("a drill failed", true)
		after(time.Hour)
		red("nobody drilled again", true)
		w.write(logged("drill", "done", ""))
		after(11 * time.Second)
		red("a drill was well", false)

		w.now(func() { w.dead = true })
		after(7 * time.Minute)
		red("the service hangs", true)
		w.now(func() { w.dead = false })
		after(70 * time.Second)
		red("it goes on", false)

		w.now(func() { w.hang = true })
		after(7 * time.Minute)
		red("the disk does not answer", true)
		w.now(func() { w.hang = false })
		after(time.Hour)
		red("it answers", false)

		stop()
		after(7 * time.Minute)
		red("the service was killed", true)
		n, again := w.start(receiver)
		after(time.Second)
		red("it was started again", false)
		again()
		if s := n.Status()[0]; s.State != StateOK || s.Failed > 0 || s.Target != "https://hc" {
			t.Errorf("%+v", s)
		}
	})
}

// If this fails, a check is asked more than five times a minute, or does not know which backup began and ended.
func TestCheckOfBackups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c := newWorld(t), &check{}
		w.hosts["hc"] = c.serve
		n, stop := w.start(Receiver{Ping: "https://hc/uuid"})
		after(time.Hour)
		begun, ended := logged("backup", "running", ""), logged("backup", "done", "")
		begun.Line = activity.Started
		w.write(begun)
		n.Wake()
		after(2 * time.Second)
		if c.starts != 1 {
			t.Errorf("%d backups began", c.starts)
		}
		after(20 * time.Second)
		w.write(ended)
		n.Wake()
		after(2 * time.Second)
		if !c.start.IsZero() || len(c.rids) != 1 {
			t.Errorf("the backup is not over, or is another one: %v", c.rids)
		}
		for range 200 { // a busy hour
			w.write(begun)
			n.Wake()
			after(5 * time.Second)
			w.write(ended)
			n.Wake()
			after(13 * time.Second)
			if !c.green(time.Now()) {
				t.Fatalf("red in between, after %d requests", len(c.requests))
			}
		}
		for i := range c.requests {
			if i >= 5 && c.requests[i].Sub(c.requests[i-5]) < time.Minute {
				t.Fatalf("six requests in %s", c.requests[i].Sub(c.requests[i-5]))
			}
		}
		stop()
	})
}

// If this fails, a check that is not reachable is asked all the time, or stays red when it is reachable again.
func TestCheckAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c := newWorld(t), &check{}
		asked := 0
		w.hosts["hc"] = func(*http.Request) (int, error) { asked++; return 0, errRefused }
		n, stop := w.start(Receiver{Ping: "https://hc/uuid"})
		after(time.Hour)
		if asked > 16 || n.Status()[0].State != StateFailing {
			t.Errorf("asked %d times: %+v", asked, n.Status())
		}
		w.now(func() { w.hosts["hc"] = c.serve })
		after(6 * time.Minute)
		if !c.green(time.Now()) || n.Status()[0].State != StateOK {
			t.Errorf("%+v, %+v", c, n.Status())
		}
		stop()
	})
}
