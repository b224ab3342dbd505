//go:build unix

package httpapi

import "syscall"

// descriptors returns how many connections leave half of the process's file
// descriptors for its own work, most at the most.
func descriptors(most int) int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return most
	}
	return int(max(1, min(uint64(most), uint64(limit.Cur)/2))) //nolint:unconvert // signed on some systems
}
