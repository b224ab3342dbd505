package snapshot_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/snapd/internal/testdb"
	"example.com/snapd/snapshot"
)

func init() { children["idle"] = idleChild }

// idleChild is a service that captures as it does by default, until it is killed. It does nothing else. args: database, backup directory.
func idleChild(args []string) error {
	if err := testdb.HandOverCalls(); err != nil {
		return err
	}
	m, err := snapshot.Open(context.Background(), snapshot.Config{Database: args[0], Dir: args[1], OnEvent: func(e snapshot.Event) {
		if e.Type == snapshot.EventCaptured || e.Type == snapshot.EventBackedUp {
			fmt.Println(e.Type, os.Getpid())
		}
	}})
	if err != nil {
		return err
	}
	return m.Run(context.Background())
}

// wakeUps is how often the threads of a process gave up the processor to wait.
func wakeUps(t *testing.T, pid string) (n int) {
	t.Helper()
	all, err := filepath.Glob(filepath.Join("/proc", pid, "task", "*", "status"))
	if err != nil || len(all) == 0 {
		t.Fatal(all, err)
	}
	for _, path := range all {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // the thread has ended
		}
		_, text1, _ := strings.Cut(string(text), "\nvoluntary_ctxt_switches:")
		count, err := strconv.Atoi(strings.TrimSpace(strings.SplitN(text1, "\n", 2)[0]))
		if err != nil {
			t.Fatal(err)
		}
		n += count
	}
	return n
}

// Lost: the battery and the disk of a machine on which nobody works: a service that reads, writes or wakes up for nothing.
// The application stays connected. Until a notice of the system has come, the service looks at the end of the log each second.
func TestAnIdleServiceIsIdle(t *testing.T) {
	t.Parallel()
	c := newCounted(t, "wal")
	var mu sync.Mutex
	seen := map[string]int{}
	child := testdb.WithFaults(t, filepath.Dir(c.m.Database()), func(call testdb.Call) testdb.Fault {
		if !strings.Contains(call.Name, "stat") { // that reads nothing
			mu.Lock()
			defer mu.Unlock()
			seen[call.Name+" "+filepath.Base(call.Path)]++
		}
		return testdb.Fault{}
	}, "idle", c.m.Database(), c.m.Dir())
	calls := func() (what map[string]int) {
		mu.Lock()
		defer mu.Unlock()
		what, seen = seen, map[string]int{}
		return what
	}
	child.WaitLine("backed_up")
	c.commit(1)
	pid := strings.Fields(child.WaitLine("captured"))[1]
	if len(calls()) == 0 {
		t.Fatal("no call was seen: this test cannot fail")
	}
	const seconds = 2
	rests := func(what string, enough func(calls map[string]int, wakeUps int) bool) {
		t.Helper()
		for end := time.Now().Add(patience); ; {
			calls()
			before := wakeUps(t, pid)
			time.Sleep(seconds * time.Second)
			made, woke := calls(), wakeUps(t, pid)-before
			if enough(made, woke) {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("%s: in %d seconds without a commit it woke up %d times, and made %v", what, seconds, woke, made)
			}
		}
	}
	rests("before a notice", func(made map[string]int, _ int) bool {
		looks := made["pread64 data.db-shm"]
		delete(made, "pread64 data.db-shm")
		return looks <= seconds+1 && len(made) == 0
	})
	c.commit(1)
	child.WaitLine("captured")
	rests("after a notice", func(made map[string]int, woke int) bool { return woke <= seconds && len(made) == 0 })
}
