package browser

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"example.com/snapd/httpapi"
	"example.com/snapd/snapshot"
)

// manyRows is more than two pages of them.
const manyRows = 250

// changed makes a backup, and changes after it: rows that are gone, new and different, and a table.
func (s *site) changed() (b snapshot.Backup) {
	s.t.Helper()
	s.exec("CREATE TABLE steps(id INTEGER PRIMARY KEY, word, picture)")
	s.exec("WITH n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 1000) INSERT INTO steps SELECT i, 'step ' || i, x'00ff' FROM n")
	b = s.manual("before")
	s.exec("DELETE FROM steps WHERE id <= ?", manyRows)
	s.exec("UPDATE steps SET word = NULL WHERE id = 500")
	s.exec("UPDATE steps SET word = '<b>other</b>' WHERE id = 501")
	s.exec("INSERT INTO steps VALUES(2000, 'new', NULL)")
	s.exec("CREATE TABLE extra(a)")
	return b
}

// What a person wants to know before anything is put back: which rows are gone, and what became of the others.
func TestLookInside(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.changed()
	p := s.open(desktop)
	p.does(b, "inside")
	p.says(hook("inside"), "2 tables changed since", "steps 250 removed, 1 added, 2 changed 1,000 751", "the table is new")
	p.says(hook("inside-same"), "unchanged")
	p.accessible("inside")
	p.click(hook("inside-same"))
	p.says(hook("inside"), "contacts", "the same")

	p.click(hook("inside-steps"))
	p.says(".changed-rows", "removed", "step 1", "2 bytes of binary data")
	p.wait("a page", "document.querySelectorAll('.changed-rows tbody tr').length === 100")
	p.click(hook("inside-more"))
	p.wait("two pages", "document.querySelectorAll('.changed-rows tbody tr').length === 200")
	p.click(hook("inside-more"))
	p.wait("all rows", "document.querySelectorAll('.changed-rows tbody tr').length === 253")
	p.gone(hook("inside-more"))
	p.wait("before and after", `[...document.querySelectorAll('.changed-rows [data-op=update]')].map(e => e.innerText.replace(/\s+/g, ' ').trim()).join() === 'Changed 500 step 500 NULL,Changed 501 step 501 <b>other</b>'`)
	p.click(hook("only-update"))
	p.wait("the changed ones only", "document.querySelectorAll('.changed-rows tbody tr').length === 2")
	p.accessible("changed rows") // few of them: judging hundreds takes a minute
	for _, d := range []device{narrow, night} {
		p.look(d)
		p.fits(d)
	}
	p.click(hook("only-insert"))
	p.says(".changed-rows", "added 2000 new NULL")
	p.accessible("an added row, narrow and dark")

	p.look(desktop)
	p.click(act(b, "inside"))
	p.gone(hook("inside"))
	p.does(b, "restore")
	p.says(hook("losses"), "extra: the table is lost", "steps: 1 new row, 2 changes lost; 250 removed rows come back")
	p.accessible("what will be lost")
}

// The same for a moment, and for who may not read rows: figures, no content.
func TestLookInsideAMoment(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(s *site) {
		s.options.Authorize = func(*http.Request) (httpapi.Principal, error) {
			return httpapi.Principal{Name: "auditor", Rights: []httpapi.Right{httpapi.RightView}}, nil
		}
	})
	b := s.changed()
	p := newTab(t, s.addr, desktop)
	p.visit(s.page())
	p.axis()
	p.fill(hook("moment-time"), b.CreatedAt.Add(time.Second).Format(time.RFC3339))
	p.click(hook("moment-find"))
	p.click(hook("moment-before-inside"))
	p.says("#moment-inside", "inside the state of "+typed(t, b.CreatedAt)[11:], "250 removed")
	p.gone(hook("inside-steps"))
	p.accessible("inside a moment")
	if !strings.Contains(p.read(hook("inside")), "steps") {
		t.Error("the table is not named")
	}
}

// Who may read the rows, and no more, sees them, and is offered nothing that would be refused.
func TestLookInsideWithoutTheRightToRestore(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(s *site) {
		s.options.Authorize = func(*http.Request) (httpapi.Principal, error) {
			return httpapi.Principal{Name: "auditor", Rights: []httpapi.Right{httpapi.RightView, httpapi.RightRead}}, nil
		}
	})
	b := s.changed()
	s.automatic()
	p := newTab(t, s.addr, desktop)
	p.visit(s.page())
	p.does(b, "inside")
	p.click(hook("inside-steps"))
	p.says(".changed-rows", "step 1")
	p.click(hook("inside-when"))
	p.click(hook("inside-just-before"))
	p.says("#moment-inside", "250 removed")
	for _, offered := range []string{hook("choose-gone"), hook("bring-back"), ".pick", act(b, "restore"), act(b, "delete"), hook("moment-before-restore"), hook("create-submit"), hook("undo-button")} {
		p.gone(offered)
	}
	p.accessible("rows, to look at")
}
