package httpapi

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// AnyHost among Options.HostNames stands for every name.
const AnyHost = "*"

// hosts are the names and addresses by which the server may be asked for. A page of another
// site whose name was made to point here (DNS rebinding) asks by that name, and is refused.
type hosts struct {
	names []string // in the form of hostOf
	any   bool
}

// newHosts: where the host application authorises requests, names are its own matter until
// some are given.
func newHosts(o Options) (hosts, error) {
	h := hosts{any: o.Authorize != nil && len(o.HostNames) == 0}
	for _, name := range o.HostNames {
		clean := hostOf(name)
		if clean == "" || strings.ContainsAny(name, "/@ ") {
			return h, fmt.Errorf("host name %q: want a name or an address, as backups.example.com", name)
		}
		h.any = h.any || name == AnyHost
		h.names = append(h.names, clean)
	}
	return h, nil
}

// check refuses a request that asks for another server, with a problem. The names that are
// answered: this machine's own (localhost, the loopback addresses), the address that the
// connection was made to, and those of Options.HostNames. A browser always sends a name.
func (h hosts) check(r *http.Request) error {
	host := hostOf(r.Host)
	if h.any || host == "" || host == "localhost" || strings.HasSuffix(host, ".localhost") || slices.Contains(h.names, host) {
		return nil
	}
	if at, err := netip.ParseAddr(host); err == nil {
		at = at.Unmap().WithZone("")
		local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
		if at.IsLoopback() || local != nil && hostOf(local.String()) == at.String() {
			return nil
		}
	}
	return fail(http.StatusMisdirectedRequest, "misdirected", fmt.Sprintf("this server is not known as %q", brief(host)),
		"ask for it by the address that it listens on, or start it with --host-name and this name")
}

// hostOf is the host of "host", "host:port" or "[address]:port", as names are compared.
func hostOf(s string) string {
	if host, _, err := net.SplitHostPort(s); err == nil {
		s = host
	}
	s = strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")
	if at, err := netip.ParseAddr(s); err == nil {
		return at.Unmap().WithZone("").String()
	}
	return strings.ToLower(strings.TrimSuffix(s, "."))
}
