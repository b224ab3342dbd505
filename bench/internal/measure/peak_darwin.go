package measure

import (
	"os"
	"syscall"
)

// peakOf: ru_maxrss is in bytes here, getrusage(2).
func peakOf(s *os.ProcessState) int64 {
	if ru, ok := s.SysUsage().(*syscall.Rusage); ok {
		return ru.Maxrss
	}
	return 0
}
