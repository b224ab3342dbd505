package catalogfile_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"example.com/snapd/internal/catalogfile"
)

// Lost: two operations at once in one directory; or a message that does not
// say who is in the way.
func TestOperationLock(t *testing.T) {
	dir := t.TempDir()
	a, b := open(t, dir), open(t, dir)
	lock, err := a.LockOperation(t.Context(), false, "backup")
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.LockOperation(t.Context(), false, "prune")
	if !errors.Is(err, catalogfile.ErrBusy) || !strings.Contains(err.Error(), `"backup"`) {
		t.Fatalf("second lock: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err = b.LockOperation(ctx, true, "prune"); !errors.Is(err, catalogfile.ErrBusy) || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("waited out: %v", err)
	}
	got := make(chan error, 1)
	go func() {
		second, err := b.LockOperation(t.Context(), true, "prune")
		if err == nil {
			err = second.Unlock()
		}
		got <- err
	}()
	if err := errors.Join(lock.Unlock(), lock.Unlock(), <-got); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir + "/.snapd.lock"); err != nil {
		t.Fatal("the lock file was removed, which lets two processes lock two files")
	}
}

// Lost: the rule of one service per directory; and the lock must end with its
// process, however that ends.
func TestServeLock(t *testing.T) {
	dir := t.TempDir()
	c := open(t, dir)
	if _, running, err := c.ServeRunning(); running || err != nil {
		t.Fatal(running, err)
	}
	cmd := child(t, "serve", dir)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "locked\n" {
		t.Fatalf("child said %q, %v", line, err)
	}
	holder, running, err := c.ServeRunning()
	if !running || err != nil || holder.PID != cmd.Process.Pid || holder.Purpose != "serve" {
		t.Errorf("running: %+v %v %v", holder, running, err)
	}
	_, err = c.LockServe(t.Context())
	if !errors.Is(err, catalogfile.ErrBusy) || !strings.Contains(err.Error(), fmt.Sprint("pid ", cmd.Process.Pid)) {
		t.Errorf("second service: %v", err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait() // its error is the kill
	if holder, running, err := c.ServeRunning(); running || err != nil {
		t.Errorf("after the kill: %+v %v", holder, err)
	}
	lock, err := c.LockServe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := lock.Unlock(); err != nil {
		t.Fatal(err)
	}
}

// Lost: a service that does not start because another process just asked about it.
func TestAskingDoesNotKeepAServiceFromStarting(t *testing.T) {
	dir := t.TempDir()
	c := open(t, dir)
	stop := make(chan struct{})
	done := make(chan error, 1)
	go func() {
		var errs []error
		for {
			select {
			case <-stop:
				done <- errors.Join(errs...)
				return
			default:
				if _, _, err := c.ServeRunning(); err != nil {
					errs = append(errs, err)
				}
			}
		}
	}()
	for range 50 {
		lock, err := c.LockServe(t.Context())
		if err != nil {
			t.Error(err)
			break
		}
		if err := lock.Unlock(); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Lost: a hanging command, while another process writes the catalog.
func TestUpdateGivesUpWithItsContext(t *testing.T) {
	dir := t.TempDir()
	a, b := open(t, dir), open(t, dir)
	update(t, a, func(*catalogfile.Tx) error {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		if err := b.Update(ctx, func(*catalogfile.Tx) error { return nil }); !errors.Is(err, catalogfile.ErrBusy) {
			t.Errorf("another process's update: %v", err)
		}
		if err := a.Update(ctx, func(*catalogfile.Tx) error { return nil }); !errors.Is(err, catalogfile.ErrBusy) {
			t.Errorf("another goroutine's update: %v", err)
		}
		// Cancelled is not busy: the user must not be advised to try again.
		off, callOff := context.WithCancel(t.Context())
		time.AfterFunc(10*time.Millisecond, callOff)
		for _, c := range []*catalogfile.Catalog{a, b} {
			if err := c.Update(off, func(*catalogfile.Tx) error { return nil }); errors.Is(err, catalogfile.ErrBusy) || !errors.Is(err, context.Canceled) {
				t.Errorf("an update that was called off: %v", err)
			}
		}
		return nil
	})
}
