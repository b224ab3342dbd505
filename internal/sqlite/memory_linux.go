package sqlite

import (
	"os"

	"golang.org/x/sys/unix"
)

// residentMemory is the process's resident memory in bytes; 0 when it is unknown.
// It is asked every few milliseconds: os.ReadFile would leave a megabyte of garbage for
// each second, and memory that grows with the database.
func residentMemory() int64 {
	fd, err := unix.Open("/proc/self/statm", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0
	}
	var b [128]byte
	n, err := unix.Read(fd, b[:])
	if cerr := unix.Close(fd); err != nil || cerr != nil {
		return 0
	}
	return residentPages(b[:n]) * int64(os.Getpagesize())
}

// residentPages is the second number of proc(5)'s statm: size, resident, …, in pages.
func residentPages(statm []byte) (pages int64) {
	field := 0
	for _, c := range statm {
		switch {
		case c == ' ':
			field++
		case field == 1 && '0' <= c && c <= '9':
			pages = pages*10 + int64(c-'0')
		}
	}
	return pages
}
