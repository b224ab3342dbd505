package browser

import (
	"strings"
	"testing"

	"example.com/snapd/snapshot"
)

// Notes, names and errors come from people, hosts and files. If this fails, one of
// them runs as a script in the administrator's session, or turns the words of others
// around, so that a failure reads like something else.
func TestTextIsText(t *testing.T) {
	t.Parallel()
	const untrusted = "<img src=x onerror=alert(1)><script>alert(2)</script>\u202Etxet"
	s := newSite(t)
	b := s.manual(untrusted)
	for _, action := range []string{"restore", "constructor", "__proto__", untrusted} {
		s.manager.Record(snapshot.Activity{Who: untrusted, Action: action, Outcome: "failed", Backup: untrusted, Code: untrusted, Detail: untrusted})
		s.manager.Record(snapshot.Activity{Who: untrusted, Action: action, Outcome: "toString", Trigger: untrusted, Schedule: untrusted})
	}
	p := s.open(desktop)
	p.says(row(b), "onerror=alert(1)")
	p.says(hook("activity"), "onerror=alert(1)", "could not restore a backup")
	p.does(b, "restore")
	p.says("dialog[open]", "onerror=alert(1)")
	if n := must[int](p, "document.querySelectorAll('[onerror], [src=x], script:not([src])').length"); n > 0 {
		t.Errorf("%d elements were made of text", n)
	}
	if all := p.text(); strings.Contains(all, "[native code]") || strings.Contains(all, "[object") || strings.Contains(all, "undefined") {
		t.Errorf("a word that is none: %s", all)
	}
	if n := must[int](p, "[...document.querySelectorAll('.event span')].filter(e => getComputedStyle(e).unicodeBidi !== 'isolate').length"); n > 0 {
		t.Errorf("%d texts reverse the text next to them", n)
	}
}

// The same for what is inside a database: names of tables and columns, keys and values, wherever the page shows them.
func TestNamesInsideAreText(t *testing.T) {
	t.Parallel()
	const untrusted = "<img src=x onerror=alert(1)>\u202Etxet\n\x01" + `"'`
	quoted := `"` + strings.ReplaceAll(untrusted, `"`, `""`) + `"`
	long := strings.Repeat("a_very_long_name_", 30)
	s := newSite(t)
	s.exec("CREATE TABLE " + quoted + "(" + quoted + " TEXT PRIMARY KEY, __proto__, " + long + ")")
	s.exec("CREATE TABLE " + long + "(id INTEGER PRIMARY KEY)")
	s.exec("INSERT INTO "+quoted+" VALUES(?, ?, ?), ('other', x'00', NULL)", untrusted, "a\x00b"+untrusted, strings.Repeat("long", 9000))
	s.exec("INSERT INTO " + long + " VALUES(1)")
	b := s.manual("before")
	s.exec("DELETE FROM " + quoted)
	s.exec("DELETE FROM " + long)
	s.automatic()
	p := s.open(narrow)
	p.does(b, "inside")
	p.says(hook("inside"), "onerror=alert(1)", "a_very_long_name", "2 removed")
	p.fits(narrow)
	p.click(".unfold")
	p.says(".changed-rows", "onerror=alert(1)", "other", "36 kB")
	p.click(hook("inside-when"))
	p.says(hook("inside-times"), "2 removed")
	p.fits(narrow)
	p.click(hook("choose-gone"))
	p.click(hook("bring-back"))
	p.says(hook("dialog-rows"), "onerror=alert(1)", "2 rows come back")
	p.wait("the dialog to fit", "(d => d.scrollWidth <= d.clientWidth)(document.querySelector('dialog'))")
	if all := must[[]string](p, "[...document.querySelectorAll('dialog :is(strong, span, del, ins), .inside :is(span, del, ins)')].filter(e => getComputedStyle(e).unicodeBidi !== 'isolate').map(e => e.outerHTML.slice(0, 80))"); len(all) > 0 {
		t.Errorf("texts reverse the text next to them: %q", all)
	}
	if title := must[string](p, "document.querySelector('dialog h2').textContent"); !strings.Contains(title, "\u2068"+untrusted+"\u2069") {
		t.Errorf("the title is %q", title)
	}
	p.click(hook("dialog-rows-confirm"))
	p.says(hook("outcome"), "2 of", "onerror=alert(1)")
	if n := must[int](p, "document.querySelectorAll('[onerror], [src=x], script:not([src])').length"); n > 0 {
		t.Errorf("%d elements were made of text", n)
	}
	if n := s.count("SELECT count(*) FROM " + quoted); n != 2 {
		t.Errorf("%d rows are back", n)
	}
}
