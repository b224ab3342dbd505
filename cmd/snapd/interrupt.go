package main

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// interrupts end a context at the first SIGINT or SIGTERM, and the process at
// the second: what it leaves is swept by the next start.
type interrupts struct {
	signals chan os.Signal
	taken   chan struct{} // closed when other code decides what signals mean
	once    sync.Once
}

// interruptible returns the context that signals end.
func interruptible() (context.Context, *interrupts) {
	ctx, cancel := context.WithCancel(context.Background())
	i := &interrupts{signals: make(chan os.Signal, 8), taken: make(chan struct{})}
	signal.Notify(i.signals, os.Interrupt, syscall.SIGTERM)
	go func() { // lives as long as the process, or until they are taken
		for first := true; ; first = false {
			select {
			case <-i.taken:
				return
			case <-i.signals:
			}
			if !first {
				os.Exit(exitFailed)
			}
			cancel()
		}
	}()
	return ctx, i
}

// take leaves all further signals to the caller, these and more.
func (i *interrupts) take(more ...os.Signal) <-chan os.Signal {
	i.once.Do(func() { close(i.taken) })
	if len(more) > 0 { // none would mean all
		signal.Notify(i.signals, more...)
	}
	return i.signals
}
