package browser

import (
	"testing"

	"github.com/chromedp/chromedp/kb"

	"example.com/snapd/snapshot"
)

// A backup is worth its proof: it must be asked for with one button,
// and its outcome be seen where the backup is.
func TestVerifyAndDrill(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.manual("")
	p := s.open(desktop)
	p.does(b, "verify")
	p.says(hook("outcome"), "verif")
	p.says(row(b), "verified")
	if after := s.find(b.ID).Verification; !after.At.After(*b.Verification.At) {
		t.Errorf("verified at %v, and before at %v", after.At, b.Verification.At)
	}
	p.does(b, "drill")
	p.says(hook("outcome"), "test restore", "passed")
	p.says(hook("activity"), "tested a restore")
	state, err := s.manager.State()
	if err != nil || state.LastDrill == nil || state.LastDrill.ID != b.ID {
		t.Errorf("drill: %+v, %v", state.LastDrill, err)
	}
	p.accessible("after a drill")
}

// What a person keeps, renames and removes has to be so, on disk and on the page.
func TestPinNoteDelete(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	old, recent := s.manual("old"), s.manual("recent")
	p := s.open(desktop)

	p.does(old, "pin")
	p.sees(act(old, "unpin"))
	if !s.find(old.ID).Pinned {
		t.Error("not pinned")
	}
	must[any](p, `(() => {
		const ask = window.fetch;
		window.snapdHeld = [];
		window.fetch = async (...request) => {
			const answer = await ask(...request);
			if (String(request[0]).includes('/backups?')) await new Promise((pass) => snapdHeld.push(pass));
			return answer;
		};
		window.snapdPass = () => { window.fetch = ask; snapdHeld.forEach((pass) => pass()); };
	})()`)
	p.does(old, "unpin")
	p.sees(act(old, "pin"))
	if s.find(old.ID).Pinned {
		t.Error("still pinned")
	}
	p.wait("a list that is late", "snapdHeld.length === 1")
	p.does(old, "pin")
	p.sees(act(old, "unpin"))
	must[any](p, "snapdHeld[0]()")
	p.wait("the next list", "snapdHeld.length === 2")
	if !must[bool](p, "Boolean("+found(act(old, "unpin"))+")") {
		t.Error("a list from before the change shows that it is not pinned")
	}
	must[any](p, "snapdPass()")
	p.does(old, "unpin")
	p.sees(act(old, "pin"))

	p.allow(`^(answer|log network error).*409`)
	p.does(old, "note")
	p.wait("a field", "document.activeElement.matches('textarea')")
	p.accessible("the note's dialog")
	p.fill(hook("dialog-note-text"), "before the move")
	if _, err := s.manager.SetPinned(t.Context(), old.ID, true); err != nil { // by another user, while it is typed
		t.Fatal(err)
	}
	p.click(hook("dialog-note-save"))
	p.says(row(old), "before the move")
	if got := s.find(old.ID); got.Note != "before the move" || !got.Pinned {
		t.Errorf("note %q, pinned %v", got.Note, got.Pinned)
	}
	p.does(old, "unpin")
	p.sees(act(old, "pin"))

	p.does(old, "delete")
	p.calm("dialog-delete")
	p.press(kb.Escape)
	p.gone(hook("dialog-delete"))
	p.does(old, "delete")
	p.click(hook("dialog-delete-confirm"))
	p.gone(row(old))
	if all := s.backups(); len(all) != 1 || all[0].ID != recent.ID {
		t.Errorf("left: %v", all)
	}
	p.says(hook("activity"), "delete")
}

// The last proof of the data, and pinned backups, must survive a click, and
// the person must learn why.
func TestDeleteIsRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	only := s.manual("the only one")
	p := s.open(desktop)
	p.allow(`^(answer|log network error).*409`)
	p.tryDelete(only, "last verified")
	s.manual("another")
	if _, err := s.manager.SetPinned(t.Context(), only.ID, true); err != nil {
		t.Fatal(err)
	}
	p.sees(act(only, "unpin"))
	p.tryDelete(only, "pinned")
	if len(s.backups()) != 2 {
		t.Error("a backup was deleted")
	}
}

// tryDelete presses the button, where it can be pressed, and wants the words to be
// shown either way.
func (p *tab) tryDelete(b snapshot.Backup, words string) {
	p.t.Helper()
	p.does(b, "delete")
	p.click(hook("dialog-delete-confirm"))
	p.says(hook("dialog-delete")+" .problem", words)
	p.wait("the end of the request", "!"+found(hook("dialog-delete-confirm"))+".matches('[aria-busy=true]')")
	p.accessible("a refused deletion")
	if must[bool](p, "Boolean(document.querySelector('dialog[open]'))") {
		p.press(kb.Escape)
	}
}
