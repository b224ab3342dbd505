package auth

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
)

// If this fails, a client says where it comes from: it escapes the throttle, or has
// another one throttled.
func TestClientAddress(t *testing.T) {
	declared := proxies{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for _, tc := range []struct{ remote, forwarded, want string }{
		{"192.0.2.1:5", "", "192.0.2.1"},
		{"192.0.2.1:5", "198.51.100.1", "192.0.2.1"}, // not a proxy: not believed
		{"10.0.0.1:5", "", "10.0.0.1"},
		{"10.0.0.1:5", "198.51.100.1", "198.51.100.1"},
		{"[::ffff:10.0.0.1]:5", "198.51.100.1", "198.51.100.1"},
		{"[fd00::1]:5", "2001:db8::1", "2001:db8::1"},
		{"10.0.0.1:5", "1.1.1.1, 198.51.100.1", "198.51.100.1"}, // what the client wrote stands first
		{"10.0.0.1:5", "1.1.1.1, 198.51.100.1, 10.2.2.2", "198.51.100.1"},
		{"10.0.0.1:5", "1.1.1.1|198.51.100.1", "198.51.100.1"}, // two headers
		{"10.0.0.1:5", "198.51.100.1:4711", "198.51.100.1"},
		{"10.0.0.1:5", "[2001:db8::1]:4711", "2001:db8::1"},
		{"10.0.0.1:5", "[2001:db8::1]", "2001:db8::1"},
		{"10.0.0.1:5", "198.51.100.1, unknown", "10.0.0.1"},
		{"10.0.0.1:5", "198.51.100.1,", "10.0.0.1"},
		{"10.0.0.1:5", strings.Repeat("10.0.0.2,", 100) + "10.0.0.2", "10.0.0.2"},
		{"@", "198.51.100.1", "198.51.100.1"}, // a Unix socket's only user is the declared proxy
		{"", "", "this machine"},
	} {
		r := &http.Request{RemoteAddr: tc.remote, Header: http.Header{}}
		for value := range strings.SplitSeq(tc.forwarded, "|") {
			if value != "" {
				r.Header.Add("X-Forwarded-For", value)
			}
		}
		if got := declared.client(r).String(); got != tc.want {
			t.Errorf("%s, forwarded for %q: %s, want %s", tc.remote, tc.forwarded, got, tc.want)
		}
	}
	r := &http.Request{RemoteAddr: "@", Header: http.Header{"X-Forwarded-For": {"198.51.100.1"}}}
	if got := proxies(nil).client(r).String(); got != "this machine" {
		t.Errorf("no proxy was declared, and %s is believed", got)
	}
}
