package httpapi

import (
	"net/http"
	"slices"
	"time"

	"example.com/snapd/snapshot"
)

// density is how many recovery points, and commits, each slice of a span of time has: what an axis
// shows, in a bounded answer.
type density struct {
	From    time.Time  `json:"from"`
	To      time.Time  `json:"to"`
	Points  []int      `json:"points"`  // of each slice, the oldest first
	Commits []int64    `json:"commits"` // as far as they were counted
	Gaps    []pointGap `json:"gaps"`    // the oldest first
	Oldest  *time.Time `json:"oldest"`  // of all recovery points; null where there are none
	Newest  *time.Time `json:"newest"`
}

// pointGap is a span whose commits were captured as one, because some of them were missed.
type pointGap struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

// leastGap is the shortest gap that is reported: a look that comes a little late is none.
const leastGap = 10 * time.Second

// inLog reports whether the change log has p.
func inLog(p *snapshot.Point) bool { return p.From != nil }

// isGap reports whether p has commits together that were not followed one by one.
func isGap(p *snapshot.Point) bool {
	return inLog(p) && p.Commits == 0 && p.At.Sub(*p.From) >= leastGap
}

// densityOf counts points, which come newest first, in n slices from one time to a later one.
func densityOf(points []snapshot.Point, from, to time.Time, n int) density {
	d := density{From: from, To: to, Points: make([]int, n), Commits: make([]int64, n), Gaps: []pointGap{}}
	slice := max(to.Sub(from)/time.Duration(n), 1)
	for i := range slices.Backward(points) {
		p := &points[i]
		if d.Oldest == nil || p.At.Before(*d.Oldest) {
			d.Oldest = &p.At
		}
		if d.Newest == nil || p.At.After(*d.Newest) {
			d.Newest = &p.At
		}
		if p.At.Before(from) || p.At.After(to) && !(isGap(p) && p.From.Before(to)) {
			continue
		}
		if isGap(p) {
			d.addGap(pointGap{*p.From, p.At}, slice)
		}
		if !p.At.After(to) {
			i := min(int(p.At.Sub(from)/slice), n-1)
			d.Points[i]++
			d.Commits[i] += p.Commits
		}
	}
	return d
}

// addGap joins gaps that one slice could not separate, so that there are not more of them than slices.
func (d *density) addGap(g pointGap, slice time.Duration) {
	if n := len(d.Gaps); n > 0 && g.From.Sub(d.Gaps[n-1].To) < slice {
		last := &d.Gaps[n-1]
		if g.From.Before(last.From) {
			last.From = g.From
		}
		if g.To.After(last.To) {
			last.To = g.To
		}
		return
	}
	d.Gaps = append(d.Gaps, g)
}

func (h *Handler) getDensity(w http.ResponseWriter, c *call) error {
	from, to, err := span(c.query)
	if err != nil {
		return err
	}
	if to.IsZero() {
		to = h.now().UTC()
	}
	if from.IsZero() {
		from = to.Add(-48 * time.Hour)
	}
	if !from.Before(to) {
		return invalid(`parameter "from" must be before "to"`, "")
	}
	n, err := number(c.query, "buckets", defaultBuckets, maxBuckets)
	if err != nil {
		return err
	}
	all, err := h.points.get(c.Context(), time.Time{})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, densityOf(all, from, to, n))
}

// nearest has the recovery points around a moment.
type nearest struct {
	At     time.Time       `json:"at"`
	Before *snapshot.Point `json:"before"` // the newest at or before it; null where there is none
	After  *snapshot.Point `json:"after"`  // the one that follows
	Lost   lost            `json:"lost"`
}

// lost is what came after the point before the moment.
type lost struct {
	Points    int   `json:"points"`
	Commits   int64 `json:"commits"`   // that were counted
	Uncounted int   `json:"uncounted"` // points that have commits, and not how many
}

// nearestOf looks in points, which come newest first: their order counts, since a clock may have been set back.
func nearestOf(points []snapshot.Point, at time.Time) nearest {
	n := nearest{At: at}
	for i := range points {
		p := &points[i]
		if !p.At.After(at) {
			n.Before = p
			break
		}
		n.After = p
		if !inLog(p) {
			continue
		}
		n.Lost.Points++
		n.Lost.Commits += p.Commits
		if p.Commits == 0 {
			n.Lost.Uncounted++
		}
	}
	return n
}

func (h *Handler) getNearest(w http.ResponseWriter, c *call) error {
	at, err := moment(c.query, "at")
	if err != nil {
		return err
	}
	if at.IsZero() {
		return invalid(`parameter "at" is needed`, "give a time as RFC 3339 writes it")
	}
	// What came after a moment is known from a little later on.
	all, err := h.points.get(c.Context(), at.Add(pointsLife))
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, nearestOf(all, at))
}
