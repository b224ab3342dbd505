//go:build !linux

package measure

// ForgetPeak makes Peak count from now on; false where that cannot be.
func ForgetPeak() bool { return false }

// Peak is the most memory, in bytes, that was resident in this process since
// ForgetPeak, 0 where the system does not report it.
func Peak() int64 { return 0 }
