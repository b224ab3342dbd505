package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strings"

	"example.com/snapd/httpapi"
	"example.com/snapd/snapshot"
)

// loginURLCmd prints the page's address with the login in it: a secret, which serve shows on
// a terminal only.
type loginURLCmd struct {
	listening
}

func (c *loginURLCmd) on(_ context.Context, a *app, m *snapshot.Manager) error {
	if c.off() {
		return &refusal{"there is no page: --listen is none", "give the --listen of serve"}
	}
	address := defaultListen
	if c.Listen != nil {
		address = *c.Listen
	}
	o := c.options()
	o.Logger = a.log
	h, err := httpapi.New(m, o)
	if err != nil {
		return err
	}
	login := h.LoginURL(urlOf(address, c.TLSCert != ""))
	return a.result(map[string]string{"login": login}, func(w io.Writer) { fmt.Fprintln(w, login) })
}

// urlOf is how a browser on this machine reaches an address that serve listens on.
func urlOf(address string, withTLS bool) string {
	scheme := "http://"
	if withTLS {
		scheme = "https://"
	}
	if strings.HasPrefix(address, "unix:") {
		return scheme + "localhost" // behind the proxy that has the socket
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return scheme + address
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		if host, err = os.Hostname(); err != nil {
			host = "localhost"
		}
	}
	return scheme + net.JoinHostPort(host, port)
}
