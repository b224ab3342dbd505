package main

import (
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"example.com/snapd/snapshot"
)

const (
	// patience is how long an operation runs before a bar appears.
	patience = time.Second
	// redraw is how often the bar moves.
	redraw = 200 * time.Millisecond
)

// console is standard error: log lines, and on a terminal a progress bar that
// gives way to them.
type console struct {
	file *os.File

	mu    sync.Mutex // guards what follows, and the file
	bar   *progressbar.ProgressBar
	phase string
	done  int64
	total int64     // 0 where the phase does not know it
	began time.Time // of the operation; zero between operations
	shown bool      // the bar stands on the screen

	stop    chan struct{} // closed to end the drawing goroutine; nil when there is none
	stopped chan struct{} // closed when it has ended
}

func newConsole(f *os.File) *console { return &console{file: f} }

// Write puts a line where the bar stands; the bar comes back with its next move.
func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hide()
	return c.file.Write(p)
}

func (c *console) terminal() bool { return term.IsTerminal(int(c.file.Fd())) }

// showProgress draws bars from now on, if this is a terminal, until close.
func (c *console) showProgress() {
	if !c.terminal() || c.stop != nil {
		return
	}
	c.stop, c.stopped = make(chan struct{}), make(chan struct{})
	go c.draw()
}

func (c *console) draw() {
	defer close(c.stopped)
	tick := time.NewTicker(redraw)
	defer tick.Stop()
	for {
		select {
		case <-c.stop:
			return
		case <-tick.C:
			c.move()
		}
	}
}

// event follows the phases that a Manager reports.
func (c *console) event(ev snapshot.Event) {
	if ev.Type == snapshot.EventProgress {
		c.progress(string(ev.Phase), ev.Done, ev.Total)
	}
}

// progress notes how far a phase is, in bytes; total 0 where it is unknown.
func (c *console) progress(phase string, done, total int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stop == nil {
		return
	}
	if c.began.IsZero() {
		c.began = time.Now()
	}
	if c.bar == nil || phase != c.phase || total != c.total {
		c.hide()
		c.phase, c.total = phase, total
		c.bar = newBar(c.file, phase, total)
		c.bar.StartWithoutRender()
	}
	c.done = done
}

// endProgress takes the bar away: the operation is over.
func (c *console) endProgress() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hide()
	c.bar, c.began = nil, time.Time{}
}

func (c *console) move() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.bar == nil || time.Since(c.began) < patience {
		return
	}
	// A bar that cannot be drawn is no reason to stop; the file's own errors
	// show with the next line.
	if c.total > 0 {
		_ = c.bar.Set64(min(c.done, c.total-1)) // a full bar would end itself
	} else {
		_ = c.bar.Add(1)
	}
	c.shown = true
}

// hide wipes the bar's line; the caller holds mu.
func (c *console) hide() {
	if c.shown {
		fmt.Fprint(c.file, "\r\x1b[K")
		c.shown = false
	}
}

func (c *console) close() {
	if c.stop != nil {
		close(c.stop)
		<-c.stopped
		c.stop = nil
	}
	c.endProgress()
}

func newBar(f *os.File, phase string, total int64) *progressbar.ProgressBar {
	if total <= 0 {
		return progressbar.NewOptions64(-1, progressbar.OptionSetWriter(f), progressbar.OptionSetDescription(phase),
			progressbar.OptionSetSpinnerChangeInterval(0), progressbar.OptionSetElapsedTime(true),
			progressbar.OptionSpinnerType(14), progressbar.OptionUseANSICodes(true))
	}
	return progressbar.NewOptions64(total, progressbar.OptionSetWriter(f), progressbar.OptionSetDescription(phase),
		progressbar.OptionShowBytes(true), progressbar.OptionShowCount(), progressbar.OptionSetPredictTime(true),
		progressbar.OptionSetWidth(24), progressbar.OptionUseANSICodes(true))
}
