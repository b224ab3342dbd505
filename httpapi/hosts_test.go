package httpapi

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// If this fails, the page of another site makes its own name point at this server (DNS
// rebinding), and what it asks counts as the same origin; or people are kept from their own server.
func TestOnlyOwnNamesAreAnswered(t *testing.T) {
	own := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 8321}
	own6 := &net.TCPAddr{IP: net.ParseIP("2001:db8::7"), Port: 8321}
	host := func(*http.Request) (Principal, error) { return Principal{Name: "bob", Rights: AllRights()}, nil }
	for _, tc := range []struct {
		host  string
		local net.Addr
		o     Options
		want  int
	}{
		{"evil.test", own, Options{}, 421},
		{"evil.test:8321", own, Options{}, 421},
		{"localhost.evil.test", own, Options{}, 421},
		{"127.0.0.1.evil.test", own, Options{}, 421},
		{"evillocalhost", own, Options{}, 421},
		{"192.0.2.8", own, Options{}, 421},
		{"192.0.2.7", nil, Options{}, 421},
		{"[::1]evil.test", own, Options{}, 421},
		{"", own, Options{}, 200}, // no browser
		{"localhost", own, Options{}, 200},
		{"LOCALHOST.:8321", own, Options{}, 200},
		{"snapd.localhost:8321", own, Options{}, 200},
		{"127.0.0.1:8321", own, Options{}, 200},
		{"127.9.9.9", nil, Options{}, 200},
		{"[::1]:8321", own, Options{}, 200},
		{"[::1]", own, Options{}, 200},
		{"[::ffff:127.0.0.1]:8321", own, Options{}, 200},
		{"192.0.2.7:8321", own, Options{}, 200},
		{"192.0.2.7", own, Options{}, 200},
		{"[2001:db8:0::7]:8321", own6, Options{}, 200},
		{"Backups.Example.COM:443", own, Options{HostNames: []string{"backups.example.com"}}, 200},
		{"backups.example.com", own, Options{HostNames: []string{"Backups.example.com:8321"}}, 200},
		{"192.0.2.9", own, Options{HostNames: []string{"192.0.2.9"}}, 200},
		{"evil.test", own, Options{HostNames: []string{"backups.example.com"}}, 421},
		{"evil.test", own, Options{HostNames: []string{AnyHost}}, 200},
		{"evil.test", own, Options{Authorize: host}, 200}, // the host application's matter
		{"evil.test", own, Options{Authorize: host, HostNames: []string{"crm.example.com"}}, 421},
	} {
		if tc.o.HostNames == nil {
			tc.o.HostNames = []string{} // not those of the tests
		}
		c := newChain(t, echoTable, tc.o)
		for _, path := range []string{"/api/v1/things", "/web/admin/backups/", "/nowhere"} {
			r := httptest.NewRequest("GET", path, nil)
			r.Host = tc.host
			r.Header.Set("Authorization", "Bearer "+chainToken)
			r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, tc.local))
			w := httptest.NewRecorder()
			c.ServeHTTP(w, r)
			if misdirected := w.Code == 421; misdirected != (tc.want == 421) {
				t.Errorf("Host %q at %v, names %q: %s is answered %d", tc.host, tc.local, tc.o.HostNames, path, w.Code)
			} else if misdirected {
				if p := want(t, w, 421, "misdirected"); !strings.Contains(p.Hint, "--host-name") {
					t.Errorf("hint %q", p.Hint)
				}
			}
		}
	}
	for _, name := range []string{"", "https://backups.example.com", "a b"} {
		if _, err := newHandler(bareManager{dir: t.TempDir(), log: &activityLog{}}, Options{HostNames: []string{name}}); err == nil {
			t.Errorf("name %q is taken", name)
		}
	}
}
