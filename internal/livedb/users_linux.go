package livedb

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// UsageOf returns who has the database file at path open, from /proc/*/fd. This process
// is among them only if something in it other than this package has the file open.
//
// /proc does not show everything: not the processes outside of a container, and to a
// user who is not root no other user's descriptors. Nearly every desktop and server has
// such processes, so that alone must not count as use. Where no user is seen and some
// process could not be looked at, the kernel itself is asked, by a lease: it knows
// whether any process at all has the file open for writing. Only where it does not say
// (the file is another user's, or on a network) the answer is Unknown. A connection
// that only reads is not noticed then. A missing file has no users.
func UsageOf(path string) (u Usage, err error) {
	real, err := Resolve(path)
	if err != nil {
		return u, err
	}
	fi, err := os.Stat(real)
	if errors.Is(err, fs.ErrNotExist) {
		return u, nil
	}
	if err != nil {
		return u, fmt.Errorf("users of %s: %w", real, err)
	}
	id, err := idOf(real, fi)
	if err != nil {
		return u, err
	}
	hidden := hiddenByNamespace()
	procs, err := os.ReadDir("/proc")
	if err != nil {
		hidden = "/proc cannot be read" // not mounted, say
	}
	first := false // the system's first process is there for all who see all
	for _, p := range procs {
		pid, err := strconv.Atoi(p.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		first = first || pid == 1
		uses, seen := uses(pid, id)
		if uses {
			u.Users = append(u.Users, User{PID: pid, Command: command(pid)})
		}
		if !seen && hidden == "" {
			hidden = "other users' processes may not be looked at"
		}
	}
	if !first && os.Getpid() != 1 && hidden == "" {
		hidden = "/proc does not show other users' processes (hidepid)"
	}
	held.Lock()
	own, _ := otherDescriptors(id)
	held.Unlock()
	if own > 0 {
		u.Users = append(u.Users, User{PID: os.Getpid(), Command: command(os.Getpid()), Own: true})
	}
	if hidden == "" {
		return u, nil
	}
	open, why := writerAnywhere(real, id)
	if why != nil {
		u.Unknown = fmt.Sprintf("%s, and the kernel does not say whether one has it open (%v)", hidden, why)
	}
	u.Unseen = open && len(u.Users) == 0
	return u, nil
}

// hiddenByNamespace says whether there may be processes outside of this one's PID
// namespace, "" for none.
func hiddenByNamespace() string {
	const initial = "pid:[4026531836]" // PROC_PID_INIT_INO of the kernel
	if ns, err := os.Readlink("/proc/self/ns/pid"); err == nil && ns != initial {
		return "processes outside of this container are not shown"
	}
	return ""
}

// writerAnywhere reports whether any process has the file open for writing. A lease for
// reading is granted only where none has (fcntl(2)); it is given back at once. What
// this package itself has open for writing is there only while all others are locked
// out, and they were asked for before that.
func writerAnywhere(real string, id ID) (open bool, why error) {
	held.Lock()
	ours := slices.ContainsFunc(held.all, func(d *descriptor) bool { return d.id == id && d.use == locking })
	held.Unlock()
	if ours {
		return false, nil
	}
	d, err := acquire(real, os.O_RDONLY, reading)
	if err != nil {
		return false, err
	}
	held.Lock()
	defer held.Unlock()
	if err = leasesTell(d); err == nil {
		_, err = unix.FcntlInt(d.Fd(), unix.F_SETLEASE, unix.F_RDLCK)
	}
	if err == nil {
		_, err = unix.FcntlInt(d.Fd(), unix.F_SETLEASE, unix.F_UNLCK)
	}
	err = errors.Join(err, d.release())
	if errors.Is(err, unix.EAGAIN) {
		return true, nil
	}
	return false, err
}

// leasesTell returns an error where the kernel knows of this machine's processes at most, and
// refuses a lease for other reasons as well.
func leasesTell(d *descriptor) error {
	kind, err := d.fileSystem()
	if err == nil && kind != Local {
		err = errors.New("it is on a network file system, or one in user space")
	}
	return err
}

// uses reports whether another process has a file open for itself: a child of this
// one has all descriptors until it runs its program, which closes them.
func uses(pid int, id ID) (uses, seen bool) {
	if fds, seen := descriptors(pid, id); len(fds) == 0 || sharesMemory(pid) {
		return false, seen
	}
	fds, seen := descriptors(pid, id) // it may have run its program since
	return len(fds) > 0, seen
}

// sharesMemory reports whether a process has this one's memory: it was started and
// has not run its program yet. False where the system does not say.
func sharesMemory(pid int) bool {
	const kcmpVM = 1
	differs, _, errno := unix.Syscall6(unix.SYS_KCMP, uintptr(os.Getpid()), uintptr(pid), kcmpVM, 0, 0, 0)
	return errno == 0 && differs == 0
}

// descriptors returns the numbers of the descriptors that a process has of a
// file; none when the process is gone. seen is false where it may not be looked at.
func descriptors(pid int, id ID) (fds []uintptr, seen bool) {
	dir := "/proc/" + strconv.Itoa(pid) + "/fd"
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, !errors.Is(err, fs.ErrPermission)
	}
	seen = true
	for _, e := range entries {
		var st syscall.Stat_t
		if err := syscall.Stat(filepath.Join(dir, e.Name()), &st); err != nil || st.Dev != id.Dev || st.Ino != id.Ino {
			seen = seen && !errors.Is(err, fs.ErrPermission)
			continue
		}
		if n, err := strconv.ParseUint(e.Name(), 10, 32); err == nil {
			fds = append(fds, uintptr(n))
		}
	}
	return fds, seen
}

// otherDescriptors counts this process's descriptors of a file that are not this
// package's; held is locked.
func otherDescriptors(id ID) (n int, known bool) {
	if _, err := os.Stat("/proc/self/fd"); err != nil {
		return 0, false
	}
	fds, _ := descriptors(os.Getpid(), id)
	for _, fd := range fds {
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
