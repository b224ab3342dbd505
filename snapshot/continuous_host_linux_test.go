package snapshot_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	modernc "modernc.org/sqlite"

	"example.com/snapd/internal/sqlitefile"
	"example.com/snapd/internal/testdb"
	"example.com/snapd/snapshot"
)

func init() { children["locks"], children["until it rests"] = locksChild, restsChild }

// locksChild prints which process has which lock, as another one that respects locks sees it. args: database.
func locksChild(args []string) error {
	const walWrite = 120 // byte of the -shm
	for _, ask := range []struct {
		name, path string
		at         int64
	}{
		{"shared", args[0], sqlitefile.LockByte + 2},
		{"reserved", args[0], sqlitefile.LockByte + 1},
		{"log", sqlitefile.SHM(args[0]), walWrite},
	} {
		switch pid, err := lockedBy(ask.path, ask.at); {
		case err != nil:
			return err
		case pid != 0:
			fmt.Println(ask.name, pid)
		}
	}
	fmt.Println("asked")
	return nil
}

// restsChild ends when no other process has a shared lock of the database. args: database.
func restsChild(args []string) error {
	for {
		if pid, err := lockedBy(args[0], sqlitefile.LockByte+2); pid == 0 || err != nil {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// lockedBy returns the process that keeps this one from locking a byte of a file; 0 for none, and where
// there is no such file.
func lockedBy(path string, at int64) (pid int32, err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	l := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart, Start: at, Len: 1}
	if err := errors.Join(unix.FcntlFlock(f.Fd(), unix.F_GETLK, &l), f.Close()); err != nil || l.Type == unix.F_UNLCK {
		return 0, err
	}
	return l.Pid, nil
}

// locks are those that another process sees of this one.
func (c *counted) locks() (held string) {
	c.t.Helper()
	child := testdb.Reexec(c.t, "locks", c.m.Database())
	for {
		line := child.WaitLine("")
		if line == "asked" {
			break
		}
		if name, pid, _ := strings.Cut(line, " "); pid == fmt.Sprint(os.Getpid()) {
			held += name + " "
		}
	}
	if err := child.Wait(); err != nil {
		c.t.Fatal(err)
	}
	return strings.TrimSpace(held)
}

// Lost: the locks of a program that embeds a Manager, and with them its database: another process would write in
// the middle of its transaction. The last step shows that this test would notice.
func TestCapturesKeepTheHostsLocks(t *testing.T) {
	if modernc.OFDLockingEnabled() {
		t.Fatal("this process has OFD locks: those of POSIX are not tested")
	}
	for mode, want := range map[string]string{"wal": "shared log", "delete": "shared reserved"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			c := newCounted(t, mode)
			r := c.run()
			c.rec.wait(t, "the start-up backup", func(e snapshot.Event) bool { return e.Type == snapshot.EventBackedUp })
			under := 0 // captures during a transaction of the host
			for try := 0; under < 3 && try < 100; try++ {
				c.commit(2)
				c.write("BEGIN IMMEDIATE")
				before := len(c.rec.of(snapshot.EventCaptured))
				c.captures()
				if len(c.rec.of(snapshot.EventCaptured)) > before {
					under++
				}
				if held := c.locks(); held != want {
					t.Fatalf("after %d captures the host holds %q, not %q", c.n, held, want)
				}
				c.write("COMMIT")
			}
			if under < 3 {
				t.Errorf("%d captures during a transaction: too few", under)
			}
			c.commit(1)
			c.captures()
			c.write("BEGIN IMMEDIATE")
			if _, err := c.m.Backup(t.Context(), snapshot.Manual("")); err != nil {
				t.Fatal(err)
			}
			if held := c.locks(); held != want {
				t.Errorf("after a backup the host holds %q, not %q", held, want)
			}
			f, err := os.Open(c.m.Database())
			if err != nil {
				t.Fatal(err)
			}
			f.Close()
			if held := c.locks(); held == want {
				t.Error("os.Open and Close did no harm either: this test cannot fail")
			}
			c.write("ROLLBACK")
			if err := r.wait(t); err != nil {
				t.Fatal(err)
			}
		})
	}
}
