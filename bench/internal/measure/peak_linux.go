package measure

import (
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
