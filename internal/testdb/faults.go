package testdb

import "syscall"

// Call is a system call of a child process that reads or changes a file, or looks at one.
type Call struct {
	Name   string // as the kernel calls it, e.g. "pread64"
	Path   string // the file; of a rename or a link the new name
	Offset int64  // of a read or write with one
	Size   int    // that is asked for
}

// Reads reports whether the call changes nothing.
func (c Call) Reads() bool {
	switch c.Name {
	case "read", "pread64", "stat", "lstat", "newfstatat", "open":
		return true
	}
	return false
}

// Fault is what becomes of a call instead. The zero Fault lets it be.
type Fault struct {
	Errno syscall.Errno // it fails with this
	Short bool          // it reads or writes half of what is asked for
	Kill  bool          // the process dies before it
}
