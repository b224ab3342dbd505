package browser

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"example.com/snapd/snapshot"
)

// high is an expression for the height of an element.
func high(selector string) string { return found(selector) + ".getBoundingClientRect().height" }

// backupsAgo are backups of so long ago, the oldest first.
func backupsAgo(ages ...time.Duration) (func(*site), *[]snapshot.Backup) { return momentsAgo(ages...) }

// A screen has to show weeks: one line for each backup, all of it on demand, one at a time.
func TestOneLineEach(t *testing.T) {
	t.Parallel()
	past, made := backupsAgo(49*time.Hour, 2*time.Hour, time.Hour)
	s := newSite(t, past)
	all := *made
	p := s.open(desktop)
	for d, want := range map[device]float64{desktop: 44, narrow: 64} {
		p.look(d)
		p.wait("lines of one height", fmt.Sprintf("Math.abs(%s - %v) <= 1 && Math.abs(%s - %v) <= 1", high(line(all[0])), want, high(line(all[2])), want))
	}
	p.look(desktop)
	p.hears("heading", "1 backup")
	p.hears("button", "Manual")
	p.hears("button", "Verified")

	p.click(line(all[2]))
	p.says(row(all[2]), all[2].ID, "UTC", "until you delete it", all[2].ImageBLAKE3)
	p.accessible("an open panel")
	p.click(line(all[1]))
	p.says(hook("panel"), all[1].ID)
	p.wait("one panel", "document.querySelectorAll('[aria-expanded=true].line').length === 1")
	p.look(night)
	p.accessible("an open panel, narrow and dark")
	p.fits(night)
	p.look(desktop)
	p.click(line(all[1]))
	p.gone(hook("panel"))
}

// Two backups of a minute must not look the same, others need no seconds.
func TestSecondsWhereMinutesCollide(t *testing.T) {
	t.Parallel()
	var c clock
	s := newSite(t, func(s *site) { s.config.Now = c.now })
	minute := time.Now().Add(-3 * time.Hour).Truncate(time.Minute)
	var made []snapshot.Backup
	for _, second := range []time.Duration{-300, 0, 20} {
		c.set(minute.Add(second * time.Second))
		made = append(made, s.manual(""))
		s.exec("UPDATE contacts SET title = title || '.' WHERE id = 1")
	}
	c.right()
	p := s.open(desktop)
	for i, parts := range []int{2, 3, 3} {
		p.wait("the time", fmt.Sprintf("%s.innerText.split(':').length === %d", found(row(made[i])+" time"), parts))
	}
}

// Who has only keys goes through the list as through any other, and never loses their place.
func TestListByKeys(t *testing.T) {
	t.Parallel()
	past, made := backupsAgo(3*time.Hour, 2*time.Hour, time.Hour)
	s := newSite(t, past)
	all := *made
	p := s.open(desktop)
	on := func(b snapshot.Backup) {
		t.Helper()
		p.wait("focus on "+b.Note, "document.activeElement === "+found(line(b)))
	}
	p.tabTo(line(all[2]), 60)
	p.press(kb.ArrowDown)
	on(all[1])
	p.press(kb.End)
	on(all[0])
	p.press(kb.Home)
	on(all[2])
	p.press(kb.ArrowDown)
	p.press(kb.ArrowRight)
	p.says(row(all[1])+" "+hook("panel"), all[1].ID)
	on(all[1])
	p.tabTo(act(all[1], "verify"), 4)
	p.press(kb.Escape)
	p.gone(hook("panel"))
	on(all[1])
	p.press(" ")
	p.sees(hook("panel"))
	p.press(kb.ArrowLeft)
	p.gone(hook("panel"))

	p.press(kb.Tab) // the menu's button
	p.press(kb.ArrowDown)
	p.wait("the menu", "document.activeElement.matches('[role=menuitem][data-action=restore]')")
	p.accessible("a menu")
	p.press(kb.ArrowUp)
	p.wait("its last item", "document.activeElement.matches('[role=menuitem][data-action=delete]')")
	p.press("v")
	p.wait("the item with that letter", "document.activeElement.matches('[role=menuitem][data-action=verify]')")
	p.press(kb.Escape)
	p.wait("the menu's button", "document.activeElement.matches('.dots')")
	p.press(kb.Enter)
	p.press("d")
	p.press(kb.Enter)
	p.sees(hook("dialog-delete"))
	p.press(kb.Escape)
	p.wait("the menu's button again", "document.activeElement.matches('.dots')")
}

// The one backup that is wanted has to be found among thousands, again after a reload.
func TestFilter(t *testing.T) {
	t.Parallel()
	past, made := backupsAgo(73*time.Hour, 49*time.Hour, time.Hour)
	s := newSite(t, past)
	all := *made
	auto := s.automatic()
	p := s.open(desktop)

	p.fill(hook("filter-text"), "49H")
	p.gone(row(all[0]))
	p.sees(row(all[1]))
	p.gone(row(auto))
	p.says(hook("backups-count"), "1 of 4 backups")
	if got := p.path(); !strings.HasSuffix(got, "#text=49H") {
		t.Errorf("the address is %s", got)
	}
	p.says(hook("state"), "protected") // the filter hides only lines
	p.visit(s.page() + "#text=49H&kind=manual")
	p.sees(row(all[1]))
	p.gone(row(auto))
	p.accessible("a filter")

	p.click(`label:has([name="kind"][value="auto"])`)
	p.says(hook("backups-empty"), "nothing matches", "4 backups")
	p.accessible("nothing matches")
	p.click(hook("backups-empty-clear"))
	p.sees(row(auto))
	p.sees(row(all[0]))
	if got := p.path(); strings.Contains(got, "#") {
		t.Errorf("the address is %s", got)
	}

	day := typed(t, all[0].CreatedAt)[:10]
	must[any](p, "location.hash = 'day="+day+"'")
	p.gone(row(auto))
	p.sees(row(all[0]))
	p.wait("the day in its field", found(hook("filter-day"))+".value === "+quote(day))
	p.click(hook("filter-clear"))
	p.sees(row(auto))
	must[any](p, "location.hash = 'kind=constructor&day=2026-02-31&text='")
	p.sees(row(auto))
	p.sees(row(all[0]))
}

// A red day is a question: what happened, and what is left of that day.
func TestARedDayLeadsToItsBackups(t *testing.T) {
	t.Parallel()
	s := newSite(t, withPast(3*time.Hour))
	p := s.open(desktop)
	p.click(".strip .failed")
	p.says(hook("day-words"), "a backup failed", "the disk is full: 12 MB free")
	p.wait("the backups of that day", "document.querySelectorAll('.backup').length === 1")
	p.wait("the list in sight", found("#backups-title")+".getBoundingClientRect().top < 200")
	p.accessible("a red day")
	p.visit(s.page() + must[string](p, "location.hash"))
	p.says(hook("day-words"), "a backup failed")
	p.wait("a pressed day", "document.querySelector('.strip .failed').ariaPressed === 'true'")

	p.tabTo(".strip button", 40)
	p.press(kb.End)
	p.wait("today", "document.activeElement === document.querySelector('.strip').lastElementChild")
	p.press(kb.Enter)
	p.wait("the heading", "document.activeElement.id === 'backups-title'")
	p.hears("button", "a backup was overdue")
}

// Recovery points are no rows of their own, and must not be missed for it.
func TestMomentsBetweenBackups(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(s *site) { s.config.Continuous = 100 * time.Millisecond })
	s.record()
	s.step()
	s.step()
	s.manual("after them") // it may have the state of the last step, and then is that point
	points, _, err := s.manager.Points(t.Context(), snapshot.PointsQuery{})
	at := slices.IndexFunc(points, func(p snapshot.Point) bool { return p.Backup == nil })
	if err != nil || at < 0 {
		t.Fatal(points, err)
	}
	last := points[at]
	p := s.open(desktop)
	p.says(hook("moments"), "moment", typed(t, last.At)[11:16])
	p.click(hook("moments") + " .line")
	p.says(hook("moment-before"), typed(t, last.At)[11:])
	p.wait("the axis", "document.activeElement.id === 'axis'")
	p.accessible("a run of moments")
}

// News must not take from the user what they look at, or are about to press.
func TestListKeepsItsPlace(t *testing.T) {
	t.Parallel()
	ages := make([]time.Duration, 40)
	for i := range ages {
		ages[i] = time.Duration(len(ages)-i) * 7 * time.Hour
	}
	past, made := backupsAgo(ages...)
	s := newSite(t, past)
	b := (*made)[10]
	p := s.open(desktop)
	p.choose(b)
	p.tabTo(act(b, "verify"), 4)
	p.wait("a list that is scrolled", "scrollY > 500")
	where := must[float64](p, "document.activeElement.getBoundingClientRect().top")
	must[any](p, "window.snapdHeld = document.activeElement, null")
	fresh := s.manual("from elsewhere")
	p.wait("the new one", "document.querySelector("+quote(row(fresh))+")")
	p.wait("the same button", "document.activeElement === snapdHeld")
	p.wait("the same place", fmt.Sprintf("Math.abs(snapdHeld.getBoundingClientRect().top - %v) <= 1", where))
	p.sees(hook("panel"))
	if _, err := s.manager.SetPinned(t.Context(), b.ID, true); err != nil {
		t.Fatal(err)
	}
	p.sees(act(b, "unpin"))
	p.wait("still the same button", "document.activeElement === snapdHeld")
}

// media sets features of the medium.
func (p *tab) media(kind string, features ...emulation.MediaFeature) {
	p.t.Helper()
	set := emulation.SetEmulatedMediaParams{Media: kind}
	for _, f := range features {
		set.Features = append(set.Features, &f)
	}
	p.do("set the medium", chromedp.Func(func(ctx context.Context, tg *chromedp.Target) error {
		_, err := cdp.Call(ctx, tg, emulation.SetEmulatedMedia, set)
		return err
	}))
}

// A printed list is what goes into the folder for auditors: every line of it, dark on light.
func TestListOnPaper(t *testing.T) {
	t.Parallel()
	s := newSite(t, withPast(3*time.Hour))
	p := s.open(dark)
	p.sees(hook("backups"))
	p.media("print", emulation.MediaFeature{Name: "prefers-color-scheme", Value: "dark"})
	p.wait("light", "getComputedStyle(document.body).backgroundColor === 'rgb(245, 247, 249)'")
	blank := must[int](p, "[...document.querySelectorAll('.line')].filter(e => e.innerText.trim() === '' || !e.checkVisibility({contentVisibilityAuto: true})).length")
	if lines := must[int](p, "document.querySelectorAll('.line').length"); blank > 0 || lines < 20 {
		t.Errorf("%d of %d lines are blank", blank, lines)
	}
	p.gone("button:not(.line, .mark)")
}

// Where the system's colours replace the page's, everything has to be there still.
func TestForcedColours(t *testing.T) {
	t.Parallel()
	s := newSite(t, withPast(3*time.Hour))
	p := s.open(desktop)
	p.media("", emulation.MediaFeature{Name: "forced-colors", Value: "active"})
	p.wait("forced colours", "matchMedia('(forced-colors: active)').matches")
	p.choose(s.backups()[0])
	p.click(".strip .failed")
	p.wait("a chosen day", "getComputedStyle(document.querySelector('.strip [aria-pressed=true]')).outlineStyle === 'solid'")
	p.accessible("forced colours")
}
