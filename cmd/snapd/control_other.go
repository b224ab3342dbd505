//go:build !linux

package main

import "net"

// checkPeer: elsewhere the mode of the backup directory, 0700, decides who is at the other end.
func checkPeer(*net.UnixConn, ...int) error { return nil }
