package httpapi

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"example.com/snapd/snapshot"
)

func planFor(id string) snapshot.RestorePlan {
	return snapshot.RestorePlan{Backup: snapshot.Backup{ID: id}}
}

// Lost if this fails: a restore by a user who did not look at what it would lose,
// or who looked too long ago.
func TestPlanIsGoodOnce(t *testing.T) {
	now := time.Date(2026, 11, 25, 9, 0, 0, 0, time.UTC)
	var p plans
	token, expires := p.add("alice", planFor("a"), now)
	if len(token) != 43 || !expires.Equal(now.Add(2*time.Minute)) {
		t.Fatalf("token of %d characters until %s", len(token), expires)
	}
	for name, try := range map[string]func() bool{
		"another token":     func() bool { _, ok := p.take(token+"x", "alice", "a", now); return ok },
		"another principal": func() bool { _, ok := p.take(token, "bob", "a", now); return ok },
		"another backup":    func() bool { _, ok := p.take(token, "alice", "b", now); return ok },
		"no token":          func() bool { _, ok := p.take("", "alice", "a", now); return ok },
	} {
		if try() {
			t.Errorf("taken with %s", name)
		}
	}
	k, ok := p.take(token, "alice", "a", now.Add(2*time.Minute-1))
	if !ok {
		t.Fatal("not taken just before its end")
	}
	if _, ok := p.take(token, "alice", "a", now); ok {
		t.Error("taken twice")
	}
	p.putBack(k)
	if _, ok := p.take(token, "alice", "a", now.Add(2*time.Minute)); ok {
		t.Error("taken at its end")
	}
	if _, ok := p.take(token, "alice", "a", now); ok {
		t.Error("an expired one came back")
	}
}

// Lost: the server's memory, or everyone's plans, to one user who makes them in a loop.
func TestPlansAreBounded(t *testing.T) {
	now := time.Now()
	var p plans
	first, _ := p.add("bob", planFor("a"), now)
	var last string
	for range 1000 {
		last, _ = p.add("alice", planFor("a"), now)
	}
	if len(p.kept) != maxPlansEach+1 {
		t.Errorf("%d are kept", len(p.kept))
	}
	if _, ok := p.take(first, "bob", "a", now); !ok {
		t.Error("bob's was pushed out by alice's")
	}
	if _, ok := p.take(last, "alice", "a", now); !ok {
		t.Error("the newest is gone")
	}
	for i := range 1000 {
		p.add(fmt.Sprint("user ", i), planFor("a"), now)
	}
	if len(p.kept) != maxPlans {
		t.Errorf("%d are kept, at most %d", len(p.kept), maxPlans)
	}
}

// Lost: a restore carried out twice, by a button that was clicked twice.
func TestPlanIsTakenByOne(t *testing.T) {
	now := time.Now()
	var p plans
	token, _ := p.add("alice", planFor("a"), now)
	var group sync.WaitGroup
	taken := make(chan bool, 50)
	for range cap(taken) {
		group.Go(func() {
			_, ok := p.take(token, "alice", "a", now)
			taken <- ok
		})
	}
	group.Wait()
	close(taken)
	n := 0
	for ok := range taken {
		if ok {
			n++
		}
	}
	if n != 1 {
		t.Errorf("taken by %d", n)
	}
}

// Lost: the second of the two steps, where it matters that the first was not long ago
// and that nothing has happened since.
func TestRestoreNeedsAFreshPlan(t *testing.T) {
	clock := &chain{now: time.Now()}
	a := openAPI(t, nil, func(_ *snapshot.Config, o *Options) { o.now = clock.clock })
	b := a.backup("first")
	a.change()
	plan := func() string {
		t.Helper()
		var doc planDocument
		a.ask("POST", "/backups/"+b.ID+"/restore-plan", "").into(200, &doc)
		return doc.Plan.Token
	}
	restore := func(token, confirm string, header ...string) answer {
		t.Helper()
		return a.ask("POST", "/backups/"+b.ID+"/restore", fmt.Sprintf(`{"token":%q,"confirm":%q}`, token, confirm), header...)
	}
	old := plan()
	clock.pass(planLife)
	restore(old, "data.db").problem(409, "stale")

	token := plan()
	restore(token, "data.db", "X-Who: bob").problem(409, "stale")
	for _, wrong := range []string{"data", "DATA.DB", " data.db", "data.db\n", "backups/data.db", b.ID} {
		restore(token, wrong).problem(422, "wrong_name")
	}
	if op := a.finish(restore(token, "data.db")); op.State != stateDone {
		t.Fatalf("%+v %+v", op, op.Error)
	}
	restore(token, "data.db").problem(409, "stale")
	if got := len(a.ops.list()); got != 2 {
		t.Errorf("%d operations were begun, want the backup and one restore", got)
	}

	// A plan from before another restore does not hold any more.
	before := plan()
	a.change()
	if op := a.finish(restore(plan(), "data.db")); op.State != stateDone {
		t.Fatalf("%+v %+v", op, op.Error)
	}
	restore(before, "data.db").problem(409, "stale")

	// Refusals are in the log, with who.
	var log activityPage
	a.ask("GET", "/activity?limit=100", "").into(200, &log)
	refused := map[string]int{}
	for _, e := range log.Activity {
		if e.Action == string(snapshot.OpRestore) && e.Outcome == "refused" {
			refused[e.Who+" "+e.Code]++
		}
	}
	if refused["alice wrong_name"] != 6 || refused["bob stale"] != 1 || refused["alice stale"] != 3 {
		t.Errorf("refusals in the log: %v", refused)
	}
}
