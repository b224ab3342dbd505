package snapshot_test

import (
	"errors"
	"io/fs"
	"os"
	"testing"
	"time"

	"example.com/snapd/integrity"
	"example.com/snapd/internal/samplecrm"
	"example.com/snapd/snapshot"
)

// stopped ends a Run that has captured, next to an application that goes on.
func (c *counted) stopped() {
	c.t.Helper()
	r := c.run()
	c.rec.wait(c.t, "the start-up backup", func(e snapshot.Event) bool { return e.Type == snapshot.EventBackedUp })
	c.commit(3)
	c.captures()
	if err := r.wait(c.t); err != nil {
		c.t.Fatal(err)
	}
}

// startsCapturing begins captures as a service does before its check, and waits for the first.
func (c *counted) startsCapturing() (end func()) {
	c.t.Helper()
	c.stopped()
	end, err := c.m.Capture(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	c.commit(2)
	c.captures()
	return end
}

// Lost: what is committed while a service checks the database that it begins to protect.
func TestCaptureDuringRecover(t *testing.T) {
	t.Parallel()
	c := newCounted(t, "wal")
	end := c.startsCapturing()
	defer end()

	during := 0
	defer c.m.Subscribe(func(e snapshot.Event) { // the check comes after it has returned
		if e.Type != snapshot.EventStarted || e.Operation != snapshot.OpRecover {
			return
		}
		c.commit(2)
		for deadline := time.Now().Add(patience); during < c.n && time.Now().Before(deadline); {
			if all := c.points(); len(all) > 0 {
				during, _ = c.ledger(all[0].ID)
			}
		}
	})()
	rec, err := c.m.Recover(t.Context())
	if err != nil || rec.Verdict != integrity.Healthy {
		t.Fatalf("Recover: %v, %v", rec.Verdict, err)
	}
	if during != c.n {
		t.Errorf("during the recovery the newest point has %d of %d commits", during, c.n)
	}

	if _, err := c.m.Capture(t.Context()); !errors.Is(err, snapshot.ErrBusy) {
		t.Errorf("a second one: %v", err)
	}
	r := c.run()
	c.rec.wait(t, "the start-up backup", func(e snapshot.Event) bool { return e.Type == snapshot.EventBackedUp })
	end() // nothing: Run has it
	c.commit(2)
	c.captures()
	if err := r.wait(t); err != nil {
		t.Fatal(err)
	}
}

// Lost: the index of a log whose owner died, which shows how far it was committed; and the lock of the
// directory, for the next Run.
func TestCaptureWaitsForUsers(t *testing.T) {
	t.Parallel()
	c := newCounted(t, "wal")
	c.stopped()
	c.app.Close()
	end, err := c.m.Capture(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.m.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{"-wal", "-shm"} {
		if _, err := os.Stat(c.m.Database() + suffix); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a database that no program uses was opened: there is a %s", suffix)
		}
	}
	if c.app, err = samplecrm.Open(c.m.Database(), ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.app.Close() })
	c.commit(2)
	c.captures()
	end()
	r := c.run()
	c.rec.wait(t, "the start-up backup", func(e snapshot.Event) bool {
		return e.Type == snapshot.EventUnchanged || e.Type == snapshot.EventBackedUp
	})
	if err := r.wait(t); err != nil {
		t.Fatal(err)
	}
}

// Lost: a database that is damaged while it is captured is not recovered.
func TestRecoverAfterCapture(t *testing.T) {
	t.Parallel()
	c := newCounted(t, "wal")
	end := c.startsCapturing()
	defer end()
	c.app.Close()
	c.damage()
	rec, err := c.m.Recover(t.Context())
	if err != nil || rec.Action != snapshot.ActionRepaired { // by the recovery point, which has all commits
		t.Fatalf("Recover: %+v, %v", rec, err)
	}
	c.connect()
	n := 0
	if err := c.app.QueryRow("SELECT count(*) FROM ledger").Scan(&n); err != nil || n != c.n {
		t.Errorf("%d of %d commits after the recovery, %v", n, c.n, err)
	}
}
