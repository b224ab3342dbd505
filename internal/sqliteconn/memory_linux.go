package sqliteconn

import (
	"bytes"
	"os"
	"strconv"
)

// residentMemory is the process's resident memory in bytes; 0 when it cannot be told.
func residentMemory() int64 {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	f := bytes.Fields(b) // proc(5): size, resident, …, in pages
	if len(f) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(string(f[1]), 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}
