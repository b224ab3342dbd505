package main

import (
	"errors"
	"fmt"
	"net"
	"slices"

	"golang.org/x/sys/unix"
)

// checkPeer refuses a connection to a process of any user but root and these.
func checkPeer(conn *net.UnixConn, users ...int) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return fmt.Errorf("who is at the other end: %w", err)
	}
	var peer *unix.Ucred
	var perr error
	err = raw.Control(func(fd uintptr) { peer, perr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err = errors.Join(err, perr); err != nil {
		return fmt.Errorf("who is at the other end: %w", err)
	}
	if peer.Uid != 0 && !slices.Contains(users, int(peer.Uid)) {
		return fmt.Errorf("a process of user %d is at the other end (pid %d), not one of root or of this user", peer.Uid, peer.Pid)
	}
	return nil
}
