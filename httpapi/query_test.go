package httpapi

import (
	"testing"
)

// Lost if this fails: the list, sent again and again to who has it already; or worse,
// one that is called unchanged although it is not.
func TestListsAreSentOnce(t *testing.T) {
	a := openAPI(t, nil)
	b := a.backup("first")
	for _, path := range []string{"/backups", "/backups?kind=manual", "/activity", "/stats", "/backups/" + b.ID} {
		for _, method := range []string{"GET", "HEAD"} {
			first := a.ask(method, path, "")
			tag := first.header.Get("ETag")
			if first.status != 200 || len(tag) < 10 || tag[0] != '"' || (method == "HEAD") != (len(first.body) == 0) {
				t.Fatalf("%s %s: %d %q %s", method, path, first.status, tag, first.body)
			}
			for _, have := range []string{tag, "W/" + tag, `"other", ` + tag, "*"} {
				if r := a.ask(method, path, "", "If-None-Match: "+have); r.status != 304 || len(r.body) > 0 || r.header.Get("ETag") != tag {
					t.Errorf("%s %s with %s: %d %s", method, path, have, r.status, r.body)
				}
			}
			if r := a.ask(method, path, "", `If-None-Match: "other"`); r.status != 200 {
				t.Errorf("%s %s with another tag: %d", method, path, r.status)
			}
		}
		had := a.ask("GET", path, "").header.Get("ETag")
		a.ask("PATCH", "/backups/"+b.ID, `{"note":"changed for `+path+`"}`).into(200, nil)
		if r := a.ask("GET", path, "", "If-None-Match: "+had); r.status != 200 {
			t.Errorf("%s after a change: %d", path, r.status)
		}
	}
}

// Lost: a change by who saw another state.
func TestIfMatch(t *testing.T) {
	for _, c := range []struct {
		header []string
		want   bool
	}{
		{[]string{`"abc"`}, true}, {[]string{"abc"}, true}, {[]string{"*"}, true}, {[]string{`"x", "abc"`}, true}, {[]string{`"x"`, `"abc"`}, true},
		{[]string{`"x"`}, false}, {[]string{""}, false}, {[]string{`"ab"`}, false}, {[]string{`"abcd"`}, false}, {[]string{`" abc"`}, false},
	} {
		if got := matches(c.header, "abc"); got != c.want {
			t.Errorf("%q: %v", c.header, got)
		}
	}
}
