package main

import (
	"bufio"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"example.com/snapd/internal/testdb"
	"example.com/snapd/snapshot"
)

// countedContext ends when it is looked at for the nth time: each look is a moment at which
// a signal can matter.
type countedContext struct {
	context.Context
	cancel context.CancelFunc
	left   atomic.Int64
}

func endAtLook(t *testing.T, n int) *countedContext {
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	c := &countedContext{Context: ctx, cancel: cancel}
	c.left.Store(int64(n))
	return c
}

func (c *countedContext) look() {
	if c.left.Add(-1) == 0 {
		c.cancel()
	}
}

func (c *countedContext) Err() error {
	c.look()
	return c.Context.Err()
}

func (c *countedContext) Done() <-chan struct{} {
	c.look()
	return c.Context.Done()
}

// If this fails, a SIGTERM at some moment of serve's start ends it with an error, or
// without the shutdown backup.
func TestServeStopsAtAnyMoment(t *testing.T) {
	database, tries := testdb.CRM(t, 64<<10), 0
	for n := 1; n < 100_000; n += 1 + n/4 { // most of the looks are within a check
		tries++
		dir := filepath.Join(t.TempDir(), "backups")
		if err := os.Mkdir(dir, 0o700); err != nil { // Open has something to put right
			t.Fatal(err)
		}
		ctx := endAtLook(t, n)
		log, console, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		started := make(chan bool)
		go func() { // the start is over when the schedule waits
			over := false
			for lines := bufio.NewScanner(log); lines.Scan(); {
				if strings.Contains(lines.Text(), "next automatic backup") {
					over = ctx.Context.Err() == nil
					ctx.cancel()
				}
			}
			started <- over
		}()
		a := newApp(os.Stdin, os.Stdout, console)
		c, err := a.parse([]string{"serve", "--db", database, "--dir", dir, "--listen", "unix:" + filepath.Join(t.TempDir(), "s")})
		if err != nil {
			t.Fatal(err)
		}
		a.log = a.logger(true)
		if err := c.run(ctx, a); err != nil { // without a.run, which must be called before a database was opened
			t.Errorf("ended at look %d: %v", n, err)
		}
		if err := console.Close(); err != nil {
			t.Fatal(err)
		}
		m, err := snapshot.Open(t.Context(), snapshot.Config{Database: database, Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Find("latest"); err != nil {
			t.Errorf("ended at look %d: %v", n, err)
		}
		if over := <-started; !over {
			continue
		}
		if tries < 10 {
			t.Errorf("only %d moments were tried", tries)
		}
		return
	}
	t.Error("serve never started")
}

// If this fails, a SIGTERM between the last look at it and the program's start is lost.
func TestProgramGetsAnEarlierSignal(t *testing.T) {
	in, open, err := os.Pipe() // whose end the program waits for
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = errors.Join(in.Close(), open.Close()) }()
	a := newApp(in, os.Stdout, os.Stderr)
	a.signals = &interrupts{signals: make(chan os.Signal, 8), taken: make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	program, err := a.startApplication(programLine{"--", "sampleapp", "upper"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-program.until(ctx).Done():
	case <-time.After(20 * time.Second):
		t.Error("the program runs on")
		program.end()
	}
}
