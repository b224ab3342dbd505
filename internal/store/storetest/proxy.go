package storetest

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
)

// A Proxy stands in front of object storage, counts its requests, and lets a test spoil them.
type Proxy struct {
	Address string // host:port, without TLS
	forward *httputil.ReverseProxy

	mu       sync.Mutex
	fault    func(r *http.Request) Fault
	requests []string
}

// A Fault is what the proxy does with one request. The zero value passes it on.
type Fault struct {
	Status int             // answer this
	Code   string          // and this, as object storage words it
	Reset  bool            // break the connection, without passing the request on
	Lose   bool            // pass the request on, and break the connection instead of answering
	Cut    int64           // break the connection after so many bytes of the answer's body
	Stale  []byte          // answer this with status 200
	Header http.Header     // pass the request on, and put this into the answer
	Wait   <-chan struct{} // before anything else
}

// StartProxy starts a proxy of the server at address, which ends with the test.
func StartProxy(t testing.TB, address string) *Proxy {
	t.Helper()
	p := &Proxy{}
	p.forward = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: address})
			r.Out.Host = r.In.Host // it is signed
		},
		ErrorLog:  log.New(io.Discard, "", 0),
		Transport: &http.Transport{MaxIdleConnsPerHost: 16, DisableCompression: true},
	}
	server := httptest.NewUnstartedServer(p)
	server.Config.ErrorLog = nil
	server.Start()
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	p.Address = server.Listener.Addr().String()
	return p
}

// Spoil sets what decides about each request from now on; nil passes all on.
func (p *Proxy) Spoil(fault func(r *http.Request) Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = fault
}

// First is a hook for Spoil: the first n requests for which which returns true meet the fault.
func First(n int, fault Fault, which func(r *http.Request) bool) func(r *http.Request) Fault {
	return func(r *http.Request) Fault { // called with the proxy's lock
		if n == 0 || !which(r) {
			return Fault{}
		}
		n--
		return fault
	}
}

// Requests returns what was asked since the last call, such as "PUT /bucket/crm/name", with the names of the query's parameters.
func (p *Proxy) Requests() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	requests := p.requests
	p.requests = nil
	return requests
}

// Kind is how Requests names a request.
func Kind(r *http.Request) string {
	var keys []string
	for key := range r.URL.Query() {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	kind := r.Method + " " + r.URL.Path
	if len(keys) > 0 {
		kind += "?" + strings.Join(keys, "&")
	}
	return kind
}

func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.requests = append(p.requests, Kind(r))
	var fault Fault
	if p.fault != nil {
		fault = p.fault(r)
	}
	p.mu.Unlock()
	if fault.Wait != nil {
		<-fault.Wait
	}
	switch {
	case fault.Header != nil:
		p.forward.ServeHTTP(&header{w, fault.Header}, r)
	case fault.Reset:
		reset(w)
	case fault.Status != 0:
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(fault.Status)
		if r.Method != http.MethodHead {
			fmt.Fprintf(w, "<?xml version=\"1.0\"?><Error><Code>%s</Code><Message>a test spoils this</Message></Error>", fault.Code)
		}
	case fault.Stale != nil:
		io.Copy(io.Discard, r.Body)
		w.Header().Set("ETag", `"stale"`)
		w.Write(fault.Stale)
	case fault.Lose:
		p.forward.ServeHTTP(httptest.NewRecorder(), r)
		reset(w)
	case fault.Cut > 0:
		p.forward.ServeHTTP(&cutter{ResponseWriter: w, left: fault.Cut}, r)
	default:
		p.forward.ServeHTTP(w, r)
	}
}

// reset breaks the connection as a machine does that has forgotten it.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	conn.Close()
}

// A cutter breaks the connection after so many bytes of the body.
type cutter struct {
	http.ResponseWriter
	left int64
}

func (c *cutter) Write(p []byte) (int, error) {
	if int64(len(p)) < c.left {
		n, err := c.ResponseWriter.Write(p)
		c.left -= int64(n)
		return n, err
	}
	c.ResponseWriter.Write(p[:c.left])
	http.NewResponseController(c.ResponseWriter).Flush()
	panic(http.ErrAbortHandler)
}

// Unwrap is for http.ResponseController.
func (c *cutter) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// header replaces some of the answer's headers.
type header struct {
	http.ResponseWriter
	set http.Header
}

func (h *header) WriteHeader(status int) {
	for key, values := range h.set {
		h.Header()[key] = values
	}
	h.ResponseWriter.WriteHeader(status)
}
