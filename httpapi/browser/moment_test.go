package browser

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"example.com/snapd/snapshot"
)

// steps counts the changes that momentsAgo makes.
const steps = "SELECT count(*) FROM steps"

// momentsAgo are backups of so long ago, the oldest first, with a change after each.
func momentsAgo(ages ...time.Duration) (func(*site), *[]snapshot.Backup) {
	var made []snapshot.Backup
	return func(s *site) {
		var c clock
		s.config.Now = c.now
		s.prepare = func() {
			now := time.Now()
			s.exec("CREATE TABLE steps(at)")
			for _, age := range ages {
				c.set(now.Add(-age))
				made = append(made, s.manual("of "+age.String()+" ago"))
				s.exec("INSERT INTO steps VALUES(1)")
			}
			c.right()
		}
	}, &made
}

// axis brings the time axis into sight, where it is loaded.
func (p *tab) axis() {
	p.t.Helper()
	p.sees(hook("moment"))
	must[any](p, found(hook("moment"))+".scrollIntoView({block: 'start', behavior: 'instant'}), null")
	p.sees(hook("axis"))
}

// typed is a moment as one types it, in the browser's time zone.
func typed(t *testing.T, at time.Time) string {
	t.Helper()
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	return at.In(zone).Format(time.DateTime)
}

// What a bad day asks for: the state from just before it happened, by a user who knows only when that was.
func TestGoBackToAMoment(t *testing.T) {
	t.Parallel()
	past, made := momentsAgo(5*time.Hour, 2*time.Hour)
	s := newSite(t, past)
	old, recent := (*made)[0], (*made)[1]
	p := s.open(desktop)
	p.axis()
	p.says(hook("moment-words"), "not captured")

	p.fill(hook("moment-time"), typed(t, recent.CreatedAt.Add(-time.Hour)))
	p.press(kb.Enter)
	p.says(hook("moment-before"), "last state before", typed(t, old.CreatedAt)[11:], "lost", "5 h")
	p.says(hook("moment-after"), "first state after", typed(t, recent.CreatedAt)[11:], "2 h")
	p.accessible("a moment")
	for _, d := range []device{{width: 320, height: 700, still: true}, {width: 320, height: 700, still: true, dark: true}} {
		p.look(d)
		p.fits(d)
		p.accessible("a moment on a small screen")
	}
	p.look(desktop)

	p.click(hook("moment-after-step")) // the newest is the one before, then
	p.says(hook("moment-before"), typed(t, recent.CreatedAt)[11:])
	p.gone(hook("moment-after"))
	p.click(hook("moment-before-step"))
	p.says(hook("moment-before"), typed(t, old.CreatedAt)[11:])

	p.click(hook("moment-before-restore"))
	p.says(hook("dialog-restore-1"), "all changes since")
	p.confirmRestore()
	p.says(hook("undo-banner"), "undo")
	if n := s.count(steps); n != 0 {
		t.Errorf("%d steps after going back to before the first", n)
	}
	p.says(hook("moment-words"), "not captured")
}

// The axis must be of use to a hand that points and to one that presses keys, and say where it is.
func TestTheAxisIsASlider(t *testing.T) {
	t.Parallel()
	past, made := momentsAgo(40*time.Hour, 2*time.Hour)
	s := newSite(t, past)
	p := s.open(desktop)
	p.axis()
	p.hears("slider", "moment to go back to")
	p.click(hook("axis")) // its middle: a day ago
	p.says(hook("moment-before"), typed(t, (*made)[0].CreatedAt)[11:])
	p.says(hook("moment-after"), typed(t, (*made)[1].CreatedAt)[11:])
	at := func() float64 {
		return must[float64](p, "Number("+found(hook("axis"))+".getAttribute('aria-valuenow'))")
	}
	value := func() string { return must[string](p, found(hook("axis"))+".getAttribute('aria-valuetext')") }
	day := at()
	if age := float64(time.Now().Unix()) - day; age < 23*3600 || age > 25*3600 {
		t.Errorf("the middle of 48 hours is %v s ago", age)
	}
	if got := p.focused(); got != "axis" {
		t.Errorf("after pointing the focus is at %s", got)
	}
	for _, step := range []struct {
		key  string
		with []chromedp.Modifier
		want float64
	}{
		{kb.ArrowLeft, nil, day - 600},
		{kb.ArrowRight, nil, day},
		{kb.ArrowRight, []chromedp.Modifier{chromedp.ModifierShift}, day + 1},
		{kb.PageDown, nil, day + 1 - 7200},
	} {
		p.press(step.key, step.with...)
		if got := at(); got != step.want {
			t.Errorf("%q led %v s from where it was, want %v", step.key, got-day, step.want-day)
		}
	}
	p.wait("the state before it is said", found(hook("axis"))+".getAttribute('aria-valuetext').includes('with the state of')")
	if got := value(); !strings.Contains(got, typed(t, time.Unix(int64(at()), 0))[11:]) {
		t.Errorf("it is said to be at %q", got)
	}
	p.press(kb.End)
	p.gone(hook("moment-after"))
	p.click(`label:has([name="scale"][value="month"])`)
	p.wait("30 days", "Number("+found(hook("axis"))+".getAttribute('aria-valuemax')) - Number("+found(hook("axis"))+".getAttribute('aria-valuemin')) === 30 * 86400")
	p.press(kb.Tab) // from the scale
	p.tabTo(hook("axis"), 3)
	p.press(kb.Home) // nothing is older than the oldest state
	p.says(hook("moment-before"), typed(t, (*made)[0].CreatedAt)[11:])
}

// A time that means two moments, or none, must not be taken for one of them.
func TestTypedMoments(t *testing.T) {
	t.Parallel()
	past, made := momentsAgo(2 * time.Hour)
	s := newSite(t, past)
	p := s.open(desktop)
	p.axis()
	find := func(words string) {
		p.fill(hook("moment-time"), words)
		p.press(kb.Enter)
	}
	for words, want := range map[string]string{
		"yesterday":           "not a time",
		"2025-02-30 10:00":    "not a time",
		"2999-01-01 00:00":    "in the future",
		"2025-03-30 02:30:00": "skipped",
	} {
		find(words)
		p.says(hook("moment-problem"), want)
		p.gone(hook("moment-found"))
	}
	p.accessible("a time that is none")
	find("2025-10-26 02:30")
	p.says(hook("moment-twice"), "came twice", "2025-10-26 00:30:00 UTC", "2025-10-26 01:30:00 UTC")
	p.gone(hook("moment-problem"))
	p.accessible("a time that came twice")
	p.click(hook("moment-twice-2"))
	p.gone(hook("moment-twice"))
	p.sees(hook("moment-found"))
	find((*made)[0].CreatedAt.Add(30*time.Minute + time.Second).Format(time.RFC3339)) // in UTC
	p.says(hook("moment-before"), "30 min before")
	find("-1m")
	p.says(hook("moment-before"), "h ", "before") // 1 h 59 min, or later
}

// What is loaded late must find its room: a row that moves under the finger is pressed for another.
func TestTheAxisMovesNothing(t *testing.T) {
	t.Parallel()
	for _, d := range []device{desktop, narrow, {width: 320, height: 700}} {
		t.Run(fmt.Sprint(d.width), func(t *testing.T) {
			t.Parallel()
			answer := make(chan struct{})
			release := sync.OnceFunc(func() { close(answer) })
			s := newSite(t, withPast(3*time.Hour), func(s *site) {
				s.mount = func(h http.Handler) http.Handler {
					return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						if strings.HasSuffix(r.URL.Path, "/js/moment.js") {
							<-answer
						}
						h.ServeHTTP(w, r)
					})
				}
			})
			t.Cleanup(release) // before the server is stopped
			p := s.open(d)
			p.sees(hook("moment"))
			must[any](p, found(hook("moment"))+".scrollIntoView({block: 'end', behavior: 'instant'}), null")
			place := "new Promise(requestAnimationFrame).then(() => new Promise(requestAnimationFrame)).then(() => " + found(hook("backups")) + ".getBoundingClientRect().top)"
			before := must[float64](p, place)
			p.gone(hook("axis"))
			release()
			p.sees(hook("axis"))
			if after := must[float64](p, place); after != before {
				t.Errorf("the list of backups moved by %v px", after-before)
			}
			p.steady("with the time axis")
		})
	}
}

// A user who comes to the axis while the server is away finds it there once the server is back.
func TestTheAxisComesWithTheServer(t *testing.T) {
	t.Parallel()
	past, _ := momentsAgo(2 * time.Hour)
	s := newSite(t, past)
	p := s.open(device{width: 1280, height: 200}) // the axis is out of sight
	p.allow(unreachable)
	s.stop()
	p.sees(hook("connection"))
	must[any](p, found(hook("moment"))+".scrollIntoView({block: 'start', behavior: 'instant'}), null")
	p.press(kb.Shift)
	p.gone(hook("axis"))
	s.start()
	p.gone(hook("connection"))
	p.sees(hook("axis"))
	p.accessible("an axis that came late")
}

// Without anything to go back to the page has to say so, and not show an empty axis.
func TestNoMomentYet(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.open(desktop)
	p.says(hook("moment"), "go back to a moment")
	must[any](p, found(hook("moment"))+".scrollIntoView({block: 'start', behavior: 'instant'}), null")
	p.says(hook("moment-words"), "not captured")
	p.gone(hook("axis"))
	s.manual("the first")
	p.sees(hook("axis"))
}

// record has a service capture every commit, and returns when the change log has its base.
func (s *site) record() {
	s.t.Helper()
	s.manual("the base")
	s.exec("CREATE TABLE steps(at)")
	s.run()
}

// step commits once, and returns when that is a recovery point.
func (s *site) step() (p snapshot.Point) {
	s.t.Helper()
	newest := func() snapshot.Point {
		all, _, err := s.manager.Points(s.t.Context(), snapshot.PointsQuery{Limit: 1})
		if err != nil || len(all) == 0 {
			s.t.Fatalf("points: %v, %v", all, err)
		}
		return all[0]
	}
	before := newest().ID
	s.exec("INSERT INTO steps VALUES(1)")
	s.waitFor("a capture", func() bool { p = newest(); return p.ID != before && p.From != nil })
	return p
}

// Lost if this fails: what captures are for. A wrong statement is taken back by a second, next to the running
// application, on the page.
func TestGoBackByASecond(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(s *site) { s.config.Continuous = 100 * time.Millisecond })
	s.record()
	s.step()
	good := s.step()
	wrong := s.step()
	p := s.open(desktop)
	p.axis()
	p.says(hook("moment-words"), "captured")
	p.fill(hook("moment-time"), good.At.Add(-time.Millisecond).Format(time.RFC3339Nano))
	p.press(kb.Enter)
	p.says(hook("moment-after"), typed(t, good.At)[11:], "lost", "1 commit.")
	p.accessible("a moment among captures")
	p.click(hook("moment-after-step"))
	p.wait("the good state before", "!"+found(hook("moment-before")+` [datetime="`+good.At.Format(time.RFC3339Nano)+`"]`)+" === false")
	p.click(hook("moment-before-restore"))
	p.says(hook("dialog-restore-1"), "go back to", "recovery point "+good.ID, "digest", "undo")
	p.confirmRestore()
	p.says(hook("outcome"), "back at recovery point "+good.ID)
	if n := s.count(steps); n != 2 {
		t.Errorf("%d steps after going back to the second", n)
	}
	p.says(hook("undo-banner"), "undo", good.ID)
	p.click(hook("undo-button"))
	p.confirmRestore()
	s.waitFor("what was there before", func() bool { return s.count(steps) == 3 })
	if wrong.ID == good.ID {
		t.Error("two steps are one point")
	}
}

// If this fails, a person chooses a state that cannot be had, and learns it when the restore ends.
func TestDamagedMomentSaysSo(t *testing.T) {
	t.Parallel()
	past, made := momentsAgo(2*time.Hour, time.Hour)
	s := newSite(t, past)
	p := s.open(desktop)
	p.axis()
	must[any](p, `(real => { window.fetch = async (...all) => { const answer = await real(...all); if (!String(all[0]).includes('points/nearest')) return answer;
		const found = await answer.json(); found.before.state = 'damaged'; return new Response(JSON.stringify(found), { headers: answer.headers }); }; })(window.fetch.bind(window)), null`)
	p.fill(hook("moment-time"), typed(t, (*made)[0].CreatedAt.Add(time.Minute)))
	p.press(kb.Enter)
	p.says(hook("moment-before"), "the change log is damaged")
	if all := p.read(hook("moment-after")); strings.Contains(all, "damaged") {
		t.Errorf("the other one: %s", all)
	}
	p.accessible("a damaged moment")
}
