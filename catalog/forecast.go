package catalog

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"
)

const (
	// forecastSteps bounds how many coming backups Forecast looks ahead: ten years
	// of two a day; forecastYears how far, whatever the schedule.
	forecastSteps = 7500
	forecastYears = 20
	// forecastWork bounds the decisions that it makes for them.
	forecastWork = 10_000_000
)

// Forecast tells when each automatic backup that [Plan] keeps now will go under p,
// if from now on each backup that the schedule wants is made, verified and followed
// by carrying out the plan, and nobody pins, deletes or verifies another. next gives
// the scheduled time after a time, the zero time for none. Backups that no policy
// applies to, and those whose end is not in sight within a bounded look ahead, are
// left out. It is a pure function like Plan.
func Forecast(entries []Entry, p Policy, now time.Time, next func(after time.Time) time.Time) map[string]time.Time {
	until := map[string]time.Time{}
	o := newOutlook(entries, p, now)
	if o.last == Unlimited || len(o.list) == 0 {
		return until
	}
	open, work := len(o.list), 0 // backups of now whose end is not known
	at, horizon := now, now.AddDate(forecastYears, 0, 0)
	for step := 0; step < forecastSteps && open > 0 && work < forecastWork; step++ {
		tick := next(at)
		if !tick.After(at) || tick.After(horizon) {
			break
		}
		at = tick
		o.add(at)
		work += len(o.list) * (1 + len(o.rules))
		for _, gone := range o.prune() {
			if gone.id != "" {
				until[gone.id] = at.UTC()
				open--
			}
		}
	}
	return until
}

// outlook is what is left of a catalog at one step of a forecast: the backups that
// a policy applies to, as far as Plan's decisions depend on them. Once a coming
// backup is in, the newest verified one is always of the future, and the exempt
// ones, which take nobody's place, can be left out.
type outlook struct {
	last  int
	now   time.Time
	list  []outlookEntry // by seq, oldest first
	rules []outlookRule
	ahead []time.Time // dates after now, earliest first
}

type outlookEntry struct {
	id    string // "" for one that is yet to come
	seq   int    // position in the order of all
	state VerifyState
	at    time.Time
	keys  []int64 // beginning of its period by each rule, Unix seconds
}

// outlookRule is a period rule. Keys and firsts are never removed: a backup that is
// the first of its period goes only when quota later periods have one, and then no
// other one of that period, or of an earlier one, is wanted by the rule again.
type outlookRule struct {
	period
	later [2][]int64       // per era, the periods that have a verified backup, latest first
	first [2]map[int64]int // and the seq of the newest one of each
}

// newOutlook starts with what Plan keeps now.
func newOutlook(entries []Entry, p Policy, now time.Time) *outlook {
	kept := map[string]bool{}
	for _, d := range Plan(entries, p, now) {
		kept[d.ID] = d.Keep
	}
	sorted := slices.SortedFunc(slices.Values(entries), func(a, b Entry) int {
		return cmp.Or(cmp.Compare(a.Seq, b.Seq), strings.Compare(b.ID, a.ID))
	})
	o := &outlook{last: p.last(), now: now}
	for _, r := range p.periods() {
		o.rules = append(o.rules, outlookRule{period: r})
	}
	for i := range sorted {
		if e := &sorted[i]; kept[e.ID] && exempt(e) == "" {
			o.list = append(o.list, o.entry(e.ID, e.Verification.State, e.CreatedAt, len(o.list)))
		}
	}
	o.arrange()
	return o
}

func (o *outlook) entry(id string, state VerifyState, at time.Time, seq int) outlookEntry {
	e := outlookEntry{id: id, seq: seq, state: state, at: at, keys: make([]int64, len(o.rules))}
	for i, r := range o.rules {
		e.keys[i] = r.start(at).Unix()
	}
	return e
}

func (o *outlook) era(e *outlookEntry) int {
	if e.at.After(o.now) {
		return 1
	}
	return 0
}

// arrange makes the rules' state anew: eras change when now passes a date.
func (o *outlook) arrange() {
	o.ahead = o.ahead[:0]
	for i := range o.list {
		if o.list[i].at.After(o.now) {
			o.ahead = append(o.ahead, o.list[i].at)
		}
	}
	slices.SortFunc(o.ahead, time.Time.Compare)
	for j := range o.rules {
		r := &o.rules[j]
		r.first = [2]map[int64]int{{}, {}}
		for i := range o.list {
			if e := &o.list[i]; e.state == Verified {
				r.first[o.era(e)][e.keys[j]] = e.seq
			}
		}
		for era := range r.first {
			r.later[era] = slices.SortedFunc(maps.Keys(r.first[era]), func(a, b int64) int { return cmp.Compare(b, a) })
		}
	}
}

// add moves on to at, with a new verified backup of that time.
func (o *outlook) add(at time.Time) {
	o.now = at
	seq := 0
	if n := len(o.list); n > 0 {
		seq = o.list[n-1].seq + 1
	}
	e := o.entry("", Verified, at, seq)
	o.list = append(o.list, e)
	if len(o.ahead) > 0 && !o.ahead[0].After(at) {
		o.arrange()
		return
	}
	for j := range o.rules {
		r, key := &o.rules[j], e.keys[j]
		if i, found := r.place(key, 0); !found {
			r.later[0] = slices.Insert(r.later[0], i, key)
		}
		r.first[0][key] = seq
	}
}

// place is how many later periods have a backup, and whether that of key has.
func (r *outlookRule) place(key int64, era int) (int, bool) {
	return slices.BinarySearchFunc(r.later[era], key, func(k, target int64) int { return cmp.Compare(target, k) })
}

// prune decides as Plan does, takes out what goes, and returns it.
func (o *outlook) prune() (gone []outlookEntry) {
	automatic := 0 // verified ones so far, newest first
	kept := len(o.list)
	for i := len(o.list) - 1; i >= 0; i-- {
		e := o.list[i]
		byNumber := automatic < o.last
		if e.state == Verified {
			automatic++
		}
		newest := i == len(o.list)-1
		if newest || byNumber || e.state != Failed && o.wanted(&e) {
			kept--
			o.list[kept] = e
			continue
		}
		gone = append(gone, e)
	}
	o.list = slices.Delete(o.list, 0, kept)
	return gone
}

// wanted reports whether a period rule wants e.
func (o *outlook) wanted(e *outlookEntry) bool {
	era := o.era(e)
	for j := range o.rules {
		r, key := &o.rules[j], e.keys[j]
		if newest, any := r.first[era][key]; any && newest > e.seq {
			continue
		}
		if rank, _ := r.place(key, era); r.wants(rank) {
			return true
		}
	}
	return false
}
