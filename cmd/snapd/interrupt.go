package main

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
)

// interrupts end a context at the first SIGINT, SIGTERM or SIGHUP, and the process at
// the second: what it leaves is swept by the next start. For a service SIGHUP means
// to read its configuration again.
type interrupts struct {
	signals chan os.Signal
	taken   chan struct{} // closed when other code decides what signals mean
	once    sync.Once

	hangup atomic.Pointer[func()] // instead of the end; nil for none
	ending atomic.Int32           // 128 and the number of the signal that asked for the end; 0 before
}

// interruptible returns the context that signals end.
func interruptible() (context.Context, *interrupts) {
	ctx, cancel := context.WithCancel(context.Background())
	i := &interrupts{signals: make(chan os.Signal, 8), taken: make(chan struct{})}
	signal.Notify(i.signals, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) { // as nohup wants it
		signal.Notify(i.signals, syscall.SIGHUP)
	}
	go func() { // lives as long as the process, or until they are taken
		for {
			select {
			case <-i.taken:
				return
			case s := <-i.signals:
				if i.ends(s) {
					cancel()
				}
			}
		}
	}()
	return ctx, i
}

// ends reports whether s asks for the end, for the first time; the second time it is the end.
func (i *interrupts) ends(s os.Signal) bool {
	if s == syscall.SIGHUP {
		if reload := i.hangup.Load(); reload != nil {
			(*reload)()
			return false
		}
	}
	if i.ending.Load() != 0 {
		os.Exit(signalStatus(s))
	}
	i.ending.Store(int32(signalStatus(s)))
	return true
}

// status is the exit status of what a signal ended; without one, that of a failure.
func (i *interrupts) status() int {
	if i == nil || i.ending.Load() == 0 {
		return exitFailed
	}
	return int(i.ending.Load())
}

// signalStatus is how a shell reports a program that s ended.
func signalStatus(s os.Signal) int {
	if n, ok := s.(syscall.Signal); ok {
		return 128 + int(n)
	}
	return exitFailed
}

// onHangup has SIGHUP call reload, which must not wait, and end nothing.
func (i *interrupts) onHangup(reload func()) {
	i.hangup.Store(&reload)
	signal.Notify(i.signals, syscall.SIGHUP)
}

// take leaves all further signals to the caller, these and more.
func (i *interrupts) take(more ...os.Signal) <-chan os.Signal {
	i.once.Do(func() { close(i.taken) })
	if len(more) > 0 { // none would mean all
		signal.Notify(i.signals, more...)
	}
	return i.signals
}
