package catalog_test

import (
	"bufio"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"example.com/snapd/catalog"
)

var start = time.Date(2025, 10, 31, 12, 0, 0, 0, time.UTC)

var updateGolden = flag.Bool("update", false, "rewrite the decisions in testdata/plan")

// A golden file: comments, a policy line, a now line, then one backup per line:
//
//	SEQ WHAT STATE TIME -> keep|remove: REASON
//
// WHAT is a trigger, with "+pin" when pinned; "manual" has kind manual.
func TestPlanGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/plan/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			g := readGolden(t, file)
			decisions := make(map[string]catalog.Decision)
			for _, d := range catalog.Plan(g.entries, catalog.State{}, g.policy, g.now) {
				decisions[d.ID] = d
			}
			verdict := map[bool]string{true: "keep", false: "remove"}
			var out strings.Builder
			for _, line := range g.lines {
				given, want, _ := strings.Cut(line, " -> ")
				seq, _, _ := strings.Cut(given, " ")
				d, isEntry := decisions[seq]
				if !isEntry {
					fmt.Fprintln(&out, line)
					continue
				}
				got := verdict[d.Keep] + ": " + d.Reason
				if got != want {
					t.Errorf("%s\n got %s\nwant %s", given, got, want)
				}
				fmt.Fprintf(&out, "%s -> %s\n", given, got)
			}
			if *updateGolden {
				if err := os.WriteFile(file, []byte(out.String()), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

type golden struct {
	lines   []string
	policy  catalog.Policy
	now     time.Time
	entries []catalog.Entry
}

func readGolden(t *testing.T, file string) (g golden) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := lines.Text()
		g.lines = append(g.lines, line)
		words := strings.Fields(line)
		if len(words) == 0 || words[0] == "#" {
			continue
		}
		switch words[0] {
		case "policy":
			if len(words) > 1 {
				g.policy.Daily = catalog.None // where it is not named
			}
			for _, w := range words[1:] {
				name, n, _ := strings.Cut(w, "=")
				value, err := strconv.Atoi(n)
				if err != nil {
					t.Fatal(err)
				}
				reflect.ValueOf(&g.policy).Elem().FieldByName(name).SetInt(int64(value))
			}
		case "now":
			g.now = parseTime(t, words[1])
		default:
			g.entries = append(g.entries, goldenEntry(t, words))
		}
	}
	return g
}

func parseTime(t *testing.T, s string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func goldenEntry(t *testing.T, words []string) catalog.Entry {
	t.Helper()
	seq, err := strconv.ParseUint(words[0], 10, 64)
	if err != nil || len(words) < 4 {
		t.Fatalf("bad line %q", words)
	}
	what, pinned := strings.CutSuffix(words[1], "+pin")
	e := catalog.Entry{ID: words[0], Seq: seq, Kind: catalog.Auto, Trigger: catalog.Trigger(what), Pinned: pinned,
		CreatedAt: parseTime(t, words[3]), Verification: catalog.Verification{State: catalog.VerifyState(words[2])}}
	if what == "manual" {
		e.Kind = catalog.Manual
	}
	return e
}

// history makes a random past: a clock that jumps, failures, pins, deletions.
func history(r *rand.Rand) (list []catalog.Entry, now time.Time) {
	now = start
	seq := uint64(0)
	for range r.IntN(60) {
		seq += 1 + uint64(r.IntN(3))
		switch r.IntN(12) {
		case 0:
			now = now.AddDate(0, 0, r.IntN(800)-400)
		case 1:
			now = now.AddDate(r.IntN(100)-50, 0, 0)
		default:
			now = now.Add(time.Duration(r.IntN(40)) * time.Hour)
		}
		e := catalog.Entry{ID: fmt.Sprint(seq), Seq: seq, Kind: catalog.Auto, Trigger: catalog.TriggerSchedule, CreatedAt: now}
		e.Verification.State = []catalog.VerifyState{catalog.Verified, catalog.Verified, catalog.Verified, catalog.Unverified, catalog.Failed}[r.IntN(5)]
		switch r.IntN(12) {
		case 0:
			e.Kind = catalog.Manual
		case 1:
			e.Pinned = true
		case 2:
			e.Trigger = catalog.TriggerPreRestore
		}
		list = append(list, e)
	}
	r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list, now
}

func randomPolicy(r *rand.Rand) catalog.Policy {
	q := func() int { return []int{0, 0, 1, 2, 5, catalog.None, catalog.Unlimited}[r.IntN(7)] }
	return catalog.Policy{Last: q(), Hourly: q(), Daily: q(), Weekly: q(), Monthly: q(), Yearly: q()}
}

// Lost: backups. For any history, also with a jumping clock: the newest verified
// one, manual, pinned and pre-restore ones stay; nothing goes without a newer
// verified one; the plan does not depend on the order of the list; carrying it
// out and planning again removes nothing more.
func TestPlanProperties(t *testing.T) {
	for trial := range uint64(4000) {
		r := rand.New(rand.NewPCG(trial, 1))
		list, now := history(r)
		p := randomPolicy(r)
		plan := catalog.Plan(list, catalog.State{}, p, now)
		shuffled := slices.Clone(list)
		r.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		if again := catalog.Plan(shuffled, catalog.State{}, p, now); !slices.Equal(plan, again) {
			t.Fatalf("trial %d: the order of the list matters", trial)
		}
		kept := checkPlan(t, trial, list, plan, p)
		for _, d := range catalog.Plan(kept, catalog.State{}, p, now) {
			if !d.Keep {
				t.Fatalf("trial %d: %s was kept, and goes the second time: %s", trial, d.ID, d.Reason)
			}
		}
	}
}

// checkPlan checks one plan and returns the entries that it keeps.
func checkPlan(t *testing.T, trial uint64, list []catalog.Entry, plan []catalog.Decision, p catalog.Policy) (kept []catalog.Entry) {
	t.Helper()
	byID := make(map[string]catalog.Entry)
	newest := uint64(0)
	for _, e := range list {
		byID[e.ID] = e
		if e.Usable() {
			newest = max(newest, e.Seq)
		}
	}
	if len(plan) != len(list) {
		t.Fatalf("trial %d: %d decisions for %d backups", trial, len(plan), len(list))
	}
	newer := 0 // verified automatic ones, newer than the one looked at
	for i, d := range plan {
		e := byID[d.ID]
		if d.Reason == "" || i > 0 && e.Seq >= byID[plan[i-1].ID].Seq {
			t.Fatalf("trial %d: no reason, or not newest first: %+v", trial, d)
		}
		exempt := e.Kind == catalog.Manual || e.Pinned || e.Trigger == catalog.TriggerPreRestore
		last := p.Last
		if last == 0 {
			last = catalog.DefaultLast
		}
		switch {
		case d.Keep:
			kept = append(kept, e)
		case exempt, e.Seq >= newest, last == catalog.Unlimited, newer < last:
			t.Fatalf("trial %d: %+v must not go: %s", trial, e, d.Reason)
		}
		if e.Usable() && !exempt {
			newer++
		}
	}
	return kept
}

// Lost: real backups to wrong dates. One more backup, dated whenever, makes no
// other one go than what a rightly dated one would: the oldest of Last.
func TestPlanWrongDateEvictsNothing(t *testing.T) {
	p := catalog.Policy{Last: 3, Hourly: 3, Daily: 7, Weekly: 4, Monthly: 6, Yearly: 2}
	var list []catalog.Entry
	for i := range 400 {
		list = append(list, catalog.Entry{ID: fmt.Sprint(i + 1), Seq: uint64(i + 1), Kind: catalog.Auto, CreatedAt: start.Add(time.Duration(i) * 11 * time.Hour),
			Verification: catalog.Verification{State: catalog.Verified}})
	}
	now := list[len(list)-1].CreatedAt.Add(time.Minute)
	goes := func(list []catalog.Entry, now time.Time) map[string]bool {
		out := make(map[string]bool)
		for _, d := range catalog.Plan(list, catalog.State{}, p, now) {
			if !d.Keep {
				out[d.ID] = true
			}
		}
		return out
	}
	before := goes(list, now)
	for _, wrong := range []time.Time{{}, now.AddDate(-30, 0, 0), now.AddDate(0, 0, 1), now.AddDate(1, 0, 0), now.AddDate(70, 0, 0)} {
		more := append(slices.Clone(list), catalog.Entry{ID: "wrong", Seq: 1000, Kind: catalog.Auto, CreatedAt: wrong,
			Verification: catalog.Verification{State: catalog.Verified}})
		var lost []string
		for id := range goes(more, now) {
			if !before[id] {
				lost = append(lost, id)
			}
		}
		if len(lost) > 1 || len(lost) == 1 && lost[0] != "398" {
			t.Errorf("a backup dated %s evicts %v", wrong, lost)
		}
	}
	// The clock falls back: all of them are in the future, and stay what they were.
	if fell := goes(list, now.AddDate(-20, 0, 0)); !reflect.DeepEqual(fell, before) {
		t.Errorf("after the clock fell back %d go, before %d", len(fell), len(before))
	}
}

// Lost: the past, when backups since a break push out those from before; or the disk, when they stay for ever.
// For any history of timelines: what one of those that are counted by themselves keeps does not depend on the others, and is what the
// plan of it alone keeps; a loss that was not accepted leaves a backup from before it; and carrying
// the plan out and planning again removes nothing more.
func TestPlanTimelines(t *testing.T) {
	causes := []catalog.Cause{catalog.Emptied, catalog.Shrunk, catalog.OtherSchema, catalog.Replaced, catalog.Restored, catalog.Returned}
	for trial := range uint64(3000) {
		r := rand.New(rand.NewPCG(trial, 2))
		list, now := history(r)
		slices.SortFunc(list, func(a, b catalog.Entry) int { return int(a.Seq) - int(b.Seq) })
		at, s := catalog.Timeline{Number: 1}, catalog.State{}
		for i := range list {
			if r.IntN(6) == 0 {
				began := now.Add(-time.Duration(r.IntN(60)) * 24 * time.Hour)
				at = catalog.Timeline{Number: at.Number + 1, Cause: causes[r.IntN(len(causes))], At: &began}
				s.Began = append(s.Began, at)
			}
			list[i].Timeline = at
		}
		s.Accepted, s.Timeline = uint64(r.IntN(int(at.Number)+1)), &catalog.Present{Timeline: at}
		p := randomPolicy(r)
		plan := catalog.Plan(list, s, p, now)
		keeps := make(map[string]bool)
		for _, d := range plan {
			keeps[d.ID] = d.Keep
		}
		var kept []catalog.Entry
		for _, e := range list {
			if keeps[e.ID] {
				kept = append(kept, e)
			}
		}
		for _, d := range catalog.Plan(kept, s, p, now) {
			if !d.Keep {
				t.Fatalf("trial %d: %s was kept, and goes the second time: %s", trial, d.ID, d.Reason)
			}
		}
		checkApart(t, trial, list, keeps, s, p, now)
	}
}

// checkApart checks each beginning of a timeline by the rules as the guides say them.
func checkApart(t *testing.T, trial uint64, list []catalog.Entry, keeps map[string]bool, s catalog.State, p catalog.Policy, now time.Time) {
	t.Helper()
	for _, first := range list {
		began := first.Timeline
		if began.Cause == "" {
			continue
		}
		apart := now.Before(began.At.Add(catalog.DefaultReplaced)) && !(began.Cause.Break() && began.Number <= s.Accepted)
		var past []catalog.Entry
		for _, e := range list {
			if e.Timeline.Number < began.Number {
				past = append(past, e)
			}
		}
		if apart && len(s.Began) <= 10 { // no later backup is of any consequence
			for _, d := range catalog.Plan(past, catalog.State{Accepted: s.Accepted, Began: before(s.Began, began.Number)}, p, now) {
				if d.Keep && !keeps[d.ID] && !strings.HasPrefix(d.Reason, "restored") {
					t.Fatalf("trial %d: %s from before timeline %d goes, and is kept without those since: %s", trial, d.ID, began.Number, d.Reason)
				}
			}
		}
		usable := func(e catalog.Entry) bool { return e.Usable() }
		if began.Cause.Loss() && len(s.Began) <= 10 && began.Number > s.Accepted && slices.ContainsFunc(past, usable) &&
			!slices.ContainsFunc(past, func(e catalog.Entry) bool { return e.Usable() && keeps[e.ID] }) {
			t.Fatalf("trial %d: nothing is left from before timeline %d", trial, began.Number)
		}
	}
}

// Lost: the disk, for a database that is emptied every minute: many timelines, few backups.
func TestManyTimelinesAreBounded(t *testing.T) {
	var list []catalog.Entry
	for i := range 5000 {
		at := start.Add(time.Duration(i) * time.Minute)
		list = append(list, catalog.Entry{ID: fmt.Sprint(i), Seq: uint64(i + 1), Kind: catalog.Auto, CreatedAt: at,
			Timeline: catalog.Timeline{Number: uint64(i + 1), Cause: catalog.Emptied, At: &at}, Verification: catalog.Verification{State: catalog.Verified}})
	}
	list[0].Timeline = catalog.Timeline{Number: 1}
	kept := 0
	plan := catalog.Plan(list, catalog.State{}, catalog.Policy{}, start.Add(5000*time.Minute))
	for _, d := range plan {
		if d.Keep {
			kept++
		}
	}
	if kept < 20 || kept > 200 || !plan[len(plan)-1].Keep {
		t.Errorf("%d of %d are kept, and the first one %v", kept, len(list), plan[len(plan)-1].Keep)
	}
}

// before returns those of the timelines that began before number.
func before(all []catalog.Timeline, number uint64) []catalog.Timeline {
	return slices.DeleteFunc(slices.Clone(all), func(t catalog.Timeline) bool { return t.Number >= number })
}
