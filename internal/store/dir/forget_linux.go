package dir

import (
	"os"

	"golang.org/x/sys/unix"
)

// forget asks the kernel to drop the file's pages from memory, all of which are synced. It is advice: an error has no consequence.
func forget(f *os.File) { _ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED) }
