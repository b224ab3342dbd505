package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/snapd/snapshot"
)

var noon = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

// pointAt is a point some seconds after noon, whose look before was so many seconds earlier.
func pointAt(seq int, second, span float64, commits int64) snapshot.Point {
	at := noon.Add(time.Duration(second * float64(time.Second)))
	from := at.Add(-time.Duration(span * float64(time.Second)))
	return snapshot.Point{ID: fmt.Sprintf("1.%d", seq), From: &from, At: at, Kind: snapshot.PointChange, Commits: commits, State: snapshot.PointSealed}
}

// newestFirst are points in the order in which they come.
func newestFirst(all ...snapshot.Point) []snapshot.Point {
	slices.Reverse(all)
	return all
}

// If this fails, the axis shows work where there was none, or hides what cannot be had back.
func TestDensity(t *testing.T) {
	all := newestFirst(
		pointAt(1, -3600, 1, 5), // before the span
		pointAt(2, 0, 1, 2),
		pointAt(3, 9.9, 1, 3),
		pointAt(4, 30, 15, 0),  // a gap
		pointAt(5, 52, 20, 12), // was thinned
		pointAt(6, 100, 12, 0), // a gap, up to the span's end
		pointAt(7, 130, 60, 0), // a gap that begins in the span
		pointAt(8, 3600, 1, 7), // after it
	)
	d := densityOf(all, noon, noon.Add(100*time.Second), 10)
	if got, want := fmt.Sprint(d.Points, d.Commits), "[2 0 0 1 0 1 0 0 0 1] [5 0 0 0 0 12 0 0 0 0]"; got != want {
		t.Errorf("points and commits %s, want %s", got, want)
	}
	if !d.Oldest.Equal(noon.Add(-time.Hour)) || !d.Newest.Equal(noon.Add(time.Hour)) {
		t.Errorf("from %v to %v", d.Oldest, d.Newest)
	}
	var gaps []string
	for _, g := range d.Gaps {
		gaps = append(gaps, fmt.Sprint(g.From.Sub(noon).Seconds(), "-", g.To.Sub(noon).Seconds()))
	}
	if got, want := strings.Join(gaps, " "), "15-30 70-130"; got != want {
		t.Errorf("gaps %s, want %s", got, want)
	}
	if d := densityOf(nil, noon, noon.Add(time.Second), 3); d.Oldest != nil || len(d.Points) != 3 || d.Gaps == nil {
		t.Errorf("of nothing: %+v", d)
	}
	if d := densityOf(all, time.Unix(0, 0), time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), maxBuckets); len(d.Points) != maxBuckets {
		t.Errorf("of all time: %d slices", len(d.Points))
	}
}

// If this fails, an answer grows with the number of gaps.
func TestDensityIsBounded(t *testing.T) {
	var all []snapshot.Point
	for i := range 5000 {
		all = append(all, pointAt(i, float64(20*i), 11, 0))
	}
	if d := densityOf(newestFirst(all...), noon, noon.Add(100_000*time.Second), 50); len(d.Gaps) > 51 {
		t.Errorf("%d gaps for 50 slices", len(d.Gaps))
	}
}

// If this fails, a user goes back to another state than the one that was shown, or is not shown what it costs.
func TestNearest(t *testing.T) {
	id := "data_backup_AUTO_20261125_120030"
	backup := snapshot.Point{ID: id, At: noon.Add(30 * time.Second), Kind: snapshot.PointBackup, Backup: &id}
	all := newestFirst(
		pointAt(1, 0, 1, 1),
		pointAt(2, 10, 1, 2),
		pointAt(3, 20, 5, 0),
		backup,
		pointAt(4, 5, 1, 4), // the clock was set back
	)
	for second, want := range map[float64]string{
		-1:  "- 1.1 {4 7 1}",
		0:   "1.1 1.2 {3 6 1}",
		9:   "1.4 - {0 0 0}", // order is by sequence: the newest that was so early
		100: "1.4 - {0 0 0}",
		4:   "1.1 1.2 {3 6 1}",
	} {
		n := nearestOf(all, noon.Add(time.Duration(second*float64(time.Second))))
		name := func(p *snapshot.Point) string {
			if p == nil {
				return "-"
			}
			return p.ID
		}
		if got := fmt.Sprint(name(n.Before), " ", name(n.After), " ", n.Lost); got != want {
			t.Errorf("at %v s: %s, want %s", second, got, want)
		}
	}
}

// If this fails, the list has moments that are not there, or has them next to another backup.
func TestRuns(t *testing.T) {
	name := func(s *string) string {
		if s == nil {
			return "-"
		}
		return *s
	}
	a, b := "a", "b"
	backup := func(id *string, second float64) snapshot.Point {
		return snapshot.Point{ID: *id, At: noon.Add(time.Duration(second * float64(time.Second))), Kind: snapshot.PointBackup, Backup: id}
	}
	all := newestFirst(
		pointAt(1, 1, 1, 1),
		backup(&a, 10),
		pointAt(2, 11, 1, 2), pointAt(3, 12, 1, 0), pointAt(4, 13, 1, 5),
		backup(&b, 20),
		pointAt(6, 21, 1, 1),
	)
	for span, want := range map[[2]float64]string{
		{-1, 100}: "b,-,21-21,1,1 a,b,11-13,3,7 -,a,1-1,1,1 ",
		{12, 15}:  "a,b,11-13,3,7 ",
		{14, 20}:  "",
	} {
		got := ""
		for _, r := range runsOf(all, noon.Add(time.Duration(span[0])*time.Second), noon.Add(time.Duration(span[1])*time.Second)) {
			got += fmt.Sprintf("%s,%s,%v-%v,%d,%d ", name(r.After), name(r.Before), r.From.Sub(noon).Seconds(), r.To.Sub(noon).Seconds(), r.Points, r.Commits)
		}
		if got != want {
			t.Errorf("from %v s: %s, want %s", span, got, want)
		}
	}
	many := make([]snapshot.Point, 0, 4*maxRuns)
	for i := range 2 * maxRuns {
		many = append(many, pointAt(i, float64(2*i), 1, 1), backup(&a, float64(2*i+1)))
	}
	if n := len(runsOf(newestFirst(many...), time.Time{}, time.Time{})); n != maxRuns {
		t.Errorf("%d runs, at most %d", n, maxRuns)
	}
}

// pointed is a Manager with points of its own.
type pointed struct {
	manager
	all []snapshot.Point
}

func (p pointed) Points(_ context.Context, q snapshot.PointsQuery) ([]snapshot.Point, string, error) {
	if q.Cursor != "" && q.Cursor != "1.1" {
		return nil, "", snapshot.ErrNotFound
	}
	if q.Limit > 0 && len(p.all) > q.Limit {
		return p.all[:q.Limit], "1.1", nil
	}
	return p.all, "", nil
}

// Lost if this fails: what the page draws its axis from.
func TestPointsOverHTTP(t *testing.T) {
	all := newestFirst(pointAt(1, 0, 1, 1), pointAt(2, 10, 1, 2), pointAt(3, 20, 11, 0))
	a := openAPI(t, func(m manager) manager { return pointed{m, all} })
	var page pointPage
	a.ask("GET", "/points?limit=2", "").into(200, &page)
	if len(page.Points) != 2 || page.Points[0].ID != "1.3" || page.Next == nil {
		t.Errorf("page %+v", page)
	}
	var d density
	a.ask("GET", "/points/density?from=2026-11-25T12:00:00Z&to=2026-11-25T12:01:00Z&buckets=6", "").into(200, &d)
	if fmt.Sprint(d.Points, d.Commits, len(d.Gaps)) != "[1 1 1 0 0 0] [1 2 0 0 0 0] 1" {
		t.Errorf("density %+v", d)
	}
	a.ask("GET", "/points/density", "").into(200, &d)
	if len(d.Points) != defaultBuckets || d.To.Sub(d.From) != 48*time.Hour {
		t.Errorf("by default: %d slices from %v to %v", len(d.Points), d.From, d.To)
	}
	var n nearest
	a.ask("GET", "/points/nearest?at=2026-11-25T13:00:15%2B01:00", "").into(200, &n)
	if n.Before == nil || n.Before.ID != "1.2" || n.After == nil || n.After.ID != "1.3" {
		t.Errorf("nearest %+v", n)
	}
	bare := openAPI(t, func(m manager) manager { return pointed{manager: m} })
	if r := bare.ask("GET", "/points", ""); string(r.body) != `{"points":[],"next_cursor":null}`+"\n" {
		t.Errorf("without points: %s", r.body)
	}
	bare.ask("GET", "/points/nearest?at=2026-11-25T13:00:15Z", "").into(200, &n)
}

// If this fails, a request can make the server work without end, or gets an answer to a question that
// was not asked.
func TestHostilePointParameters(t *testing.T) {
	a := openAPI(t, func(m manager) manager { return pointed{manager: m} })
	for _, query := range []string{
		"/points?limit=0", "/points?limit=1001", "/points?limit=99999999999999999999", "/points?limit=NaN", "/points?limit=1e3", "/points?limit=-1",
		"/points?from=NaN", "/points?from=0", "/points?to=2026-11-25", "/points?to=2026-13-45T99:00:00Z", "/points?from=2026-11-25T13:00:15+01:00",
		"/points?from=2026-11-26T00:00:00Z&to=2026-11-25T00:00:00Z", "/points?from=0001-01-01T00:00:00Z",
		"/points?cursor=1.18446744073709551616", "/points?cursor=../1.1", "/points?cursor=%00", "/points?cursor=" + strings.Repeat("9", 1000),
		"/points?buckets=5", "/points?limit=5&limit=6", "/points?from=" + strings.Repeat("2", 3000),
		"/points/density?buckets=0", "/points/density?buckets=1001", "/points/density?buckets=Infinity", "/points/density?buckets=0x10",
		"/points/density?from=2026-11-25T00:00:00Z&to=2026-11-25T00:00:00Z", "/points/density?limit=1", "/points/density?from=2999-01-01T00:00:00Z",
		"/points/nearest", "/points/nearest?at=", "/points/nearest?at=NaN", "/points/nearest?at=now", "/points/nearest?at=2026-11-25T13:00:15Z&limit=1",
	} {
		p := a.ask("GET", query, "").problem(422, "invalid")
		if p.Detail == "" || len(p.Detail) > 300 {
			t.Errorf("%.60s: %q", query, p.Detail)
		}
	}
	a.ask("POST", "/points", "").problem(405, "method_not_allowed")
	a.setRights(RightCreate)
	for _, path := range []string{"/points", "/points/density", "/points/nearest?at=2026-11-25T13:00:15Z"} {
		a.ask("GET", path, "").problem(403, "forbidden")
	}
}

// If this fails, an id that is none reaches a file, or an answer repeats what was sent.
func TestHostilePointIDs(t *testing.T) {
	a := openAPI(t, nil)
	for _, id := range []string{"1.18446744073709551616", "18446744073709551616.1", "1.", ".1", "1.-1", "-1.1", "1.1.1", "01.1", "1.01", "+1.1", "1.1e3", "0.0", "1.999999", "NaN.1", "1.１"} {
		at := "/backups/" + url.PathEscape(id)
		for _, path := range []string{at, at + "/tables"} {
			a.ask("GET", path, "").problem(404, "not_found")
		}
		for _, path := range []string{at + "/restore-plan", at + "/drill"} {
			a.ask("POST", path, "").problem(404, "not_found")
		}
		body, err := json.Marshal(restoreRequest{Token: "none", Confirm: "data.db"})
		if err != nil {
			t.Fatal(err)
		}
		a.ask("POST", at+"/restore", string(body)).problem(404, "not_found")
	}
}

// If this fails, a page that is looked at keeps the server reading, or shows what is no longer there.
func TestPointsAreReadNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reads := 0
		p := newPointsCache(nil, time.Now)
		p.read = func(ctx context.Context) ([]snapshot.Point, error) {
			reads++
			time.Sleep(500 * time.Millisecond)
			return []snapshot.Point{pointAt(reads, 0, 0, 1)}, ctx.Err()
		}
		get := func(since time.Time) string {
			t.Helper()
			all, err := p.get(t.Context(), since)
			if err != nil {
				t.Fatal(err)
			}
			return all[0].ID
		}
		want := func(what, got, want string) {
			t.Helper()
			if got != want {
				t.Errorf("%s: %s, want %s", what, got, want)
			}
		}
		began := time.Now()
		want("the first", get(time.Time{}), "1.1")
		want("for a moment of before", get(began), "1.1")
		time.Sleep(3 * time.Second)
		want("for a moment after they were read", get(began.Add(time.Second)), "1.2")
		time.Sleep(4 * time.Second)
		want("while they are good", get(time.Time{}), "1.2")
		want("for a moment to come", get(time.Now().Add(time.Hour)), "1.3")
		time.Sleep(pointsShare * 500 * time.Millisecond)
		want("after their time", get(time.Time{}), "1.4")
		p.forget()
		want("after something happened", get(time.Time{}), "1.5")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		p.forget()
		if _, err := p.get(ctx, time.Time{}); !errors.Is(err, context.Canceled) {
			t.Errorf("for a client that has gone: %v", err)
		}
		if got := get(time.Time{}); got == "1.5" {
			t.Error("after a failure: what was there before something happened")
		}
	})
}
