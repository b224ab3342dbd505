//go:build !linux

package sqliteconn

// residentMemory cannot be told here.
func residentMemory() int64 { return 0 }
