package testdb

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Several packages are tested at once, none with more than 400 MiB of files.
const memoryWanted = 2 << 30

// memoryDir makes a directory in memory. Tests run programs in it, also as another user.
func memoryDir() (string, error) {
	const shared = "/dev/shm"
	var fs unix.Statfs_t
	if err := unix.Statfs(shared, &fs); err != nil {
		return "", fmt.Errorf("%s: %w", shared, err)
	}
	free, err := memoryAvailable()
	if err != nil {
		return "", err
	}
	switch {
	case fs.Type != unix.TMPFS_MAGIC:
		return "", errors.New(shared + " is not in memory")
	case fs.Flags&unix.ST_NOEXEC != 0:
		return "", errors.New("no program runs in " + shared)
	case fs.Bavail*uint64(fs.Bsize) < memoryWanted || free < memoryWanted:
		return "", errors.New(shared + " has too little room")
	}
	dir, err := os.MkdirTemp(shared, "snapd-test-")
	if err != nil {
		return "", err
	}
	return dir, os.Chmod(dir, 0o755)
}

// memoryAvailable is what the kernel would give to programs without swapping, in bytes.
func memoryAvailable() (uint64, error) {
	raw, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(raw)) {
		var kib uint64
		if n, _ := fmt.Sscanf(line, "MemAvailable: %d kB", &kib); n == 1 {
			return kib << 10, nil
		}
	}
	return 0, errors.New("/proc/meminfo has no MemAvailable")
}
