package browser

import (
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// A user who cannot use a mouse must be able to do everything, see where they are, and
// not be thrown to the top of the page by what they did.
func TestKeyboardOnly(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	before := s.count(rows)
	p := s.open(desktop)

	p.tabTo(hook("create-note"), 30)
	p.types("by keyboard")
	p.press(kb.Enter)
	p.says(hook("outcome"), "backup")
	b := s.find("latest")
	if b.Note != "by keyboard" {
		t.Errorf("made %+v", b)
	}
	s.exec("DELETE FROM contacts")

	p.tabTo(line(b), 60)
	p.press(kb.Enter)
	p.tabTo(act(b, "restore"), 3)
	p.press(kb.Enter)
	p.sees(hook("dialog-restore-1"))
	p.tabTo(hook("dialog-restore-1-continue"), 5)
	p.press(kb.Enter)
	p.sees(hook("dialog-restore-2"))
	p.wait("Cancel to have the focus", "document.activeElement?.dataset.testid === 'dialog-cancel'")
	for range 5 { // the field may come before or after Cancel
		if p.focused() == "dialog-restore-2-name" {
			break
		}
		p.press(kb.Tab, chromedp.ModifierShift)
	}
	p.types("data.db")
	p.press(kb.Enter)
	p.sees(hook("undo-banner"))
	if n := s.count(rows); n != before {
		t.Errorf("%d contacts, want %d", n, before)
	}
	if at := p.focused(); at == "body" {
		t.Error("after the restore the focus is nowhere")
	}

	p.tabTo(hook("undo-button"), 60)
	p.press(kb.Enter)
	p.sees(hook("dialog-restore-1"))
	p.press(kb.Escape)
	p.gone(hook("dialog-restore-1"))
	if at := p.focused(); at != "undo-button" {
		t.Errorf("Esc led to %s, not back to the button", at)
	}

	p.wait("the end of what the button began", "!document.activeElement.matches('[aria-busy=true]')")
	p.press(kb.Enter)
	p.sees(hook("dialog-restore-1"))
	p.tabTo(hook("dialog-restore-1-continue"), 5)
	p.press(kb.Enter)
	p.sees(hook("dialog-restore-2"))
	p.tabTo(hook("dialog-restore-2-name"), 5)
	p.types("data.db")
	p.press(kb.Enter)
	s.waitFor("the undone state", func() bool { return s.count(rows) < before })
}
