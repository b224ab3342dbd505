package httpapi

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// client is the address that a request comes from, as far as it can be believed:
// the zero one is of a Unix socket or of a test.
type client struct{ netip.Addr }

// key is what failures are counted by: a household has a /64.
func (c client) key() string {
	if c.Is6() {
		if p, err := c.WithZone("").Prefix(64); err == nil {
			return p.String()
		}
	}
	return c.String()
}

func (c client) String() string {
	if !c.IsValid() {
		return "this machine"
	}
	return c.Addr.String()
}

// trusted reports whether addr may speak for others. Behind a Unix socket is a
// proxy if any is declared: the rights of the socket say who may be it.
func (h *Handler) trusted(addr netip.Addr) bool {
	if !addr.IsValid() {
		return len(h.o.TrustedProxies) > 0
	}
	return slices.ContainsFunc(h.o.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(addr.WithZone("")) })
}

func peer(r *http.Request) netip.Addr {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr().Unmap()
}

// maxHops bounds how many proxies are followed.
const maxHops = 16

// client walks the proxies' list from its end, where the nearest wrote, to the
// first address that is not a proxy's. What stands before it anybody can write.
func (h *Handler) client(r *http.Request) client {
	at := peer(r)
	if !h.trusted(at) {
		return client{at}
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for range maxHops {
		if len(hops) == 0 {
			break
		}
		next, ok := parseHop(hops[len(hops)-1])
		if !ok {
			break
		}
		hops, at = hops[:len(hops)-1], next
		if !h.trusted(at) {
			break
		}
	}
	return client{at}
}

// parseHop reads an address with or without port and brackets.
func parseHop(s string) (netip.Addr, bool) {
	s = strings.TrimSpace(s)
	if at, err := netip.ParseAddrPort(s); err == nil {
		return at.Addr().Unmap(), true
	}
	addr, err := netip.ParseAddr(strings.Trim(s, "[]"))
	return addr.Unmap(), err == nil
}

// encrypted reports whether the client's side of the connection is.
func (h *Handler) encrypted(r *http.Request) bool {
	if r.TLS != nil {
		return true
	}
	if !h.trusted(peer(r)) {
		return false
	}
	values := strings.Split(strings.Join(r.Header.Values("X-Forwarded-Proto"), ","), ",")
	return strings.EqualFold(strings.TrimSpace(values[len(values)-1]), "https")
}
