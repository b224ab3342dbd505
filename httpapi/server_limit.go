package httpapi

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// maxConnections bounds the connections at one time: two hundred browsers need some
// 1400. Who opens more than there can be keeps others from the page, and not the
// files from being backed up, for which descriptors are left; see descriptors.
const maxConnections = 2048

// limitListener takes no connection while there are too many that are at work. One that
// rests makes room for a new one: a client that only holds connections open keeps no other out.
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
	return &limitedConn{Conn: conn, of: l, release: sync.OnceFunc(func() { <-l.free })}, nil
}

func (l *limitListener) wants(room bool) {
	l.mu.Lock()
	l.full = room
	l.mu.Unlock()
	l.makeRoom()
}

// makeRoom ends the connection that has rested longest, where one is needed.
func (l *limitListener) makeRoom() {
	l.mu.Lock()
	var longest *limitedConn
	if l.full {
		for c, since := range l.resting {
			if longest == nil || since.Before(l.resting[longest]) {
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

// noteRest is for http.Server.ConnState: a connection rests before its first request
// and between two.
func noteRest(conn net.Conn, state http.ConnState) {
	if encrypted, ok := conn.(*tls.Conn); ok {
		conn = encrypted.NetConn()
	}
	c, ok := conn.(*limitedConn)
	if !ok {
		return
	}
	c.of.mu.Lock()
	if !c.gone && (state == http.StateNew || state == http.StateIdle) {
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
	release func()
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
