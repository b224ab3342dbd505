//go:build !linux

package sqlite

// residentMemory is unknown here.
func residentMemory() int64 { return 0 }
