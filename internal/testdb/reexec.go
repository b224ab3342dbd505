package testdb

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	childEnv   = "SNAPD_TEST_CHILD"
	childHello = "child runs"
	childLife  = 5 * time.Minute
)

// RunChild runs the named function instead of the tests where this process was
// started by Reexec, and exits: 0, or 1 with the error on standard error. In any
// other process it returns at once. A package that uses Reexec calls it first in
// its TestMain.
func RunChild(functions map[string]func(args []string) error) {
	name, isChild := os.LookupEnv(childEnv)
	if !isChild {
		return
	}
	function := functions[name]
	if function == nil {
		fmt.Fprintf(os.Stderr, "no function %q is given to testdb.RunChild\n", name)
		os.Exit(1)
	}
	fmt.Println(childHello)
	_, args, _ := strings.Cut(strings.Join(os.Args, "\x00"), "\x00--\x00")
	var list []string
	if args != "" {
		list = strings.Split(args, "\x00")
	}
	if err := function(list); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// Child is the test binary running one function in another process.
type Child struct {
	t      testing.TB
	name   string
	cmd    *exec.Cmd
	end    context.CancelFunc
	lines  chan string // standard output; closed at its end
	stderr bytes.Buffer
	once   sync.Once
	err    error

	deciding sync.Mutex // held while a test decides about a call: what it keeps then is good after Wait
}

// Reexec starts the named function of TestMain's RunChild in a child process.
// What it prints comes out of WaitLine, which is how a test knows when to kill
// it. It is killed when the test ends, and after 5 minutes in any case.
func Reexec(t testing.TB, name string, args ...string) *Child {
	t.Helper()
	return reexec(t, name, args, func(*exec.Cmd) {})
}

// ReexecAs is Reexec of a process with those attributes: another user's, say.
func ReexecAs(t testing.TB, attr *syscall.SysProcAttr, name string, args ...string) *Child {
	t.Helper()
	return reexec(t, name, args, func(cmd *exec.Cmd) {
		cmd.SysProcAttr = attr
		if runtime.GOOS == "linux" {
			cmd.Path = "/proc/self/exe" // the directory of the program may be closed to that user
		}
	})
}

// reexec is Reexec of a command that prepare may change.
func reexec(t testing.TB, name string, args []string, prepare func(*exec.Cmd)) *Child {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), childLife)
	c := &Child{t: t, name: name, end: cancel, lines: make(chan string)}
	// -test.run matches nothing, should the package have no RunChild.
	c.cmd = exec.CommandContext(ctx, self, append([]string{"-test.run=^$", "--"}, args...)...)
	c.cmd.Env = append(os.Environ(), childEnv+"="+name)
	c.cmd.Stderr = &c.stderr
	prepare(c.cmd)
	stdout, err := c.cmd.StdoutPipe()
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		cancel()
		t.Fatalf("start child: %v", err)
	}
	go func() {
		defer close(c.lines)
		for s := bufio.NewScanner(stdout); s.Scan(); {
			c.lines <- s.Text()
		}
	}()
	t.Cleanup(c.Kill)
	if line, ok := <-c.lines; !ok || line != childHello {
		t.Fatalf("child %s did not start (does TestMain call testdb.RunChild?): %q %v", name, line, c.Wait())
	}
	return c
}

// WaitLine returns the next line the child prints that begins with prefix. It
// fails the test when the child ends before.
func (c *Child) WaitLine(prefix string) string {
	c.t.Helper()
	for line := range c.lines {
		if strings.HasPrefix(line, prefix) {
			return line
		}
	}
	c.t.Fatalf("child %s ended before it printed %q: %v", c.name, prefix, c.Wait())
	return ""
}

// Lines returns what the child prints until it ends.
func (c *Child) Lines() (all []string) {
	for line := range c.lines {
		all = append(all, line)
	}
	return all
}

// Wait returns when the child has ended by itself; an error has what it wrote to
// standard error.
func (c *Child) Wait() error {
	c.once.Do(func() {
		for range c.lines {
		}
		if err := c.cmd.Wait(); err != nil {
			c.err = fmt.Errorf("child %s: %w: %s", c.name, err, bytes.TrimSpace(c.stderr.Bytes()))
		}
		c.deciding.Lock()
		defer c.deciding.Unlock()
		c.end()
	})
	return c.err
}

// Kill ends the child at once (SIGKILL) and returns when it is gone. It may be
// called twice.
func (c *Child) Kill() {
	c.end()
	_ = c.Wait() // killed is what was asked for
}
