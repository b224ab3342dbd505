package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// evict takes a file out of the page cache, as far as no process has it mapped.
func evict(f *os.File) error {
	if err := unix.Fdatasync(int(f.Fd())); err != nil { // dirty pages would stay
		return os.NewSyscallError("fdatasync", err)
	}
	return os.NewSyscallError("fadvise", unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED))
}
