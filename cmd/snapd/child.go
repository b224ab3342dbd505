package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"

	"example.com/snapd/internal/message"
)

// programLine is a command line that serve runs, as kong hands it over: the -- that
// sets it apart from serve's own line comes first.
type programLine []string

// check refuses lines that may not be meant: without the -- a mistyped path of a
// database would be started.
func (p programLine) check() error {
	switch {
	case len(p) == 0:
		return nil
	case p[0] != "--":
		return fmt.Errorf("unexpected argument %s; a program to run comes after --, and the database after --db", p[0])
	case len(p) == 1 || p[1] == "":
		return errors.New("no program after --; name one, or leave the -- out")
	}
	return nil
}

// child is one process of the program that serve runs.
type child struct {
	cmd   *exec.Cmd
	log   *slog.Logger
	ended chan struct{} // closed when it has ended; what follows is valid then

	status int   // as a shell has it: 128+n where signal n ended it
	err    error // of waiting for it, its exit status aside
}

// startChild starts the program of the line with this process's standard files.
func (a *app) startChild(line programLine) (*child, error) {
	c := &child{cmd: exec.Command(line[1], line[2:]...), log: a.log, ended: make(chan struct{})}
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = a.in, a.out, a.console.file
	asBefore(c.cmd)
	if err := c.cmd.Start(); err != nil {
		return nil, message.WithHint(fmt.Errorf("start %s: %w", line[1], err), "is the program after -- there, and executable?")
	}
	c.log.Info("program started", "program", line[1], "pid", c.cmd.Process.Pid)
	go c.wait()
	return c, nil
}

func (c *child) wait() {
	err := c.cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		c.err = fmt.Errorf("wait for %s: %w", c.cmd.Path, err)
	}
	c.status = exitStatus(c.cmd.ProcessState)
	c.log.Info("program ended", "program", c.cmd.Path, "status", c.status)
	close(c.ended)
}

// running reports whether its end is still to come.
func (c *child) running() bool {
	select {
	case <-c.ended:
		return false
	default:
		return true
	}
}

// signal forwards a signal to the child, unless the child has received one.
func (c *child) signal(s os.Signal) {
	if s == os.Interrupt && terminalReaches(c.cmd.Process.Pid) {
		return
	}
	if err := c.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		c.log.Warn("signal not passed on", "signal", s.String(), "error", err.Error())
	}
}
