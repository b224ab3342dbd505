package store

import (
	"net"
	"time"
)

// Silence is how long a connection may stay without a byte in either direction: a server that hangs is a broken connection.
const Silence = 2 * time.Minute

// Watched returns conn so that it breaks when nothing moves on it for as long as quiet.
func Watched(conn net.Conn, quiet time.Duration) net.Conn { return &watched{conn, quiet} }

type watched struct {
	net.Conn
	quiet time.Duration
}

func (w *watched) Read(p []byte) (int, error) {
	if err := w.SetReadDeadline(time.Now().Add(w.quiet)); err != nil {
		return 0, err
	}
	return w.Conn.Read(p)
}

// Write puts the deadline of Read off as well: an answer comes after the last byte of the request.
func (w *watched) Write(p []byte) (int, error) {
	if err := w.SetDeadline(time.Now().Add(w.quiet)); err != nil {
		return 0, err
	}
	return w.Conn.Write(p)
}
