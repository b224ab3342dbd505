package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// usage is what a process has used since it began.
type usage struct {
	cpu     time.Duration
	wakeups int64 // voluntary context switches of all its threads
	written int64 // bytes given to file systems
}

// usageOf reads the usage of a process. Threads that have ended do not count in wakeups.
func usageOf(pid int) (u usage, err error) {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	stat, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return u, err
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(after)
	if len(fields) < 13 {
		return u, fmt.Errorf("%s/stat: %q", dir, stat)
	}
	const perSecond = 100 // USER_HZ
	for _, f := range fields[11:13] {
		ticks, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return u, err
		}
		u.cpu += time.Duration(ticks) * time.Second / perSecond
	}
	if u.written, err = numberIn(filepath.Join(dir, "io"), "write_bytes:"); err != nil {
		return u, err
	}
	threads, err := filepath.Glob(filepath.Join(dir, "task", "*", "status"))
	for _, t := range threads {
		if n, err := numberIn(t, "voluntary_ctxt_switches:"); err == nil { // else it has ended
			u.wakeups += n
		}
	}
	return u, err
}

// numberIn is the number after key, which begins a line of a file.
func numberIn(path, key string) (int64, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if value, ok := strings.CutPrefix(line, key); ok {
			return strconv.ParseInt(strings.TrimSpace(value), 10, 64)
		}
	}
	return 0, fmt.Errorf("%s has no %s", path, key)
}
