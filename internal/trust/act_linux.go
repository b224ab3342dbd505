package trust

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// ErrCannotAct: the process cannot have another user's rights to files.
var ErrCannotAct = errors.New("this program cannot act as another user")

// ActAs replaces root's rights to files by those of a user, for the whole process and for good:
// what is opened, made or removed is so by that user. All else stays root's: ports below 1024,
// signals, and programs that are started, which begin as root. groups are the user's.
// Errors: ErrCannotAct, in a program that was built with cgo and for any user but root.
func ActAs(uid, gid int, groups []int) error {
	if os.Geteuid() != 0 || uid < 0 || gid < 0 {
		return ErrCannotAct
	}
	if _, _, errno := syscall.AllThreadsSyscall(syscall.SYS_SETFSGID, uintptr(gid), 0, 0); errno != 0 {
		return fmt.Errorf("%w: %w", ErrCannotAct, errno) // ENOTSUP with cgo
	}
	if err := syscall.Setgroups(groups); err != nil {
		return fmt.Errorf("%w: groups: %w", ErrCannotAct, err)
	}
	syscall.AllThreadsSyscall(syscall.SYS_SETFSUID, uintptr(uid), 0, 0)
	// The calls have no errors; asked for an impossible user they return the present one.
	const nobody = ^uintptr(0)
	now, _, _ := syscall.AllThreadsSyscall(syscall.SYS_SETFSUID, nobody, 0, 0)
	nowGroup, _, _ := syscall.AllThreadsSyscall(syscall.SYS_SETFSGID, nobody, 0, 0)
	if int(now) != uid || int(nowGroup) != gid {
		return fmt.Errorf("%w: user %d, group %d", ErrCannotAct, now, nowGroup)
	}
	acting.Store(int64(uid) + 1)
	return nil
}
