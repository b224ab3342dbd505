package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"syscall"

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

// child is the program that serve runs: it works while the child does, and ends
// with it.
type child struct {
	cmd    *exec.Cmd
	log    *slog.Logger
	hangup func()        // called after the child was told of a hang-up; may be nil
	ended  chan struct{} // closed when it has ended; what follows is valid then

	status int   // as a shell has it: 128+n where signal n ended it
	err    error // of waiting for it, its exit status aside
}

// startChild starts the program of the line with this process's standard files.
// From then on signals are the child's; hangup is called at a hang-up as well.
func (a *app) startChild(line programLine, hangup func()) (*child, error) {
	c := &child{cmd: exec.Command(line[1], line[2:]...), log: a.log, hangup: hangup, ended: make(chan struct{})}
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = a.in, a.out, a.console.file
	asBefore(c.cmd)
	signals := a.signals.take(passed...)
	if err := c.cmd.Start(); err != nil {
		return nil, message.WithHint(fmt.Errorf("start %s: %w", line[1], err), "is the program after -- there, and executable?")
	}
	c.log.Info("program started", "program", line[1], "pid", c.cmd.Process.Pid)
	go c.wait()
	go c.passOn(signals) // lives as long as the process
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

// passOn gives signals to the child. Once that has ended the second of those
// that ask for an end gets it at once, as without a child.
func (c *child) passOn(signals <-chan os.Signal) {
	asked := false
	for s := range signals {
		ends := s == os.Interrupt || s == syscall.SIGTERM
		select {
		case <-c.ended:
			if ends && asked {
				os.Exit(signalStatus(s))
			}
		default:
			c.signal(s)
		}
		if s == syscall.SIGHUP && c.hangup != nil {
			c.hangup()
		}
		asked = asked || ends
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

// stop asks the child to end, if it runs, and waits until it has.
func (c *child) stop() {
	select {
	case <-c.ended:
	default:
		c.signal(syscall.SIGTERM)
		<-c.ended
	}
}

// until returns a context that ends with the child. A signal that ended ctx came before
// the child was there to receive it.
func (c *child) until(ctx context.Context) context.Context {
	stop := context.AfterFunc(ctx, func() { c.signal(syscall.SIGTERM) })
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		<-c.ended
		stop()
		cancel()
	}()
	return ctx
}

// result is how snapd ends where it served a child: with the child's status.
// Only a child that ended well lets a failure of snapd's own show there. Standard
// output was the child's, so the document of --json goes to standard error.
func (c *child) result(a *app, doc serveDocument, err error) error {
	if err = errors.Join(c.err, err); c.status == exitDone && err != nil {
		return err
	}
	if err != nil {
		c.log.Error("protection ended badly", "error", err.Error())
	}
	if a.JSON {
		if err := json.NewEncoder(a.console).Encode(doc); err != nil {
			return fmt.Errorf("print result: %w", err)
		}
	}
	if c.status == exitDone {
		return nil
	}
	return &outcome{c.status, fmt.Sprintf("%s ended with status %d", c.cmd.Path, c.status)}
}
