package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"

	"example.com/snapd/internal/message"
	"example.com/snapd/snapshot"
)

// application is the program that serve runs: one process after another, where a
// recovery restarts it. serve works while it does, and ends with it.
//
//	running ── asked to restart ── stopping ── its process has ended ── recovering ── running
//	   │                              │                                     │
//	   └── its process ends ──────────┴── a signal asks for the end ────────┴── unfit ── over
type application struct {
	a      *app
	line   programLine
	hangup func()        // called after the process got a hang-up; may be nil
	over   chan struct{} // closed when there will be no other process; failed is valid then
	failed error         // why it was not started again; nil for its own end

	restarting sync.Mutex // held by the one restart that is at work

	mu     sync.Mutex
	now    *child             // the present process, or the last one
	asked  bool               // a signal asked for the end: it is not started again
	giveUp context.CancelFunc // ends the recovery of a restart; nil while there is none, and the end is the process's
}

// startApplication starts the program of the line with this process's standard files.
// From then on signals are the program's; hangup is called at a hang-up as well.
func (a *app) startApplication(line programLine, hangup func()) (*application, error) {
	p := &application{a: a, line: line, hangup: hangup, over: make(chan struct{})}
	signals := a.signals.take(passed...)
	var err error
	if p.now, err = a.startChild(line); err != nil {
		return nil, err
	}
	go p.watch(p.now)
	go p.passOn(signals) // lives as long as the process
	return p, nil
}

// watch waits for the end of a process, and ends the application with it unless a restart stopped it.
func (p *application) watch(c *child) {
	<-c.ended
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.giveUp == nil {
		close(p.over)
	}
}

// passOn gives signals to the application. Once that is over the second of those that ask
// for an end gets it at once, as without an application.
func (p *application) passOn(signals <-chan os.Signal) {
	asked := false
	for s := range signals {
		ends := s == os.Interrupt || s == syscall.SIGTERM
		select {
		case <-p.over:
			if ends && asked {
				os.Exit(signalStatus(s))
			}
		default:
			p.signal(s, ends)
		}
		if s == syscall.SIGHUP && p.hangup != nil {
			p.hangup()
		}
		asked = asked || ends
	}
}

// signal gives s to the present process. One that ends the application also ends a recovery.
func (p *application) signal(s os.Signal, ends bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.now.running() {
		p.now.signal(s)
	}
	if ends && p.giveUp != nil { // else the process decides what an interrupt means
		p.asked = true
		p.giveUp()
	}
}

// end asks the application to end, and waits until it has.
func (p *application) end() {
	p.signal(syscall.SIGTERM, true)
	<-p.over
}

// until returns a context that ends with the application. A signal that ended ctx came before
// the program was there to receive it.
func (p *application) until(ctx context.Context) context.Context {
	stop := context.AfterFunc(ctx, func() { p.signal(syscall.SIGTERM, true) })
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		<-p.over
		stop()
		cancel()
	}()
	return ctx
}

// recover stops the application, recovers the database, and starts the application again.
// Where there is nothing to recover, or no way to, the application goes on undisturbed; so
// it is asked of a plan first. say is called with what is being waited for.
func (p *application) recover(ctx context.Context, m *snapshot.Manager, say func(string)) (rec snapshot.Recovery, err error) {
	if !p.restarting.TryLock() {
		return rec, message.WithHint(fmt.Errorf("%w: another recover --restart is at work", snapshot.ErrBusy), "wait for it")
	}
	defer p.restarting.Unlock()
	say("checking the database")
	plan, err := m.PlanRecovery(ctx)
	if err == nil && plan.Err == nil && plan.Action == snapshot.ActionNone {
		return snapshot.Recovery{Action: plan.Action, Verdict: plan.Verdict, Reason: plan.Reason}, nil
	}
	// Busy is what the application itself makes it, which has it open or locked.
	if err = errors.Join(err, plan.Err); err != nil && snapshot.Code(err) != "busy" {
		return rec, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	last, err := p.stop(cancel)
	if err != nil {
		return snapshot.Recovery{}, err
	}
	say(fmt.Sprintf("waiting for the application (%s, pid %d) to end", last.cmd.Path, last.cmd.Process.Pid))
	<-last.ended
	say("the application has ended; recovering the database")
	rec, err = recoverPatiently(ctx, m)
	return rec, p.startAgain(rec, err)
}

// stop asks the process to end, so that recover can start another one, and returns it.
// cancel ends the recovery.
func (p *application) stop(cancel context.CancelFunc) (*child, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.now.running() {
		return nil, message.WithHint(fmt.Errorf("%w: the application has ended, and serve ends, too", snapshot.ErrBusy), "start serve again: it recovers the database first")
	}
	p.giveUp = cancel
	p.a.log.Warn("the application is stopped, so that the database can be recovered", "pid", p.now.cmd.Process.Pid)
	p.now.signal(syscall.SIGTERM)
	return p.now, nil
}

// startAgain starts the application after a recovery that ended with err, which it returns.
// After one that failed it does so where the database is as the application left it and
// serve would not refuse it: a damaged one without a good backup is not for use.
func (p *application) startAgain(rec snapshot.Recovery, err error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.giveUp = nil
	untouched := rec.Verdict == "" || rec.Action == snapshot.ActionWaiting || snapshot.Code(err) == "busy"
	switch {
	case p.asked:
		close(p.over)
		return err
	case err != nil && !untouched:
		p.failed = err
		p.a.log.Error("the application is not started again", "error", err.Error())
		close(p.over)
		return err
	}
	c, serr := p.a.startChild(p.line)
	if serr != nil {
		p.failed = serr
		close(p.over)
		return errors.Join(err, serr)
	}
	p.now = c
	go p.watch(c)
	return err
}

// suggestRestart follows the damage that is found while the application uses the database.
func (p *application) suggestRestart(ev snapshot.Event) {
	if ev.Type != snapshot.EventFailed || !errors.Is(ev.Err, snapshot.ErrCorrupt) || ev.Operation != snapshot.OpCheck && ev.Operation != snapshot.OpBackup {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.giveUp == nil && p.now.running() {
		p.a.log.Warn("the database is damaged, and the application goes on using it",
			"hint", "snapd recover --restart stops the application, recovers the database, and starts the application again")
	}
}

// result is how snapd ends where it served an application: with the status of that.
// Only an application that ended well lets a failure of snapd's own show there. Standard
// output was the application's, so the document of --json goes to standard error.
func (p *application) result(doc serveDocument, err error) error {
	c := p.now
	if p.failed != nil {
		return errors.Join(p.failed, c.err, err)
	}
	if err = errors.Join(c.err, err); c.status == exitDone && err != nil {
		return err
	}
	if err != nil {
		c.log.Error("protection ended badly", "error", err.Error())
	}
	if p.a.JSON {
		if err := json.NewEncoder(p.a.console).Encode(doc); err != nil {
			return fmt.Errorf("print result: %w", err)
		}
	}
	if c.status == exitDone {
		return nil
	}
	return &outcome{c.status, fmt.Sprintf("%s ended with status %d", c.cmd.Path, c.status)}
}
