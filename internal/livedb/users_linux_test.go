package livedb

import (
	"os/exec"
	"testing"
)

// A child has every descriptor of its parent until it runs another program: no use of
// its own, and over in an instant.
func TestUsersAreNoChildrenBeforeExec(t *testing.T) {
	path := makeDB(t, "CREATE TABLE t(a)")
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	done := make(chan error)
	go func() {
		defer close(done)
		for range 300 {
			if err := exec.Command("true").Run(); err != nil {
				done <- err
				return
			}
		}
	}()
	for {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			return
		default:
		}
		if users, known, err := Users(path); err != nil || !known || len(users) != 0 {
			t.Errorf("users %v, known %v, %v", users, known, err)
			<-done
			return
		}
	}
}
