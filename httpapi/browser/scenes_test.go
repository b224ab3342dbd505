package browser

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"example.com/snapd/httpapi"
	"example.com/snapd/internal/testdb"
)

// scene is a state of the page and how one gets there.
type scene struct {
	name  string
	site  func(*site)
	anon  bool                  // not signed in
	reach func(s *site, p *tab) // on a page that is open; may be nil
	show  string                // what a picture begins with; "": the top
}

var scenes = []scene{
	{name: "login", anon: true, reach: func(_ *site, p *tab) { p.sees(hook("login-form")) }},
	{name: "login-refused", anon: true, reach: func(_ *site, p *tab) {
		p.fill(hook("login-token"), "not the token")
		p.click(hook("login-submit"))
		p.says(hook("login-form"), "not the token.")
	}},
	{name: "empty"},
	{name: "protected", site: withPast(3 * time.Hour)},
	{name: "table", site: withPast(3 * time.Hour), show: hook("backups")},
	{name: "panel", site: withPast(3 * time.Hour), show: hook("backups"), reach: func(s *site, p *tab) { p.choose(s.backups()[2]) }},
	{name: "menu", site: withPast(3 * time.Hour), show: hook("backups"), reach: func(s *site, p *tab) {
		p.click(row(s.backups()[1]) + " .dots")
		p.sees(".menu")
	}},
	{name: "red-day", site: withPast(3 * time.Hour), show: hook("backups"), reach: func(_ *site, p *tab) {
		p.click(".strip .failed")
		p.says(hook("day-words"), "the disk is full")
	}},
	{name: "moment", site: withPast(3 * time.Hour), show: hook("moment"), reach: func(_ *site, p *tab) {
		p.axis()
		p.click(hook("axis"))
		p.sees(hook("moment-after-restore"))
	}},
	{name: "remotes", site: func(s *site) {
		withPast(3 * time.Hour)(s)
		nas, with := withRemotes(s.t)
		with(s)
		past := s.prepare
		s.prepare = func() {
			past()
			for _, r := range s.config.Remotes {
				s.sync(r.Name)
			}
			if err := os.Rename(nas, nas+".away"); err != nil {
				s.t.Fatal(err)
			}
			if _, err := s.manager.SyncRemote(s.t.Context(), "nas"); err == nil {
				s.t.Fatal("the disk is gone, and was written to")
			}
		}
	}, show: hook("remotes")},
	{name: "activity", site: withPast(3 * time.Hour), show: hook("activity")},
	{name: "at-risk", site: withPast(31 * time.Hour)},
	{name: "damaged", site: func(s *site) {
		withPast(3 * time.Hour)(s)
		past := s.prepare
		s.prepare = func() {
			past()
			s.breakDatabase()
			s.t.Cleanup(func() { _ = os.Remove(s.config.Database) }) // it stays broken
		}
	}, reach: func(_ *site, p *tab) { p.says(hook("state-reason"), "damaged") }},
	{name: "running", site: withPast(3 * time.Hour), reach: func(s *site, p *tab) {
		s.exec("CREATE TABLE scans(content BLOB)")
		for range 12 {
			s.exec("INSERT INTO scans VALUES(randomblob(1 << 20))")
		}
		s.hold(s.t, "backup", "compress")
		s.slow(100 * time.Millisecond)
		p.fill(hook("create-note"), "before the update to 4.2")
		p.click(hook("create-submit"))
		p.says(hook("operation-phase"), "compress")
		p.says(hook("operation"), "MB/s", "left")
	}},
	{name: "failed", reach: func(s *site, p *tab) {
		b := s.manual("its archive is about to be damaged")
		testdb.FlipByte(s.t, s.manager.ArchivePath(b), b.ArchiveBytes/2)
		p.does(b, "verify")
		p.says(hook("outcome"), "failed")
		p.says(hook("state-reason"), "failed their verification")
		p.says(hook("state-action"), "create a backup") // verifying it again would not help
	}},
	{name: "restore-1", site: withPast(3 * time.Hour), reach: func(s *site, p *tab) {
		p.does(s.backups()[2], "restore")
		p.sees(hook("dialog-restore-1"))
	}},
	{name: "restore-2", site: withPast(3 * time.Hour), reach: func(s *site, p *tab) {
		p.does(s.backups()[2], "restore")
		p.click(hook("dialog-restore-1-continue"))
		p.fill(hook("dialog-restore-2-name"), "data.db")
	}},
	{name: "undo", site: withPast(3 * time.Hour), reach: func(s *site, p *tab) {
		p.does(s.backups()[2], "restore")
		p.confirmRestore()
		p.sees(hook("undo-banner"))
		p.sees(hook("outcome"))
	}},
	{name: "note", reach: func(s *site, p *tab) {
		b := s.manual("a note")
		p.does(b, "note")
		p.sees(hook("dialog-note"))
	}},
	{name: "delete", reach: func(s *site, p *tab) {
		b := s.manual("to be deleted")
		p.does(b, "delete")
		p.sees(hook("dialog-delete"))
	}},
	{name: "offline", site: withPast(3 * time.Hour), reach: func(s *site, p *tab) {
		p.allow(unreachable)
		s.stop()
		p.says(hook("connection"), "cannot be reached")
	}},
	{name: "view-only", site: func(s *site) {
		withPast(3 * time.Hour)(s)
		s.options.Authorize = viewer
	}, anon: true, reach: func(_ *site, p *tab) { p.sees(hook("state")) }},
	{name: "long-words", reach: func(s *site, p *tab) {
		b := s.manual(strings.Repeat("a-very-long-word-without-any-space", 20))
		s.manual(strings.Repeat("many words and some more, ", 100))
		p.sees(row(b))
	}},
}

var (
	light  = device{width: 1280, height: 900}
	dark   = device{width: 1280, height: 900, dark: true}
	narrow = device{width: 390, height: 844, still: true}
	night  = device{width: 390, height: 844, dark: true, still: true}
	wide   = device{width: 1600, height: 1000}
)

// play opens the page of a scene and brings it to its state.
func (sc scene) play(t *testing.T, d device) *tab {
	t.Helper()
	s := newSite(t, func(s *site) {
		if sc.site != nil {
			sc.site(s)
		}
	})
	var p *tab
	if sc.anon {
		p = newTab(t, s.addr, d)
		p.allow(firstVisit)
		p.allow(wrongToken)
		p.visit(s.page())
	} else {
		p = s.open(d)
	}
	if sc.reach != nil {
		sc.reach(s, p)
	}
	return p
}

// No user may be kept out by their sight, or by their device: each state is
// judged in light and dark, and has to fit from the smallest telephone to a wide screen.
func TestEveryStateForEverybody(t *testing.T) {
	t.Parallel()
	for _, sc := range scenes {
		t.Run(sc.name, func(t *testing.T) {
			t.Parallel()
			p := sc.play(t, light)
			p.accessible(sc.name + ", light")
			p.fits(light)
			for _, d := range []device{wide, night} {
				p.look(d)
				p.fits(d)
			}
			p.accessible(sc.name + ", narrow and dark")
		})
	}
}

// fits asserts that nothing is beyond the right edge.
func (p *tab) fits(d device) {
	p.t.Helper()
	p.wait("resized", fmt.Sprintf("innerWidth === %d", d.width))
	out := must[[]string](p, `(w => document.documentElement.scrollWidth <= w ? [] : [document.documentElement.scrollWidth + ' px',
	...[...document.querySelectorAll('body *')].filter(e => e.checkVisibility() && e.getBoundingClientRect().right > w + 1).slice(0, 6).map(e => e.outerHTML.slice(0, 150))])(document.documentElement.clientWidth)`)
	if len(out) > 0 {
		p.t.Errorf("at %d px one has to scroll sideways: %s", d.width, strings.Join(out, "\n  "))
	}
}

// Who asked the system for less motion gets none.
func TestReducedMotion(t *testing.T) {
	t.Parallel()
	s := newSite(t, ofBytes(6<<20))
	s.manual("one")
	p := s.open(narrow)
	s.hold(t, "backup", "compress")
	p.click(hook("create-submit"))
	p.sees(hook("operation"))
	if moving := must[[]string](p, `document.getAnimations().filter(a => a.effect.getComputedTiming().activeDuration > 20).map(a => a.effect.target.outerHTML.slice(0, 200))`); len(moving) > 0 {
		t.Errorf("still moving: %v", moving)
	}
}

// viewer may look.
var viewer = func(*http.Request) (httpapi.Principal, error) {
	return httpapi.Principal{Name: "auditor", Rights: []httpapi.Right{httpapi.RightView}}, nil
}
