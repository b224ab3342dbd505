package main

import (
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// If this fails, some threads of a manual backup go on competing with the application.
func TestStepBackReachesEveryThread(t *testing.T) {
	if os.Getenv("SNAPD_TEST_STEP_BACK") == "" { // it is for good: in a process of its own
		t.Setenv("SNAPD_TEST_STEP_BACK", "1")
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(self, "-test.run=^TestStepBackReachesEveryThread$").CombinedOutput()
		if err != nil {
			t.Errorf("%v: %s", err, out)
		}
		return
	}
	var work sync.WaitGroup
	defer work.Wait()
	for range 20 { // blocked in the kernel, each has a thread
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		work.Go(func() { _, _ = unix.Read(int(r.Fd()), make([]byte, 1)) })
		defer w.Close() // wakes it
	}
	stepBack()
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, th := range threads {
		id, _ := strconv.Atoi(th.Name())
		if now, err := unix.Getpriority(unix.PRIO_PROCESS, id); err == nil && now > 20-niceness {
			t.Errorf("thread %d of %d has niceness %d", id, len(threads), 20-now)
		}
	}
}
