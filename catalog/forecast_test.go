package catalog_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"example.com/snapd/catalog"
)

// simulate carries the coming backups out with Plan, and returns the step's time at
// which each backup of now goes.
func simulate(list []catalog.Entry, p catalog.Policy, now time.Time, steps int, next func(time.Time) time.Time) map[string]time.Time {
	carryOut := func(at time.Time) (gone []string) {
		for _, d := range catalog.Plan(list, catalog.State{}, p, at) {
			if !d.Keep {
				gone = append(gone, d.ID)
			}
		}
		list = slices.DeleteFunc(slices.Clone(list), func(e catalog.Entry) bool { return slices.Contains(gone, e.ID) })
		return gone
	}
	seq := uint64(0)
	for _, e := range list {
		seq = max(seq, e.Seq)
	}
	carryOut(now) // what goes at once is not foreseen
	until := map[string]time.Time{}
	at := now
	for range steps {
		at, seq = next(at), seq+1
		list = append(list, catalog.Entry{ID: fmt.Sprint("coming ", seq), Seq: seq, Kind: catalog.Auto, Trigger: catalog.TriggerSchedule,
			CreatedAt: at, Verification: catalog.Verification{State: catalog.Verified}})
		for _, id := range carryOut(at) {
			until[id] = at
		}
	}
	return until
}

// Lost: a promise. Each backup goes at exactly the step that was predicted, and not
// before, when the coming backups are made and pruned for real.
func TestForecastComesTrue(t *testing.T) {
	const steps = 120
	count := 0
	for trial := range uint64(80) {
		r := rand.New(rand.NewPCG(trial, 7))
		list, now := history(r)
		p := randomPolicy(r)
		pace := time.Duration(1+r.IntN(60)) * time.Hour
		horizon := now.Add(steps * pace)
		next := func(after time.Time) time.Time {
			if after.After(horizon) {
				return time.Time{} // the schedule ends: what follows is not compared
			}
			return after.Add(pace)
		}
		real := simulate(list, p, now, steps, next)
		predicted := catalog.Forecast(list, catalog.State{}, p, now, next)
		for _, e := range list {
			want, goes := real[e.ID]
			got, ok := predicted[e.ID]
			switch {
			case goes && (!ok || !got.Equal(want)):
				t.Errorf("trial %d: %s goes at %v, predicted %v (policy %+v)", trial, e.ID, want, got, p)
			case !goes && ok && !got.After(horizon):
				t.Errorf("trial %d: %s does not go at %v (policy %+v)", trial, e.ID, got, p)
			}
			if exempt := e.Pinned || e.Kind == catalog.Manual || e.Trigger == catalog.TriggerPreRestore; exempt && ok {
				t.Errorf("trial %d: %s goes although no policy applies to it", trial, e.ID)
			}
		}
		count += len(predicted)
	}
	if count < 200 {
		t.Errorf("only %d ends were predicted: the trials prove little", count)
	}
}

// Lost: a page that answers. Ten thousand backups, or a schedule that never keeps
// still, cost a bounded number of steps.
func TestForecastIsBounded(t *testing.T) {
	var list []catalog.Entry
	for i := range 10_000 {
		list = append(list, catalog.Entry{ID: fmt.Sprint(i), Seq: uint64(i + 1), Kind: catalog.Auto, CreatedAt: start.Add(time.Duration(i) * time.Hour),
			Verification: catalog.Verification{State: catalog.Verified}})
	}
	now := list[len(list)-1].CreatedAt
	for _, p := range []catalog.Policy{{Last: 10_000}, {Last: catalog.Unlimited}, {Hourly: catalog.Unlimited}, {Last: 9_000, Daily: 400, Yearly: 100}} {
		calls := 0
		began := time.Now()
		until := catalog.Forecast(list, catalog.State{}, p, now, func(after time.Time) time.Time {
			calls++
			return after.Add(time.Hour)
		})
		if calls > 7500 || time.Since(began) > 5*time.Second {
			t.Errorf("%+v: %d steps, %v", p, calls, time.Since(began))
		}
		if p.Last == 10_000 && !until["0"].Equal(now.Add(time.Hour)) {
			t.Errorf("the oldest goes at %v", until["0"])
		}
		t.Logf("%+v: %d ends in %d steps, %v", p, len(until), calls, time.Since(began))
	}
	if got := catalog.Forecast(list[:5], catalog.State{}, catalog.Policy{}, now, func(time.Time) time.Time { return time.Time{} }); len(got) > 0 {
		t.Errorf("no schedule, and %v", got)
	}
}
