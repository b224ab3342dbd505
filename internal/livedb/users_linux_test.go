package livedb

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"example.com/snapd/internal/testdb"
)

// A child has every descriptor of its parent until it runs another program: no use of
// its own, and over in an instant.
func TestUsersAreNoChildrenBeforeExec(t *testing.T) {
	path := makeDB(t, "CREATE TABLE t(a)")
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	done := make(chan error)
	go func() {
		defer close(done)
		for range 300 {
			if err := exec.Command("true").Run(); err != nil {
				done <- err
				return
			}
		}
	}()
	for {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			return
		default:
		}
		if usage, err := UsageOf(path); err != nil || usage.InUse() || usage.Unknown != "" {
			t.Errorf("usage %+v, %v", usage, err)
			<-done
			return
		}
	}
}

const nobody = 65534 // a user

func init() { children["usage"] = usageChild }

// usageChild prints who has a file open, as another process sees it. args: path.
func usageChild(args []string) error {
	if len(args) > 1 { // with a /proc of its own
		err := errors.Join(unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""), unix.Mount("proc", "/proc", "proc", 0, args[1]))
		if err != nil {
			return err
		}
		if args[1] != "" {
			if err := errors.Join(syscall.Setgid(nobody), syscall.Setuid(nobody)); err != nil {
				return err
			}
		}
	}
	usage, err := UsageOf(args[0])
	if err != nil {
		return err
	}
	text, err := json.Marshal(usage)
	fmt.Println(string(text))
	return err
}

// Lost: the commits of a program in another container, or of another user's, into a file that
// was replaced because no process seemed to have it open.
func TestUsersThatCannotBeSeen(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("NOT TESTED: only root can make other users and containers")
	}
	container := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS}
	user := &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	for name, c := range map[string]struct {
		attr    *syscall.SysProcAttr
		proc    []string // the options of a /proc of its own
		owner   int
		unknown bool // the kernel may not be asked
	}{
		"another container": {container, []string{""}, 0, false},
		"another user's":    {user, nil, nobody, false},
		"hidden":            {&syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}, []string{"hidepid=2"}, nobody, false},
		"of another owner":  {user, nil, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			path := makeDB(t, "CREATE TABLE t(a)")
			if err := os.Chown(path, c.owner, c.owner); err != nil {
				t.Fatal(err)
			}
			for dir := filepath.Dir(path); dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
				if err := os.Chmod(dir, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			ask := func() (u Usage) {
				child := testdb.ReexecAs(t, c.attr, "usage", append([]string{path}, c.proc...)...)
				if err := json.Unmarshal([]byte(child.WaitLine("{")), &u); err != nil {
					t.Fatal(err)
				}
				if err := child.Wait(); err != nil {
					t.Fatal(err)
				}
				return u
			}
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			if u := ask(); len(u.Users) > 0 || u.Unseen == c.unknown || (u.Unknown != "") != c.unknown {
				t.Errorf("open: %+v", u)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			if u := ask(); u.InUse() || (u.Unknown != "") != c.unknown {
				t.Errorf("closed: %+v", u)
			}
		})
	}
}
