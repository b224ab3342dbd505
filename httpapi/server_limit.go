package httpapi

import (
	"cmp"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// maxConnections bounds the connections at one time: two hundred browsers need some
// 1400. However many one address opens, others reach the server: see makeRoom. Files are
// backed up all the same, for which descriptors are left; see descriptors.
const maxConnections = 2048

// limitListener takes no connection while there are too many that are at work. One that
// rests, which is to say that the server waits for its client, makes room for a new one: a client
// that only holds connections open, or sends slowly, keeps no other out.
type limitListener struct {
	net.Listener
	free   chan struct{} // holds one for each connection there is
	closed chan struct{}
	once   sync.Once

	mu      sync.Mutex // guards what follows
	resting map[*limitedConn]time.Time
	full    bool // a new connection waits for its place
}

func limit(l net.Listener, most int) *limitListener {
	return &limitListener{Listener: l, free: make(chan struct{}, most), closed: make(chan struct{}), resting: make(map[*limitedConn]time.Time)}
}

// Accept waits for a connection, and before that until there may be one more.
func (l *limitListener) Accept() (net.Conn, error) {
	select {
	case l.free <- struct{}{}:
	default:
		l.wants(true)
		select {
		case l.free <- struct{}{}:
			l.wants(false)
		case <-l.closed:
			return nil, net.ErrClosed
		}
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.free
		return nil, err
	}
	return &limitedConn{Conn: conn, of: l, peer: peerOf(conn), release: sync.OnceFunc(func() { <-l.free })}, nil
}

func (l *limitListener) wants(room bool) {
	l.mu.Lock()
	l.full = room
	l.mu.Unlock()
	l.makeRoom()
}

// peerOf is the address that the connection counts for: a household has a /64.
func peerOf(conn net.Conn) string {
	at, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if err != nil {
		return ""
	}
	addr := at.Addr().Unmap().WithZone("")
	if addr.Is6() {
		if p, err := addr.Prefix(64); err == nil {
			return p.String()
		}
	}
	return addr.String()
}

// makeRoom ends a connection where room is needed: of the address with the most that rest, the
// one that has rested longest.
func (l *limitListener) makeRoom() {
	l.mu.Lock()
	var longest *limitedConn
	if l.full {
		of := make(map[string]int)
		for c := range l.resting {
			of[c.peer]++
		}
		for c, since := range l.resting {
			if longest == nil || cmp.Or(cmp.Compare(of[longest.peer], of[c.peer]), since.Compare(l.resting[longest])) < 0 {
				longest = c
			}
		}
	}
	if longest != nil {
		l.full = false // its place is enough
		delete(l.resting, longest)
	}
	l.mu.Unlock()
	if longest != nil {
		_ = longest.Close() // its owner only waited
	}
}

// connKey is the key of a request's connection in its context.
type connKey struct{}

// keepConn is for http.Server.ConnContext: the connection rests until it asks for something.
func keepConn(ctx context.Context, conn net.Conn) context.Context {
	if encrypted, ok := conn.(*tls.Conn); ok {
		conn = encrypted.NetConn()
	}
	c, _ := conn.(*limitedConn)
	c.work(0)
	return context.WithValue(ctx, connKey{}, c)
}

// connOf is the connection of a request, nil on a host's own server.
func connOf(r *http.Request) *limitedConn {
	c, _ := r.Context().Value(connKey{}).(*limitedConn)
	return c
}

// work counts the requests that the server works on: by is 1 when it begins or goes on with one,
// and -1 when it ends or waits for the client. With none the connection rests.
func (c *limitedConn) work(by int) {
	if c == nil {
		return
	}
	c.of.mu.Lock()
	c.working += by
	if c.working == 0 && !c.gone {
		c.of.resting[c] = time.Now()
	} else {
		delete(c.of.resting, c)
	}
	c.of.mu.Unlock()
	c.of.makeRoom()
}

// Close ends a waiting Accept too.
func (l *limitListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

type limitedConn struct {
	net.Conn
	of      *limitListener
	peer    string
	release func()

	working int  // requests; under of.mu
	gone    bool // closed; under of.mu
}

// Close makes room for another.
func (c *limitedConn) Close() error {
	defer c.release()
	c.of.mu.Lock()
	c.gone = true
	delete(c.of.resting, c)
	c.of.mu.Unlock()
	return c.Conn.Close()
}

// CloseWrite lets net/http end an answer whose request was not read to its end
// without cutting the answer off.
func (c *limitedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// ReadFrom lets files be sent by the kernel.
func (c *limitedConn) ReadFrom(r io.Reader) (int64, error) { return io.Copy(c.Conn, r) }
