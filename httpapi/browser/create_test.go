package browser

import (
	"strings"
	"testing"

	"example.com/snapd/catalog"
	"example.com/snapd/snapshot"
)

// "Create backup now" is what people press before they do something dangerous: they
// must see that it works, how far it is, and that it is done.
func TestCreateAndWatch(t *testing.T) {
	t.Parallel()
	s := newSite(t, ofBytes(6<<20))
	s.manual("first")
	p := s.open(desktop)
	watcher := p.another()
	watcher.visit(s.page())
	watcher.sees(hook("state"))

	release := s.hold(t, "backup", "compress")
	p.fill(hook("create-note"), "before the import")
	p.click(hook("create-pin"))
	p.click(hook("create-submit"))
	for _, tab := range []*tab{p, watcher} {
		tab.says(hook("operation"), "close this page")
		tab.says(hook("operation-phase"), "compress")
		tab.wait("progress", found(hook("operation")+" progress")+".position > 0")
		tab.sees(hook("operation-cancel"))
	}
	p.hears("progressbar", "")
	p.accessible("while a backup runs")
	release()

	p.says(hook("outcome"), "backup")
	p.gone(hook("operation"))
	b := s.find("latest")
	if b.Note != "before the import" || !b.Pinned || b.Kind != catalog.Manual {
		t.Errorf("made: %+v", b)
	}
	for _, tab := range []*tab{p, watcher} {
		tab.says(row(b), "before the import", "manual")
		tab.says(hook("stats"), "2")
	}
	p.wait("an empty field for the next", found(hook("create-note"))+".value === ''")
	p.says(hook("activity"), "backup")
	p.accessible("after a backup")
}

// A backup begun by mistake, or at a bad time, must go away when cancelled.
func TestCancel(t *testing.T) {
	t.Parallel()
	s := newSite(t, ofBytes(6<<20))
	kept := s.manual("kept")
	p := s.open(desktop)
	release := s.hold(t, "backup", "compress")
	p.click(hook("create-submit"))
	p.click(hook("operation-cancel"))
	s.askedToStop()
	release()
	p.says(hook("outcome"), "cancelled")
	p.gone(hook("operation"))
	p.gone(hook("operation-cancel"))
	if all := s.backups(); len(all) != 1 || all[0].ID != kept.ID {
		t.Errorf("after the cancellation there are %d backups", len(all))
	}
	p.accessible("after a cancellation")
}

// The first look at a new installation: not a blank table, but what to do.
func TestNothingYet(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.open(desktop)
	p.says(hook("state"), "unprotected")
	p.says(hook("backups"), "no backup")
	p.says(hook("history-summary"), "No backups so far.")
	p.accessible("without any backup")
	p.click(hook("state-action"))
	p.says(hook("state"), "protected")
	p.wait("protected", "!"+found(hook("state"))+".innerText.toLowerCase().includes('unprotected')")
	b := s.find("latest")
	p.says(row(b), "manual")
	p.says(hook("history-summary"), "1 of 1 day covered.") // not "29 without a backup"
	p.accessible("after the first backup")
}

// A note is any text of a person or a program: as markup it could take the
// session over.
func TestNotesAreText(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	evil := `<img src=x onerror="alert(1)"><script>alert(2)</script><b>bold</b> &amp; "quoted" </td></table>` + "\u202egnp.exe"
	s.backup(snapshot.Manual(evil))
	p := s.open(desktop)
	b := s.find("latest")
	p.sees(row(b))
	if shown := p.read(row(b)); !strings.Contains(shown, `<b>bold</b> &amp; "quoted" </td></table>`) {
		t.Errorf("the row shows %q", shown)
	}
	if n := must[int](p, "document.querySelectorAll('main img, main script, .note b, .panel b').length"); n != 0 {
		t.Errorf("%d elements came out of the note", n)
	}
	p.does(b, "note")
	p.wait("the note in its field", "document.activeElement.value?.includes('<b>bold</b>')")
	p.accessible("editing a note")
}

// row is the selector of a backup's line with its panel, act the selector of a button in that.
func row(b snapshot.Backup) string { return hook("row-" + b.ID) }

// line is the selector of what opens a backup's panel.
func line(b snapshot.Backup) string { return row(b) + " .line" }

func act(b snapshot.Backup, action string) string {
	return row(b) + ` [data-action="` + action + `"]`
}

// choose opens a backup's panel.
func (p *tab) choose(b snapshot.Backup) {
	p.t.Helper()
	p.sees(line(b))
	if !must[bool](p, found(line(b))+".ariaExpanded === 'true'") {
		p.click(line(b))
	}
	p.sees(row(b) + " " + hook("panel"))
}

// does chooses a backup and presses the button of an action.
func (p *tab) does(b snapshot.Backup, action string) {
	p.t.Helper()
	p.choose(b)
	p.click(act(b, action))
}
