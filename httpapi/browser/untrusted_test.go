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
