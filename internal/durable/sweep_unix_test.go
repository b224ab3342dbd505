//go:build unix

package durable

import (
	"syscall"
	"testing"
	"time"
)

// Lost: a file in use, to the second sweep, because the first one asked for its mark while it was made.
func TestMarkedWhileASweeperAsks(t *testing.T) {
	s, err := Scratch(t.TempDir(), "x")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	f := s.File
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_UN); err != nil { // not marked yet
		t.Fatal(err)
	}
	sweeper, err := OpenRegular(f.Name(), syscall.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Flock(int(sweeper.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		t.Fatal(err)
	}
	marked := make(chan struct{})
	go func() {
		markAlive(f)
		close(marked)
	}()
	select {
	case <-marked:
	case <-time.After(50 * time.Millisecond): // time enough to give up
	}
	if err := sweeper.Close(); err != nil {
		t.Fatal(err)
	}
	<-marked
	if !isAlive(f.Name()) {
		t.Error("it is not marked as in use")
	}
}
