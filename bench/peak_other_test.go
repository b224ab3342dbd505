//go:build !linux

package bench

// forgetPeak makes peak count from now on; false where that cannot be.
func forgetPeak() bool { return false }

// peak is the most memory, in bytes, that was resident in this process since
// forgetPeak, 0 where the system does not report it.
func peak() int64 { return 0 }
