package browser

import (
	"os"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"

	"example.com/snapd/snapshot"
)

// rows is what an application would ask, over the connection it has had all along.
const rows = "SELECT count(*) FROM contacts"

// damage makes an hour of work that a user wants to have back.
func (s *site) damage() (b snapshot.Backup, before int64) {
	s.t.Helper()
	before = s.count(rows)
	b = s.manual("all is well")
	s.exec("DELETE FROM contacts")
	if s.count(rows) >= before {
		s.t.Fatal("nothing was deleted")
	}
	return b, before
}

// What everything else is for: yesterday comes back in a minute, by a user who has
// never done it, without losing today.
func TestRestoreAndUndo(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b, before := s.damage()
	p := s.open(desktop)

	p.does(b, "restore")
	p.says(hook("dialog-restore-1"), "all changes since", "saved first", "undo", "complete and sound")
	p.calm("dialog-restore-1")
	p.click(hook("dialog-restore-1-continue"))

	p.sees(hook("dialog-restore-2"))
	p.gone(hook("dialog-restore-1"))
	p.says(hook("dialog-restore-2"), "data.db")
	p.calm("dialog-restore-2")

	p.fill(hook("dialog-restore-2-name"), "other.db")
	p.press(kb.Enter)
	p.wait("no way on", found(hook("dialog-restore-2-confirm"))+".disabled")
	p.accessible("a wrong name")
	if s.count(rows) == before {
		t.Fatal("restored with the wrong name")
	}
	p.fill(hook("dialog-restore-2-name"), "data.db")
	p.click(hook("dialog-restore-2-confirm"))

	p.gone(hook("dialog-restore-2"))
	p.says(hook("outcome"), "restore")
	p.says(hook("undo-banner"), "undo")
	if n := s.count(rows); n != before {
		t.Errorf("the database has %d contacts, want the %d of the backup", n, before)
	}
	p.accessible("after a restore")
	s.exec("PRAGMA wal_checkpoint") // the application goes on as if nothing had been

	p.click(hook("undo-button"))
	p.confirmRestore()
	p.wait("undone", found(hook("outcome")))
	s.waitFor("the undone state", func() bool { return s.count(rows) < before })
	p.accessible("after undoing")
}

// calm asserts that a dialog is safe to meet: Cancel has the focus, the page behind
// is out of reach, Esc leaves, and everything in it can be heard.
func (p *tab) calm(dialog string) {
	p.t.Helper()
	p.wait("Cancel to have the focus", "document.activeElement?.dataset.testid === 'dialog-cancel' && document.activeElement.closest('dialog')?.matches(':modal')")
	p.accessible(dialog)
	for range 12 {
		p.press(kb.Tab)
		if !must[bool](p, "document.activeElement === document.body || Boolean(document.activeElement.closest('dialog'))") {
			p.t.Errorf("Tab leaves %s for %s", dialog, p.focused())
			return
		}
	}
}

// confirmRestore goes through both dialogs as they come.
func (p *tab) confirmRestore() {
	p.t.Helper()
	p.click(hook("dialog-restore-1-continue"))
	p.fill(hook("dialog-restore-2-name"), "data.db")
	p.click(hook("dialog-restore-2-confirm"))
	p.gone(hook("dialog-restore-2"))
}

// Every way out of the dialogs but the last button must leave the database alone.
func TestRestoreCanBeLeft(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b, before := s.damage()
	p := s.open(desktop)
	leave := map[string]func(){
		"esc":    func() { p.press(kb.Escape) },
		"cancel": func() { p.click(hook("dialog-cancel")) },
		"enter":  func() { p.press(kb.Enter) }, // Cancel has the focus
	}
	for name, out := range leave {
		p.does(b, "restore")
		p.sees(hook("dialog-restore-1"))
		out()
		p.gone(hook("dialog-restore-1"))
		p.wait("focus back ("+name+")", "document.activeElement?.dataset.action === 'restore'")

		p.does(b, "restore")
		p.click(hook("dialog-restore-1-continue"))
		p.sees(hook("dialog-restore-2"))
		out()
		p.gone(hook("dialog-restore-2"))
	}
	if s.count(rows) == before {
		t.Error("the database was restored all the same")
	}
	p.gone(hook("undo-banner"))
}

// A database that has not changed since the backup loses nothing. If the page said
// that something will be lost, people would not dare.
func TestRestoreThatLosesNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.waitFor("time stamps old enough to prove that nothing changed", func() bool {
		st, err := os.Stat(s.config.Database)
		return err == nil && time.Since(st.ModTime()) > 4*time.Second
	})
	b := s.manual("the present state")
	p := s.open(desktop)
	p.does(b, "restore")
	p.says(hook("dialog-restore-1"), "nothing")
	p.accessible("a restore that loses nothing")
}

// A plan that is no longer true must not be carried out, and the way to a new one has
// to be in the same place.
func TestPlanGoesStale(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b, before := s.damage()
	other := s.manual("without the contacts")
	p := s.open(desktop)
	p.allow(`^(answer|log network error).*409`)
	p.does(b, "restore")
	p.click(hook("dialog-restore-1-continue"))
	p.fill(hook("dialog-restore-2-name"), "data.db")
	if _, err := s.manager.Restore(t.Context(), other.ID, snapshot.RestoreOptions{}); err != nil {
		t.Fatal(err)
	}
	p.click(hook("dialog-restore-2-confirm"))
	p.says(hook("dialog-restore-2"), "out of date", "nothing was changed")
	p.accessible("a plan that is out of date")
	if s.count(rows) == before {
		t.Fatal("restored by a stale plan")
	}
	p.click(hook("dialog-again"))
	p.confirmRestore()
	s.waitFor("the backup's contacts", func() bool { return s.count(rows) == before })
}

// A user who notices too late that it was the wrong one can still stop it, and the
// database is as it was.
func TestCancelRestore(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b, before := s.damage()
	p := s.open(desktop)
	release := s.hold(t, "restore", "write") // just before the point of no return
	p.does(b, "restore")
	p.confirmRestore()
	p.click(hook("operation-cancel"))
	s.askedToStop()
	release()
	p.says(hook("outcome"), "cancelled", "not changed")
	p.gone(hook("undo-banner"))
	if s.count(rows) == before {
		t.Error("it was restored all the same")
	}
}
