package browser

import (
	"testing"

	"example.com/snapd/catalog"
)

// emptied is a database that an application emptied after its backups.
func (s *site) emptied() {
	s.t.Helper()
	s.manual("all is well")
	for _, table := range []string{"transfers", "accounts", "notes", "attachments", "activities", "deal_stages", "deals", "contacts", "companies"} {
		s.exec("DELETE FROM " + table)
	}
}

// A user sees that the database is not the one that was backed up, and has two ways on: this
// is as it should be, or back to what was there.
func TestBreak(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.emptied()
	p := s.open(desktop)
	p.says(hook("break-banner"), "the database was emptied", "kept")
	p.says(hook("state"), "at risk")
	p.accessible("a break")
	p.click(hook("break-accept"))
	p.gone(hook("break-banner"))
	p.says(hook("activity"), "accepted the database as it is")
	if b := s.automatic(); b.Timeline.Number != 2 || b.Timeline.Cause != catalog.Emptied {
		t.Errorf("timeline %+v", b.Timeline)
	}
	p.says(hook("state"), "protected")
}

// The way back is the restore that users know.
func TestBreakIsRestored(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	before := s.count(rows)
	s.emptied()
	s.automatic()
	p := s.open(narrow)
	p.says(hook("break-banner"), "the database was emptied")
	p.accessible("a break on a phone")
	p.click(hook("break-restore"))
	p.confirmRestore()
	p.says(hook("outcome"), "restore")
	p.gone(hook("break-banner"))
	if n := s.count(rows); n != before {
		t.Errorf("the database has %d contacts, want %d", n, before)
	}
}
