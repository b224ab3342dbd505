package testdb

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// This file puts faults below everything, SQLite and Go alike: the child asks the
// kernel (seccomp_unotify(2)) to hand its file calls to the test, which decides what
// becomes of each.

// calls are those that the test decides about, with the number of the argument that is a path,
// a descriptor, the size and the offset; -1 for none.
var calls = map[uint32]struct {
	name                   string
	path, fd, size, offset int
}{
	unix.SYS_READ: {"read", -1, 0, 2, -1}, unix.SYS_PREAD64: {"pread64", -1, 0, 2, 3},
	unix.SYS_WRITE: {"write", -1, 0, 2, -1}, unix.SYS_PWRITE64: {"pwrite64", -1, 0, 2, 3},
	unix.SYS_OPENAT: {"open", 1, -1, -1, -1}, unix.SYS_NEWFSTATAT: {"newfstatat", 1, -1, -1, -1},
	unix.SYS_STAT: {"stat", 0, -1, -1, -1}, unix.SYS_LSTAT: {"lstat", 0, -1, -1, -1},
	unix.SYS_FSYNC: {"fsync", -1, 0, -1, -1}, unix.SYS_FDATASYNC: {"fdatasync", -1, 0, -1, -1},
	unix.SYS_FTRUNCATE: {"ftruncate", -1, 0, -1, -1}, unix.SYS_FALLOCATE: {"fallocate", -1, 0, -1, -1},
	unix.SYS_RENAME: {"rename", 1, -1, -1, -1}, unix.SYS_RENAMEAT: {"rename", 3, -1, -1, -1}, unix.SYS_RENAMEAT2: {"rename", 3, -1, -1, -1},
	unix.SYS_UNLINK: {"unlink", 0, -1, -1, -1}, unix.SYS_UNLINKAT: {"unlink", 1, -1, -1, -1},
	unix.SYS_LINKAT: {"link", 3, -1, -1, -1}, unix.SYS_SYMLINKAT: {"symlink", 2, -1, -1, -1}, unix.SYS_MKDIRAT: {"mkdir", 1, -1, -1, -1},
	unix.SYS_FCHMOD: {"fchmod", -1, 0, -1, -1}, unix.SYS_FCHMODAT: {"fchmod", 1, -1, -1, -1},
}

// socketFD is the child's end of the socket on which it hands its listener over.
const socketFD = 3

// notification and response are the kernel's seccomp_notif and seccomp_notif_resp.
type notification struct {
	id    uint64
	pid   uint32
	flags uint32
	nr    uint32
	arch  uint32
	ip    uint64
	args  [6]uint64
}

type response struct {
	id    uint64
	val   int64
	errno int32
	flags uint32
}

// HandOverCalls has the test that started this process by WithFaults decide about its file
// calls from now on.
func HandOverCalls() error {
	filter := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}} // the call's number
	for nr := range calls {
		filter = append(filter, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: nr, Jf: 1},
			unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_USER_NOTIF})
	}
	filter = append(filter, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW})
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no new privileges: %w", err)
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	const flags = unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_TSYNC | unix.SECCOMP_FILTER_FLAG_TSYNC_ESRCH
	fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return fmt.Errorf("seccomp: %w", errno)
	}
	return unix.Sendmsg(socketFD, []byte{1}, unix.UnixRights(int(fd)), nil, 0)
}

// WithFaults is Reexec for a function that calls HandOverCalls; decide is then asked about each
// of its calls on a file below dir, one at a time. It skips the test where the kernel does not do that.
func WithFaults(t testing.TB, dir string, decide func(Call) Fault, name string, args ...string) *Child {
	t.Helper()
	if raw, err := os.ReadFile("/proc/sys/kernel/seccomp/actions_avail"); err != nil || !strings.Contains(string(raw), "user_notif") {
		t.Skipf("this kernel hands no system calls over: %v", err)
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	theirs := os.NewFile(uintptr(pair[1]), "socket")
	c := reexec(t, name, args, func(cmd *exec.Cmd) { cmd.ExtraFiles = []*os.File{theirs} })
	if err := theirs.Close(); err != nil {
		t.Fatal(err)
	}
	s := &supervisor{child: c, dir: dir + string(filepath.Separator), decide: decide}
	go s.run(pair[0])
	return c
}

// supervisor decides about the calls of one child.
type supervisor struct {
	child  *Child
	dir    string
	decide func(Call) Fault
	fd     int                // the listener
	path   [unix.PathMax]byte // room for one
}

// run ends with the child.
func (s *supervisor) run(socket int) {
	defer unix.Close(socket)
	var b [1]byte
	oob := make([]byte, unix.CmsgSpace(4))
	n, oobn, _, _, err := unix.Recvmsg(socket, b[:], oob, unix.MSG_CMSG_CLOEXEC)
	if err != nil || n == 0 {
		return // the child ended before
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil || len(messages) == 0 {
		return
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return
	}
	s.fd = fds[0]
	defer unix.Close(s.fd)
	for {
		var in notification
		switch err := ioctl(s.fd, unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&in)); {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ENOENT): // the caller is gone
			if p := []unix.PollFd{{Fd: int32(s.fd)}}; hungUp(p) {
				return
			}
			continue
		case err != nil:
			return
		}
		out, kill := s.answer(&in)
		if kill {
			_ = s.child.cmd.Process.Kill() // or it has ended
			return
		}
		_ = ioctl(s.fd, unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&out)) // or the caller is gone
	}
}

func hungUp(p []unix.PollFd) bool {
	_, err := unix.Poll(p, 0)
	return err == nil && p[0].Revents&unix.POLLHUP != 0
}

func ioctl(fd int, request uintptr, arg unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(arg)); errno != 0 {
		return errno
	}
	return nil
}

func (s *supervisor) answer(in *notification) (out response, kill bool) {
	out = response{id: in.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
	shape := calls[in.nr]
	c := Call{Name: shape.name, Offset: -1}
	if shape.path >= 0 {
		c.Path = s.text(in.pid, in.args[shape.path])
	} else {
		c.Path, _ = os.Readlink("/proc/" + strconv.Itoa(int(in.pid)) + "/fd/" + strconv.Itoa(int(int32(in.args[shape.fd]))))
	}
	if !strings.HasPrefix(c.Path, s.dir) {
		return out, false
	}
	if shape.size >= 0 {
		c.Size = int(in.args[shape.size])
	}
	if shape.offset >= 0 {
		c.Offset = int64(in.args[shape.offset])
	}
	switch f := s.asked(c); {
	case f.Kill:
		return out, true
	case f.Errno != 0:
		return response{id: in.id, errno: -int32(f.Errno)}, false
	case f.Short && c.Size > 1:
		if n, err := s.half(in, c); err == nil {
			return response{id: in.id, val: int64(n)}, false
		}
	}
	return out, false
}

// asked asks the test.
func (s *supervisor) asked(c Call) Fault {
	s.child.deciding.Lock()
	defer s.child.deciding.Unlock()
	return s.decide(c)
}

// text is the C string at an address of a process.
func (s *supervisor) text(pid uint32, at uint64) string {
	local := unix.Iovec{Base: &s.path[0], Len: uint64(len(s.path))}
	remote := []unix.RemoteIovec{{Base: uintptr(at), Len: len(s.path)}}
	if page := uint64(os.Getpagesize()); at%page != 0 { // in two parts: what is mapped may end with the first
		first := int(page - at%page)
		remote = []unix.RemoteIovec{{Base: uintptr(at), Len: first}, {Base: uintptr(at) + uintptr(first), Len: len(s.path) - first}}
	}
	n, err := unix.ProcessVMReadv(int(pid), []unix.Iovec{local}, remote, 0)
	if err != nil {
		return ""
	}
	text, _, _ := strings.Cut(string(s.path[:n]), "\x00")
	return text
}

// half makes half of a read or a write for the process, through its own descriptor.
func (s *supervisor) half(in *notification, c Call) (n int, err error) {
	pid, err := unix.PidfdOpen(s.child.cmd.Process.Pid, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(pid)
	fd, err := unix.PidfdGetfd(pid, int(in.args[0]), 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd) // its locks are the child's, or the description's
	mem, err := os.OpenFile("/proc/"+strconv.Itoa(int(in.pid))+"/mem", os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer mem.Close()
	b := make([]byte, c.Size/2)
	if !c.Reads() {
		if _, err := mem.ReadAt(b, int64(in.args[1])); err != nil {
			return 0, err
		}
	}
	switch c.Name {
	case "read":
		n, err = unix.Read(fd, b)
	case "pread64":
		n, err = unix.Pread(fd, b, c.Offset)
	case "write":
		return unix.Write(fd, b)
	default:
		return unix.Pwrite(fd, b, c.Offset)
	}
	if err != nil || n == 0 {
		return n, err
	}
	_, err = mem.WriteAt(b[:n], int64(in.args[1]))
	return n, err
}
