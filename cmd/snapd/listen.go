package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"example.com/snapd/httpapi"
	"example.com/snapd/snapshot"
)

// defaultListen is where the page is unless another address is named.
const defaultListen = "127.0.0.1:8321"

// listening says where and how serve shows the page and the API.
type listening struct {
	Listen        *string  `placeholder:"ADDRESS" help:"Where the page and the API are: host:port, unix:PATH, or none; default 127.0.0.1:8321. Other than loopback needs TLS, or a proxy that does it."`
	TokenFile     string   `placeholder:"FILE" help:"The one line in it is the token for page and API; made when absent. Default: token in the backup directory."`
	TLSCert       string   `name:"tls-cert" placeholder:"FILE" help:"Certificate with its chain, PEM; read again when it changes."`
	TLSKey        string   `name:"tls-key" placeholder:"FILE" help:"Its key, PEM."`
	TrustedProxy  []string `placeholder:"CIDR" help:"A proxy in front, which does TLS and whose X-Forwarded-For and -Proto are believed; may be given again."`
	HostName      []string `placeholder:"NAME" help:"A name by which browsers ask for the page, in addition to localhost and the address it listens on; * is every name; may be given again. Another is answered 421."`
	AllowDownload bool     `help:"Let the archives be downloaded through the page and the API."`
	AllowQuery    bool     `help:"Let the API answer SQL that reads from a backup. The page never asks so."`
	OpenMetrics   bool     `help:"Answer /metrics without a token."`

	proxies []netip.Prefix
}

// Validate is called by the parser.
func (l *listening) Validate() error {
	if l.Listen != nil && *l.Listen == "" {
		return errors.New("--listen is empty; give it an address, or none")
	}
	if l.off() && (l.TLSCert != "" || l.TLSKey != "") {
		return errors.New("--listen none excludes --tls-cert and --tls-key")
	}
	if (l.TLSCert == "") != (l.TLSKey == "") {
		return errors.New("--tls-cert and --tls-key go together")
	}
	l.proxies = nil
	for _, s := range l.TrustedProxy {
		p, err := parsePrefix(strings.TrimSpace(s))
		if err != nil {
			return fmt.Errorf("--trusted-proxy %q is no address and no range of addresses; write for example 10.0.0.0/8", s)
		}
		l.proxies = append(l.proxies, p)
	}
	return nil
}

// parsePrefix takes a single address for the range that holds it alone.
func parsePrefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return a.Prefix(a.BitLen())
	}
	return netip.ParsePrefix(s)
}

func (l *listening) off() bool { return l.Listen != nil && *l.Listen == "none" }

// open opens the listener; nil for none. An address that was given explicitly is opened or
// is an error. The data is not left without protection because something else has
// the default port: then taken says why there is no listener.
func (l *listening) open() (_ net.Listener, taken, err error) {
	if l.off() {
		return nil, nil, nil
	}
	address := defaultListen
	if l.Listen != nil {
		address = *l.Listen
	}
	got, err := httpapi.Listen(httpapi.ListenOptions{Address: address, TLSCert: l.TLSCert, TLSKey: l.TLSKey, TrustedProxies: l.proxies})
	var failed *net.OpError
	if l.Listen == nil && errors.As(err, &failed) && failed.Op == "listen" {
		return nil, err, nil
	}
	return got, nil, err
}

func (l *listening) options() httpapi.Options {
	return httpapi.Options{TokenFile: l.TokenFile, AllowDownload: l.AllowDownload, AllowQuery: l.AllowQuery, OpenMetrics: l.OpenMetrics, TrustedProxies: l.proxies, HostNames: l.hostNames()}
}

// hostNames are those of --host-name, and what baseURL calls this machine.
func (l *listening) hostNames() []string {
	names := l.HostName
	if l.Listen != nil && !strings.HasPrefix(*l.Listen, "unix:") {
		if host, _, err := net.SplitHostPort(*l.Listen); err == nil && host != "" {
			names = append(names, host)
		}
	}
	if host, err := os.Hostname(); err == nil && host != "" {
		names = append(names, host)
	}
	return names
}

// baseURL is how a browser on this machine reaches l.
func baseURL(l net.Listener, withTLS bool) string {
	if l.Addr().Network() == "unix" {
		return urlOf("unix:", withTLS)
	}
	return urlOf(l.Addr().String(), withTLS)
}

// page is the page and the API of one Manager, being served. A nil one is none.
type page struct {
	handler *httpapi.Handler
	base    string // its address, without a path
	stop    context.CancelFunc
	ended   chan error // of Serve; has a buffer
}

// pagePatience is how long the end waits for operations that can no longer be
// cancelled, beyond what Serve waits.
const pagePatience = 30 * time.Second

// startPage serves m on l, which it closes in the end. Only close ends it.
func (a *app) startPage(m *snapshot.Manager, l net.Listener, o httpapi.Options, base string) (*page, error) {
	o.Logger = a.log
	h, err := httpapi.New(m, o)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	p := &page{handler: h, base: base, stop: stop, ended: make(chan error, 1)}
	go func() {
		err := h.Serve(ctx, l)
		if err != nil && ctx.Err() == nil {
			a.log.Error("the page and the API have ended; backups go on", "error", err.Error())
		}
		p.ended <- err
	}()
	return p, nil
}

// close ends streams, requests and operations, these unless they are past the
// point where that makes sense.
func (p *page) close() error {
	if p == nil {
		return nil
	}
	p.stop()
	err := <-p.ended
	if err == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), pagePatience)
	defer cancel()
	return errors.Join(err, p.handler.Close(ctx))
}

func (p *page) address() string { return p.base + httpapi.DefaultPagePrefix }

func (p *page) login() string { return p.handler.LoginURL(p.base) }
