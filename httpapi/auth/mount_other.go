//go:build !linux

package auth

import "os"

// readOnlyMount: containers are Linux's.
var readOnlyMount = func(*os.File) bool { return false }
