//go:build !linux

package sqlite

// residentMemory cannot be told here.
func residentMemory() int64 { return 0 }
