package livedb

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Users returns the processes that have the database file at path open, from
// /proc/*/fd. This process is among them only if something in it other than this
// package has the file open. known is false where the system does not say;
// descriptors of processes that may not be looked at (another user's) are not
// seen, so an empty list is a strong hint, not a proof. A missing file has no users.
func Users(path string) (users []User, known bool, err error) {
	real, err := Resolve(path)
	if err != nil {
		return nil, false, err
	}
	fi, err := os.Stat(real)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, true, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("users of %s: %w", real, err)
	}
	id, err := idOf(real, fi)
	if err != nil {
		return nil, false, err
	}
	procs, err := os.ReadDir("/proc")
	if err != nil {
		return nil, false, nil // not mounted: unknown
	}
	for _, p := range procs {
		pid, err := strconv.Atoi(p.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		known = true
		if uses(pid, id) {
			users = append(users, User{PID: pid, Command: command(pid)})
		}
	}
	held.Lock()
	own, ownKnown := otherDescriptors(id)
	held.Unlock()
	if own > 0 {
		users = append(users, User{PID: os.Getpid(), Command: command(os.Getpid()), Own: true})
	}
	return users, known || ownKnown, nil
}

// uses reports whether another process has a file open for itself: a child of this
// one has all descriptors until it runs its program, which closes them.
func uses(pid int, id ID) bool {
	if len(descriptors(pid, id)) == 0 || sharesMemory(pid) {
		return false
	}
	return len(descriptors(pid, id)) > 0 // it may have run its program since
}

// sharesMemory reports whether a process has this one's memory: it was started and
// has not run its program yet. False where the system does not say.
func sharesMemory(pid int) bool {
	const kcmpVM = 1
	differs, _, errno := unix.Syscall6(unix.SYS_KCMP, uintptr(os.Getpid()), uintptr(pid), kcmpVM, 0, 0, 0)
	return errno == 0 && differs == 0
}

// descriptors returns the numbers of the descriptors that a process has of a
// file; none when the process is gone or may not be looked at.
func descriptors(pid int, id ID) (fds []uintptr) {
	dir := "/proc/" + strconv.Itoa(pid) + "/fd"
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	for _, e := range entries {
		var st syscall.Stat_t
		if syscall.Stat(filepath.Join(dir, e.Name()), &st) != nil || st.Dev != id.Dev || st.Ino != id.Ino {
			continue
		}
		if n, err := strconv.ParseUint(e.Name(), 10, 32); err == nil {
			fds = append(fds, uintptr(n))
		}
	}
	return fds
}

// otherDescriptors counts this process's descriptors of a file that are not this
// package's; held is locked.
func otherDescriptors(id ID) (n int, known bool) {
	if _, err := os.Stat("/proc/self/fd"); err != nil {
		return 0, false
	}
	for _, fd := range descriptors(os.Getpid(), id) {
		if !isOurs(fd) {
			n++
		}
	}
	return n, true
}

func command(pid int) string {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/comm")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
