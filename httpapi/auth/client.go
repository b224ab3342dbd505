package auth

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// client is the address that a request comes from, as far as it can be believed. It is
// invalid for a Unix socket.
type client struct{ netip.Addr }

// key is what the throttle counts by: a household has a /64.
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

// proxies are the addresses that may speak for others.
type proxies []netip.Prefix

// trusted reports whether addr is a proxy's. The peer of a Unix socket is a proxy if any is
// declared: the socket's mode decides who may connect.
func (ps proxies) trusted(addr netip.Addr) bool {
	if !addr.IsValid() {
		return len(ps) > 0
	}
	return slices.ContainsFunc(ps, func(p netip.Prefix) bool { return p.Contains(addr.WithZone("")) })
}

func peer(r *http.Request) netip.Addr {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr().Unmap()
}

// maxHops bounds the proxies between the client and this server.
const maxHops = 16

// client walks X-Forwarded-For from its end, where the nearest proxy writes, to the first
// address that is not a proxy's. The client can write everything before that.
func (ps proxies) client(r *http.Request) client {
	at := peer(r)
	if !ps.trusted(at) {
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
		if !ps.trusted(at) {
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

// encrypted reports whether the client's connection uses TLS, here or at a proxy.
func (ps proxies) encrypted(r *http.Request) bool {
	if r.TLS != nil {
		return true
	}
	if !ps.trusted(peer(r)) {
		return false
	}
	values := strings.Split(strings.Join(r.Header.Values("X-Forwarded-Proto"), ","), ",")
	return strings.EqualFold(strings.TrimSpace(values[len(values)-1]), "https")
}
