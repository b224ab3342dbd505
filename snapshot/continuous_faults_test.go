//go:build linux

package snapshot_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"example.com/snapd/internal/testdb"
	"example.com/snapd/snapshot"
)

func init() { children["service"] = serviceChild }

// serviceChild is a service that captures, until there is a file of the database's name with ".stop". It prints its
// events. args: database, backup directory, "faults" where the test decides about its file calls.
func serviceChild(args []string) error {
	if args[2] == "faults" {
		if err := testdb.HandOverCalls(); err != nil {
			return err
		}
	}
	if err := os.Setenv("TMPDIR", args[1]); err != nil { // the test's may be closed to this user
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	m, err := snapshot.Open(ctx, snapshot.Config{Database: args[0], Dir: args[1], Continuous: 100 * time.Millisecond, OnEvent: func(e snapshot.Event) {
		what := string(e.Type)
		switch {
		case e.Type == snapshot.EventChainGap && e.Err != nil:
			what = "stopped"
		case e.Type == snapshot.EventChainGap && strings.Contains(e.Message, "again"):
			what = "resumed"
		}
		if e.Type != snapshot.EventProgress {
			fmt.Println(what, e.Point, strings.ReplaceAll(fmt.Sprint(e.Message, " ", e.Reason, " ", e.Err), "\n", " "))
		}
	}})
	if err != nil {
		return err
	}
	go func() {
		for _, err := os.Stat(args[0] + ".stop"); err != nil; _, err = os.Stat(args[0] + ".stop") {
			time.Sleep(20 * time.Millisecond)
		}
		cancel()
	}()
	return m.Run(ctx)
}

// served is a database with an application, next to a service in another process.
type served struct {
	*counted
	child *testdb.Child
	said  []string
}

// waitFor returns the next line of the service that begins with a word.
func (s *served) waitFor(word string) (line string) {
	s.t.Helper()
	for {
		line = s.child.WaitLine("")
		s.said = append(s.said, line)
		if strings.HasPrefix(line, word+" ") {
			return line
		}
	}
}

// captured waits until a point has all commits.
func (s *served) captured() {
	s.t.Helper()
	for {
		if n, _ := s.ledger(strings.Fields(s.waitFor("captured"))[1]); n == s.n {
			return
		}
	}
}

// end stops the service, and proves every point.
func (s *served) end(stops int) {
	s.t.Helper()
	writeFile(s.t, s.m.Database()+".stop", nil)
	s.said = append(s.said, s.child.Lines()...)
	if err := s.child.Wait(); err != nil {
		s.t.Fatal(err)
	}
	for word, want := range map[string]int{"stopped": stops, "resumed": stops} {
		n := 0
		for _, line := range s.said {
			if strings.HasPrefix(line, word+" ") {
				n++
			}
		}
		if n != want {
			s.t.Errorf("%d events %q, not %d:\n%s", n, word, want, strings.Join(s.said, "\n"))
		}
	}
	s.points()
	latest, err := s.m.Find("latest")
	if err != nil {
		s.t.Fatal(err)
	}
	if n, _ := s.ledger(latest.Point); n != s.n {
		s.t.Errorf("the shutdown backup is point %q with %d of %d commits", latest.Point, n, s.n)
	}
}

// Lost: the captures of before a fault, or the news that there are none since, or those after it.
func TestFaultsOfCaptures(t *testing.T) {
	t.Parallel()
	const writes, syncs, reads = "write pwrite64 fallocate", "fsync fdatasync", "pread64"
	for name, f := range map[string]struct {
		errno syscall.Errno
		calls string
		below func(c *counted) string // the beginning of the paths of the files
		code  string
	}{
		"the disk of the log is full": {syscall.ENOSPC, writes, func(c *counted) string { return filepath.Join(c.m.Dir(), "changes") }, "no space"},
		"the log cannot be synced":    {syscall.EIO, syncs, func(c *counted) string { return filepath.Join(c.m.Dir(), "changes") }, "input/output"},
		"the disk is full":            {syscall.ENOSPC, writes, func(c *counted) string { return c.m.Dir() }, ""},
		"the database cannot be read": {syscall.EIO, reads, func(c *counted) string { return c.m.Database() }, "input/output"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCounted(t, "wal")
			var on atomic.Bool
			below := f.below(c)
			s := &served{counted: c}
			s.child = testdb.WithFaults(t, filepath.Dir(c.m.Database()), func(call testdb.Call) testdb.Fault {
				if on.Load() && strings.HasPrefix(call.Path, below) && strings.Contains(f.calls, call.Name) {
					return testdb.Fault{Errno: f.errno}
				}
				return testdb.Fault{}
			}, "service", c.m.Database(), c.m.Dir(), "faults")
			s.waitFor("backed_up")
			c.commit(3)
			s.captured()
			on.Store(true)
			c.commit(2)
			s.waitFor("stopped")
			c.commit(2)
			st := c.status().Continuous
			if f.code != "" && (st.State != "gap" || !strings.Contains(strings.NewReplacer("disk i/o", "input/output").Replace(strings.ToLower(st.What)), f.code)) { // as SQLite or the system says it
				t.Errorf("status: %+v", st)
			}
			on.Store(false)
			s.captured()
			s.waitFor("resumed")
			c.commit(1)
			s.captured()
			if st := c.status().Continuous; st.State != "on" {
				t.Errorf("status: %+v", st)
			}
			s.end(1)
		})
	}
}

// Lost: the disk and the time of a private copy for each look, or the news that nothing is captured, where the service
// may only read the database and its directory: in place next to an application, and not at all without one.
func TestCapturesByAReader(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("NOT TESTED: only root can make another user")
	}
	t.Parallel()
	c := newCounted(t, "wal")
	reachable(t, c.m.Database())
	chmod(t, 0o644, c.m.Database(), c.m.Database()+"-wal", c.m.Database()+"-shm")
	must(t, os.MkdirAll(c.m.Dir(), 0o700))
	must(t, os.Chown(c.m.Dir(), testdb.Nobody(), testdb.Nobody()))
	user := &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(testdb.Nobody()), Gid: uint32(testdb.Nobody())}}
	s := &served{counted: c}
	s.child = testdb.ReexecAs(t, user, "service", c.m.Database(), c.m.Dir(), "")
	s.waitFor("backed_up")
	c.commit(3)
	s.captured()
	c.app.Close()
	for left := true; left; { // once the service rests, the application's last close leaves no log
		must(t, testdb.Reexec(t, "until it rests", c.m.Database()).Wait())
		c.connect()
		c.commit(1)
		c.app.Close()
		_, err := os.Stat(c.m.Database() + "-wal")
		left = err == nil
	}
	line := s.waitFor("stopped")
	if st := c.status().Continuous; st.State != "gap" || !strings.Contains(st.What, "private copy") {
		t.Errorf("%s: status %+v", line, st)
	}
	c.connect()
	c.commit(2)
	s.captured()
	s.waitFor("resumed")
	c.app.SetMaxOpenConns(2) // one stays open for the shutdown backup
	s.end(1)
}

// Lost: the news that nothing is captured while a process has the database to itself, or the captures after that.
func TestCapturesOfAnExclusiveDatabase(t *testing.T) {
	t.Parallel()
	var later atomic.Int64 // minutes
	c := newCounted(t, "wal", func(cfg *snapshot.Config) {
		cfg.Now = func() time.Time { return time.Now().Add(time.Duration(later.Load()) * time.Minute) }
	})
	r := c.run()
	c.rec.wait(t, "the start-up backup", func(e snapshot.Event) bool { return e.Type == snapshot.EventBackedUp })
	c.commit(3)
	before := c.captures()
	c.write("PRAGMA busy_timeout=20")
	c.write("PRAGMA locking_mode=EXCLUSIVE")
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) { // it wants to be the only connection: a look may have one
		_, err := c.app.Exec("INSERT INTO ledger VALUES (?, randomblob(300))", c.n+1)
		if err == nil {
			c.n++
			break
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
	c.commit(2)
	for end := time.Now().Add(patience); len(c.rec.of(snapshot.EventChainGap)) == 0; time.Sleep(time.Second) {
		later.Add(1) // a lock that passes by itself is no news
		if time.Now().After(end) {
			t.Fatal("nothing says that captures stopped")
		}
	}
	st := c.status().Continuous
	if st.State != "gap" || !strings.Contains(st.What, "EXCLUSIVE") || st.Point == nil || *st.Point != before {
		t.Errorf("status %+v", st)
	}
	c.write("PRAGMA locking_mode=NORMAL")
	c.commit(1)
	c.captures()
	if n, _ := c.ledger(before); n != 3 {
		t.Errorf("point %s has %d commits, not 3", before, n)
	}
	if err := r.wait(t); err != nil {
		t.Fatal(err)
	}
	c.points()
	if n := len(c.rec.of(snapshot.EventChainGap)); n != 2 {
		t.Errorf("%d events, not one that they stop and one that they go on: %v", n, c.rec.of(snapshot.EventChainGap))
	}
}
