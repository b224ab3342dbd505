package swap

import (
	"errors"
	"io/fs"
	"os"
	"strconv"
	"strings"
)

// writesInPlace: LockExclusive keeps every connection away from any file, damaged or not.
const writesInPlace = true

// isMountPoint reports whether the file at path is a mount point of its own, as a single file
// that was given to a container is: nothing can be renamed over it. False where the
// system does not say.
func isMountPoint(path string) (bool, error) {
	raw, err := os.ReadFile("/proc/self/mountinfo")
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	const mountPoint = 4 // of the fields in proc_pid_mountinfo(5)
	for line := range strings.Lines(string(raw)) {
		if fields := strings.Fields(line); len(fields) > mountPoint && unescape(fields[mountPoint]) == path {
			return true, nil
		}
	}
	return false, nil
}

// unescape undoes \040 and the like.
func unescape(field string) string {
	var b strings.Builder
	for i := 0; i < len(field); i++ {
		if field[i] == '\\' && i+3 < len(field) {
			if n, err := strconv.ParseUint(field[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(field[i])
	}
	return b.String()
}
