package httpapi

import (
	"io"
	"net"
	"sync"
)

// maxConnections bounds the connections at one time: two hundred browsers need some
// 1400. Who opens more than there can be keeps others from the page, and not the
// files from being backed up, for which descriptors are left; see descriptors.
const maxConnections = 2048

// limitListener takes no connection while there are too many.
type limitListener struct {
	net.Listener
	free   chan struct{} // holds one for each connection there is
	closed chan struct{}
	once   sync.Once
}

func limit(l net.Listener, most int) *limitListener {
	return &limitListener{Listener: l, free: make(chan struct{}, most), closed: make(chan struct{})}
}

// Accept waits for a connection, and before that until there may be one more.
func (l *limitListener) Accept() (net.Conn, error) {
	select {
	case l.free <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.free
		return nil, err
	}
	return &limitedConn{Conn: conn, release: sync.OnceFunc(func() { <-l.free })}, nil
}

// Close ends a waiting Accept too.
func (l *limitListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

type limitedConn struct {
	net.Conn
	release func()
}

// Close makes room for another.
func (c *limitedConn) Close() error {
	defer c.release()
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
