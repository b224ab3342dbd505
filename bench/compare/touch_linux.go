package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// touch takes n bytes of free memory, or three quarters of what is free, and gives them
// back. A virtual machine whose free memory has gone back to its host gets it again page
// by page, at up to two seconds for each GiB, and the first job would pay for all.
func touch(n int64) error {
	var s unix.Sysinfo_t
	if err := unix.Sysinfo(&s); err != nil {
		return os.NewSyscallError("sysinfo", err)
	}
	n = min(n, int64(s.Freeram)*int64(s.Unit)/4*3)
	if n <= 0 {
		return nil
	}
	b, err := unix.Mmap(-1, 0, int(n), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE|unix.MAP_POPULATE)
	if err != nil {
		return os.NewSyscallError("mmap", err)
	}
	return os.NewSyscallError("munmap", unix.Munmap(b))
}
