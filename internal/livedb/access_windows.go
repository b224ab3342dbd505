package livedb

import "os"

// writable reports whether the file's read-only attribute is off; rights that an
// access control list takes away are not seen.
func writable(path string) bool {
	fi, err := os.Stat(path)
	return err == nil && fi.Mode().Perm()&0o200 != 0
}
