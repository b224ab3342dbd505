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
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"example.com/snapd/snapshot"
)

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
// out of its own socket, or a file that is needed is removed.
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
	l.(*limitListener).Listener.(*net.UnixListener).SetUnlinkOnClose(false)
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
	if resp.StatusCode != http.StatusNoContent || resp.ProtoMajor != 2 || !resp.Cookies()[0].Secure ||
		!strings.HasPrefix(resp.Cookies()[0].Name, "__Host-snapd_") || resp.Cookies()[0].Path != "/" {
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

// If this fails, who opens connections takes the descriptors that backups need, a
// connection that ended keeps its place, or the server cannot end while it is full.
func TestConnectionsAreBounded(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := limit(inner, 2)
	accepted := make(chan net.Conn)
	ended := make(chan error, 1)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				ended <- err
				return
			}
			accepted <- conn
		}
	}()
	at := l.Addr().String()
	connect(t, at)
	connect(t, at)
	first, second := <-accepted, <-accepted
	connect(t, at) // the system takes it, the server does not yet
	select {
	case <-accepted:
		t.Error("a third connection was taken")
	case <-time.After(50 * time.Millisecond):
	}
	for range 2 { // closed twice is one place
		_ = first.Close()
	}
	third := <-accepted
	connect(t, at)
	select {
	case <-accepted:
		t.Error("a connection that was closed twice made two places")
	case <-time.After(50 * time.Millisecond):
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("the end of a full listener is %v", err)
	}
	_ = second.Close()
	_ = third.Close()
	if n := descriptors(1 << 30); n < 1 || n > 1<<30 {
		t.Errorf("%d connections", n)
	}
}

// If this fails, who opens connections and says nothing, which needs no token, keeps
// the administrator from the page for as long as they like.
func TestRestingConnectionsMakeRoom(t *testing.T) {
	const most = 4
	work, finish := make(chan struct{}), make(chan struct{})
	slow := func(_ *Handler, w http.ResponseWriter, _ *call) error {
		work <- struct{}{}
		<-finish
		return writeJSON(w, http.StatusOK, "finished")
	}
	c := newChain(t, []route{{method: "GET", path: "/slow", right: RightView, handle: slow}}, Options{})
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Serve(ctx, limit(inner, most)) }()
	at := inner.Addr().String()
	busy := connect(t, at)
	busy.send("GET /api/v1/slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer %s\r\n\r\n", chainToken)
	<-work
	var idle []patient
	for i := range 3 * most {
		p := connect(t, at)
		if i%2 == 0 { // the others do not even ask
			p.send("GET /api/v1/session HTTP/1.1\r\nHost: x\r\n\r\n")
			if resp, err := http.ReadResponse(bufio.NewReader(p), nil); err != nil || resp.StatusCode != 401 {
				t.Fatalf("connection %d: %v, %v", i, resp, err)
			}
		}
		idle = append(idle, p)
	}
	// All but the last were accepted. There is room for most of them next to the active one;
	// which ones had to go depends on when the server saw them rest.
	gone := make(chan error, len(idle))
	for _, p := range idle {
		go func() { // ends with the connection, at the latest by its deadline
			_, err := io.ReadAll(p)
			gone <- err
		}()
	}
	for range len(idle) - 1 - (most - 1) {
		if err := <-gone; err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Fatalf("too few of those that rested made room: %v", err)
		}
	}
	close(finish)
	if got := busy.rest(); !strings.Contains(got, "finished") {
		t.Errorf("one that was at work was ended: %q", got)
	}
	for _, p := range idle { // the end of the server would wait for who has not asked yet
		_ = p.Close()
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// If this fails, who begins many log-ins and does not go on, which needs no token, shuts
// everybody out, and the probe of /healthz has the program restarted.
func TestSlowLoginsMakeRoom(t *testing.T) {
	const most = 8
	c := newChain(t, echoTable, Options{})
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Serve(ctx, limit(inner, most)) }()
	at := inner.Addr().String()
	var slow []patient
	for i := range 4 * most {
		p := connect(t, at)
		begin := "POST /api/v1/session HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
		if i%2 == 0 {
			p.send("%sContent-Length: 40\r\n\r\n{\"token\"", begin)
		} else {
			p.send("%sTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n", begin)
		}
		slow = append(slow, p)
	}
	p := connect(t, at)
	p.send("GET /api/v1/things HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer %s\r\n\r\n", chainToken)
	if got := p.rest(); !strings.Contains(got, " 200 ") {
		t.Errorf("next to slow log-ins: %q", got)
	}
	for _, p := range slow {
		_ = p.Close()
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// If this fails, the address that holds most connections has others' ended.
func TestTheGreediestAddressMakesRoom(t *testing.T) {
	l := limit(nil, 9)
	conn := func(peer string) *limitedConn {
		ours, theirs := net.Pipe()
		t.Cleanup(func() { _ = ours.Close() })
		c := &limitedConn{Conn: theirs, of: l, peer: peer, release: func() {}}
		c.work(0)
		return c
	}
	old, busy := conn("the administrator"), conn("greedy")
	busy.work(1)
	greedy := []*limitedConn{conn("greedy"), conn("greedy"), conn("greedy")}
	for n := range len(greedy) - 1 {
		l.wants(true)
		if !greedy[n].gone || old.gone || busy.gone {
			t.Fatalf("round %d: greedy %v, old %v, at work %v", n, greedy[n].gone, old.gone, busy.gone)
		}
	}
	l.wants(true) // one each: the older
	if !old.gone || greedy[2].gone {
		t.Errorf("of equals the younger went")
	}
}
