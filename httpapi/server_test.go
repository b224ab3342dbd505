package httpapi

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/snapd/snapshot"
)

// served runs the chain on a real listener until the test ends.
func served(t *testing.T, c *chain, o ListenOptions) (base string, stop func() error) {
	t.Helper()
	if o.Address == "" {
		o.Address = "127.0.0.1:0"
	}
	l, err := Listen(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Serve(ctx, l) }()
	ended := false
	stop = func() error {
		cancel()
		if ended {
			return nil
		}
		ended = true
		return <-done
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String(), stop
}

// If this fails, a token crosses a network in the clear, or a harmless address is refused.
func TestListenRefusesOpenAddresses(t *testing.T) {
	cert, key, _ := makeCert(t, t.TempDir(), "one")
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	for _, tc := range []struct {
		o    ListenOptions
		open bool
	}{
		{ListenOptions{Address: ":0"}, false},
		{ListenOptions{Address: "0.0.0.0:0"}, false},
		{ListenOptions{Address: "[::]:0"}, false},
		{ListenOptions{Address: "[::ffff:0.0.0.0]:0"}, false},
		{ListenOptions{Address: "192.0.2.1:0"}, false},
		{ListenOptions{Address: "[2001:db8::1]:0"}, false},
		{ListenOptions{Address: "127.0.0.1:0"}, true},
		{ListenOptions{Address: "127.9.9.9:0"}, runtime.GOOS == "linux"},
		{ListenOptions{Address: "localhost:0"}, true},
		{ListenOptions{Address: "0.0.0.0:0", TLSCert: cert, TLSKey: key}, true},
		{ListenOptions{Address: ":0", TrustedProxies: proxies}, true},
	} {
		l, err := Listen(tc.o)
		switch {
		case tc.open && err != nil:
			t.Errorf("%+v: %v", tc.o, err)
		case tc.open:
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		case err == nil:
			t.Errorf("%s is listened on without TLS", tc.o.Address)
			_ = l.Close()
		case !errors.Is(err, snapshot.ErrRefused) || snapshot.Code(err) != "refused":
			if !strings.Contains(tc.o.Address, "127.9") {
				t.Errorf("%s: %v is no refusal", tc.o.Address, err)
			}
		default:
			for _, flag := range []string{"--tls-cert", "--tls-key", "--trusted-proxy"} {
				if !strings.Contains(snapshot.Hint(err), flag) {
					t.Errorf("%s: the hint %q does not name %s", tc.o.Address, snapshot.Hint(err), flag)
				}
			}
		}
	}
}

// An address that is taken, or no address, must say so with a way out.
func TestListenErrorsHaveHints(t *testing.T) {
	l, err := Listen(ListenOptions{Address: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	for _, o := range []ListenOptions{
		{Address: l.Addr().String()},
		{Address: "8321"},
		{Address: "127.0.0.1:0", TLSCert: "x"},
	} {
		got, err := Listen(o)
		if err == nil {
			_ = got.Close()
			t.Errorf("%+v was opened", o)
		} else if snapshot.Hint(err) == "" || errors.Is(err, snapshot.ErrRefused) {
			t.Errorf("%+v: %v, hint %q", o, err, snapshot.Hint(err))
		}
	}
}

// If this fails, others on the machine reach the socket, a crash locks the server
// out of its own socket, or a file that somebody needs is removed.
func TestListenOnUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	o := ListenOptions{Address: unixPrefix + path}
	l, err := Listen(o)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("socket: %v %v", info, err)
	}
	if _, err := Listen(o); err == nil || snapshot.Hint(err) == "" {
		t.Errorf("a socket in use: %v", err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if l, err = Listen(o); err != nil {
		t.Fatalf("a dead socket: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(o); !errors.Is(err, snapshot.ErrRefused) {
		t.Errorf("a file at the socket's place: %v", err)
	}
}

// makeCert writes a self-signed certificate for 127.0.0.1.
func makeCert(t *testing.T, dir, name string) (certFile, keyFile string, pool *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{name}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: pkcs}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool = x509.NewCertPool()
	pool.AddCert(cert)
	return certFile, keyFile, pool
}

// If this fails, TLS is not what it should be: old versions, no HTTP/2, cookies
// that also travel in the clear, or a renewed certificate that is not used.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	cert, key, pool := makeCert(t, dir, "one")
	c := newChain(t, echoTable, Options{})
	at, _ := served(t, c, ListenOptions{TLSCert: cert, TLSKey: key})
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}}
	defer client.CloseIdleConnections()
	resp, err := client.Post("https://"+at+"/api/v1/session", "application/json", strings.NewReader(`{"token":"`+chainToken+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusNoContent || resp.ProtoMajor != 2 || !resp.Cookies()[0].Secure {
		t.Errorf("%s by HTTP/%d, cookies %v", resp.Status, resp.ProtoMajor, resp.Cookies())
	}
	if conn, err := tls.Dial("tcp", at, &tls.Config{RootCAs: pool, MaxVersion: tls.VersionTLS11}); err == nil { //nolint:gosec // the point
		_ = conn.Close()
		t.Error("TLS 1.1 is spoken")
	}
}

// A certificate is renewed while the server runs; half a renewal must not end it.
func TestCertificateIsReadAgain(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile, _ := makeCert(t, dir, "one")
	c := &certificate{certFile: certFile, keyFile: keyFile, interval: time.Nanosecond}
	name := func() string {
		pair, err := c.current(nil)
		if err != nil {
			t.Fatal(err)
		}
		return pair.Leaf.DNSNames[0]
	}
	if name() != "one" {
		t.Fatal(name())
	}
	if err := os.WriteFile(certFile, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if name() != "one" {
		t.Error("half a certificate replaced a good one")
	}
	makeCert(t, dir, "another")
	if name() != "another" {
		t.Error("the renewed certificate is not used")
	}
}

// patient is a client that looks at the connection itself.
type patient struct {
	net.Conn
	t *testing.T
}

func connect(t *testing.T, at string) patient {
	t.Helper()
	conn, err := net.Dial("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return patient{conn, t}
}

func (p patient) send(format string, args ...any) {
	p.t.Helper()
	if _, err := fmt.Fprintf(p, format, args...); err != nil {
		p.t.Fatal(err)
	}
}

// rest is all that comes until the server hangs up.
func (p patient) rest() string {
	p.t.Helper()
	raw, err := io.ReadAll(p)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		p.t.Fatalf("the server does not hang up; it said %q", raw)
	}
	return string(raw)
}

// If this fails, a few slow connections occupy the server for ever.
func TestSlowClientsAreCutOff(t *testing.T) {
	c := newChain(t, echoTable, Options{})
	c.limits.header, c.limits.read, c.limits.idle = 100*time.Millisecond, 200*time.Millisecond, 100*time.Millisecond
	c.limits.headerBytes = 8 << 10
	at, _ := served(t, c, ListenOptions{})
	t.Run("no request", func(t *testing.T) { connect(t, at).rest() })
	t.Run("half a header", func(t *testing.T) {
		p := connect(t, at)
		p.send("GET /api/v1/things HTTP/1.1\r\nHost: x\r\nAuthor")
		if got := p.rest(); strings.Contains(got, " 200 ") {
			t.Error(got)
		}
	})
	t.Run("half a body", func(t *testing.T) {
		p := connect(t, at)
		p.send("POST /api/v1/things HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n{\"note\"", chainToken)
		if got := p.rest(); !strings.Contains(got, " 422 ") || !strings.Contains(got, "invalid") {
			t.Error(got)
		}
	})
	t.Run("a truncated body", func(t *testing.T) {
		p := connect(t, at)
		p.send("POST /api/v1/things HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n{\"note\":\"x\"}", chainToken)
		if err := p.Conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if got := p.rest(); strings.Contains(got, " 200 ") {
			t.Error(got)
		}
	})
	t.Run("idle", func(t *testing.T) {
		p := connect(t, at)
		p.send("GET /api/v1/session HTTP/1.1\r\nHost: x\r\n\r\n")
		if got := p.rest(); !strings.Contains(got, " 401 ") {
			t.Error(got)
		}
	})
	t.Run("a huge header", func(t *testing.T) {
		p := connect(t, at)
		_, _ = fmt.Fprintf(p, "GET / HTTP/1.1\r\nHost: x\r\nX: %s\r\n\r\n", strings.Repeat("x", 64<<10)) // may be cut off in the middle
		if got := p.rest(); got != "" && !strings.Contains(got, " 431 ") {
			t.Error(got)
		}
	})
	t.Run("a body where none is taken", func(t *testing.T) {
		p := connect(t, at)
		p.send("DELETE /api/v1/things/x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", chainToken)
		if got := p.rest(); !strings.Contains(got, " 422 ") {
			t.Error(got)
		}
	})
}

// If this fails, the page's live view ends after a minute, or a stream keeps the
// server from ending.
func TestStreamsOutliveTimeouts(t *testing.T) {
	ticks := make(chan string)
	stream := func(_ *Handler, w http.ResponseWriter, c *call) error {
		for {
			select {
			case <-c.Context().Done():
				return nil
			case tick, more := <-ticks:
				if !more {
					return nil
				}
				_, _ = io.WriteString(w, tick+"\n")
				if err := http.NewResponseController(w).Flush(); err != nil {
					return err
				}
			}
		}
	}
	c := newChain(t, []route{{method: "GET", path: "/stream", right: RightView, stream: true, handle: stream}}, Options{})
	c.limits.read, c.limits.write = 50*time.Millisecond, 50*time.Millisecond
	end := sync.OnceFunc(func() { close(ticks) })
	c.closers = append(c.closers, func(context.Context) error { end(); return nil })
	at, stop := served(t, c, ListenOptions{})
	p := connect(t, at)
	p.send("GET /api/v1/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", chainToken)
	lines := bufio.NewScanner(p)
	for i := range 4 {
		time.Sleep(40 * time.Millisecond) // past the server's deadlines, which are what is tested
		tick := fmt.Sprintf("tick %d", i)
		ticks <- tick
		for lines.Scan() && lines.Text() != tick {
		}
		if lines.Text() != tick {
			t.Fatalf("the stream ended before tick %d: %v", i, lines.Err())
		}
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	for lines.Scan() { // to its end
	}
	if err := lines.Err(); err != nil {
		t.Error(err)
	}
}

// If this fails, who asks for a stream and does not read holds a goroutine and a
// descriptor for ever.
func TestStreamsNobodyReadsEnd(t *testing.T) {
	ended := make(chan error, 1)
	flood := func(_ *Handler, w http.ResponseWriter, _ *call) error {
		_, err := io.Copy(w, endless{})
		ended <- err
		return nil
	}
	c := newChain(t, []route{{method: "GET", path: "/flood", right: RightView, stream: true, handle: flood}}, Options{})
	c.limits.stream = 50 * time.Millisecond
	at, _ := served(t, c, ListenOptions{})
	connect(t, at).send("GET /api/v1/flood HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", chainToken)
	select {
	case err := <-ended:
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the stream ended with %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Error("the stream goes on")
	}
}

// If this fails, a stream leaves its deadline to the next request on the same
// connection, in a host's server that sets none.
func TestStreamsLeaveNoDeadline(t *testing.T) {
	stream := func(_ *Handler, w http.ResponseWriter, _ *call) error {
		_, err := io.WriteString(w, "streamed")
		return err
	}
	c := newChain(t, append([]route{{method: "GET", path: "/stream", right: RightView, stream: true, handle: stream}}, echoTable...), Options{})
	c.limits.stream = 20 * time.Millisecond
	host := httptest.NewServer(c.Handler)
	defer host.Close()
	p := connect(t, host.Listener.Addr().String())
	answers := bufio.NewReader(p)
	for _, path := range []string{"stream", "things", "stream", "things"} {
		p.send("GET /api/v1/%s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", path, chainToken)
		resp, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != 200 {
			t.Errorf("%s: %s %v", path, resp.Status, err)
		}
		time.Sleep(40 * time.Millisecond) // past the stream's deadline, which is what is tested
	}
}

// If this fails, work that a client waits for is cut off when the server ends, or
// is given up because the request itself was long since read.
func TestRequestsFinishWhenTheServerEnds(t *testing.T) {
	begun, finish := make(chan struct{}), make(chan struct{})
	slow := func(_ *Handler, w http.ResponseWriter, c *call) error {
		close(begun)
		<-finish
		if err := c.Context().Err(); err != nil {
			return err
		}
		return writeJSON(w, http.StatusOK, "finished")
	}
	c := newChain(t, []route{{method: "GET", path: "/slow", right: RightView, handle: slow}}, Options{})
	c.limits.read = 50 * time.Millisecond
	at, stop := served(t, c, ListenOptions{})
	p := connect(t, at)
	p.send("GET /api/v1/slow HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", chainToken)
	<-begun
	time.Sleep(80 * time.Millisecond) // past the deadline for reading, which is what is tested
	ended := make(chan error, 1)
	go func() { ended <- stop() }()
	for !c.closing.Load() {
		runtime.Gosched()
	}
	want(t, c.do("GET", "/api/v1/session", ""), http.StatusServiceUnavailable, "unavailable")
	select {
	case err := <-ended:
		t.Fatalf("the server ended before its request: %v", err)
	default:
	}
	close(finish)
	if got := p.rest(); !strings.Contains(got, "finished") {
		t.Errorf("the client got %q", got)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
