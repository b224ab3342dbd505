//go:build unix

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"

	"example.com/snapd/internal/trust"
)

// longestSocket is the longest path of a socket that every system takes.
const longestSocket = 100

// controlPath returns the path of the socket in dir, by way of a descriptor where the path itself
// is too long for a socket. It holds until done is called.
func controlPath(dir string) (path string, done func(), err error) {
	if path = filepath.Join(dir, controlName); len(path) <= longestSocket || runtime.GOOS != "linux" {
		return path, func() {}, nil
	}
	f, err := os.Open(dir)
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", f.Fd(), controlName), func() { _ = f.Close() }, nil
}

// listenControl makes the socket. One that a dead process left behind is replaced; any other file is not.
func listenControl(dir string) (_ *net.UnixListener, stop func(), err error) {
	path, done, err := controlPath(dir)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			done()
		}
	}()
	if conn, err := dialControl(dir); err == nil {
		_ = conn.Close() // was only to see who is there
		return nil, nil, fmt.Errorf("listen on %s: another process does", filepath.Join(dir, controlName))
	} else if none := (*noServe)(nil); !errors.As(err, &none) {
		return nil, nil, err
	}
	if info, err := os.Lstat(path); err == nil && info.Mode().Type() == fs.ModeSocket {
		if err := os.Remove(path); err != nil {
			return nil, nil, err
		}
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, nil, err
	}
	return l, sync.OnceFunc(func() {
		_ = l.Close() // removes the socket; one that stays is replaced by the next
		done()
	}), nil
}

// dialControl connects to the serve of dir, a process of root, of this user, or of the user
// whose rights this one has. Where there is none, the error is a *noServe.
func dialControl(dir string) (*net.UnixConn, error) {
	path, done, err := controlPath(dir)
	if err != nil {
		return nil, &noServe{err}
	}
	defer done()
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOTSOCK) {
		return nil, &noServe{err}
	}
	if err != nil {
		return nil, err
	}
	if err := checkPeer(conn, os.Geteuid(), trust.User()); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}
