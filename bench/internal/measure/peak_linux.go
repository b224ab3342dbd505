package measure

import (
	"bytes"
	"fmt"
	"os"
	"syscall"
)

// peakOf: ru_maxrss is in KiB here, getrusage(2).
func peakOf(s *os.ProcessState) int64 {
	if ru, ok := s.SysUsage().(*syscall.Rusage); ok {
		return int64(ru.Maxrss) << 10
	}
	return 0
}

// ForgetPeak makes Peak count from now on; false where that cannot be.
func ForgetPeak() bool {
	return os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) == nil // proc(5)
}

// Peak is the most memory, in bytes, that was resident in this process since
// ForgetPeak, 0 where the system does not report it.
func Peak() int64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(text) {
		var kib int64
		if n, _ := fmt.Sscanf(string(line), "VmHWM: %d kB", &kib); n == 1 {
			return kib << 10
		}
	}
	return 0
}
