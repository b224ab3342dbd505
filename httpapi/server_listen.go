package httpapi

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"

	"example.com/snapd/internal/message"
	"example.com/snapd/snapshot"
)

// unixPrefix begins the address of a Unix socket.
const unixPrefix = "unix:"

// ListenOptions say where a server listens.
type ListenOptions struct {
	// Address is "host:port", or "unix:" and the path of a socket.
	Address string
	// TLSCert and TLSKey are PEM files; read again when they change.
	TLSCert, TLSKey string
	// TrustedProxies, given, say that a proxy stands in front which does TLS.
	TrustedProxies []netip.Prefix
}

// Listen opens the listener for [Handler.Serve]. An address that other machines
// reach, without TLS or a declared proxy, is snapshot.ErrRefused: the token would
// cross the network in the clear.
func Listen(o ListenOptions) (net.Listener, error) {
	if (o.TLSCert == "") != (o.TLSKey == "") {
		return nil, message.WithHint(errors.New("listen: of certificate and key only one was given"), "give --tls-cert and --tls-key together")
	}
	var config *tls.Config
	if o.TLSCert != "" {
		c := &certificate{certFile: o.TLSCert, keyFile: o.TLSKey}
		if _, err := c.current(nil); err != nil {
			return nil, fmt.Errorf("listen: %w", err)
		}
		config = &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}, GetCertificate: c.current}
	}
	var l net.Listener
	var err error
	if path, isUnix := strings.CutPrefix(o.Address, unixPrefix); isUnix {
		l, err = listenUnix(path)
	} else {
		l, err = listenTCP(o.Address, config != nil || len(o.TrustedProxies) > 0)
	}
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", o.Address, inUse(err))
	}
	l = limit(l, descriptors(maxConnections))
	if config != nil {
		l = tls.NewListener(l, config)
	}
	return l, nil
}

const anywhereAdvice = "listen on 127.0.0.1, or give --tls-cert and --tls-key, or say with --trusted-proxy which proxy does TLS in front"

// resolveTimeout bounds the look-up of a host's name.
const resolveTimeout = 10 * time.Second

// refused is an error that matches snapshot.ErrRefused, with advice.
func refused(advice, format string, args ...any) error {
	return message.WithHint(fmt.Errorf("%w: "+format, append([]any{snapshot.ErrRefused}, args...)...), advice)
}

// listenTCP listens on the very address that was judged: a name is resolved once.
func listenTCP(address string, anywhere bool) (net.Listener, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, message.WithHint(err, "an address is host:port, as 127.0.0.1:8321, or unix: and a path")
	}
	if host == "" {
		if !anywhere {
			return nil, refused(anywhereAdvice, "other machines reach every address of this one, and the connection is not encrypted")
		}
		return net.Listen("tcp", address)
	}
	ctx, cancel := context.WithTimeout(context.Background(), resolveTimeout)
	defer cancel()
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err == nil && len(addrs) == 0 {
		err = fmt.Errorf("%s has no address", host)
	}
	if err != nil {
		return nil, message.WithHint(err, "give the address itself, as 127.0.0.1:8321")
	}
	chosen := addrs[0].Unmap()
	for _, addr := range addrs {
		addr = addr.Unmap()
		if !anywhere && !addr.IsLoopback() {
			return nil, refused(anywhereAdvice, "other machines reach %s, and the connection is not encrypted", addr)
		}
		if addr.Is4() && !chosen.Is4() {
			chosen = addr
		}
	}
	return net.Listen("tcp", net.JoinHostPort(chosen.String(), port))
}

// listenUnix makes the socket for this user only. One that a dead process left
// behind is removed; any other file is not.
func listenUnix(path string) (net.Listener, error) {
	info, err := os.Lstat(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err == nil {
		if info.Mode().Type() != fs.ModeSocket {
			return nil, refused("name another path", "%s is there and is no socket", path)
		}
		if conn, err := net.Dial("unix", path); err == nil {
			_ = conn.Close() // was only to see who is there
			return nil, &net.OpError{Op: "listen", Net: "unix", Err: syscall.EADDRINUSE}
		}
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	config := net.ListenConfig{Control: ownerOnly}
	l, err := config.Listen(context.Background(), "unix", path)
	if err != nil || runtime.GOOS == "linux" {
		return l, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// inUse says what to do when the address is taken.
func inUse(err error) error {
	const windowsInUse = syscall.Errno(10048) // WSAEADDRINUSE
	var number syscall.Errno
	if errors.As(err, &number) && (number == syscall.EADDRINUSE || runtime.GOOS == "windows" && number == windowsInUse) {
		return message.WithHint(err, "another program listens there, perhaps another snapd: end it, or choose another address with --listen")
	}
	return err
}
