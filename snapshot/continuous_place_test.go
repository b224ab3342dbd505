package snapshot_test

import (
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"example.com/snapd/snapshot"
)

// Lost: captures, written into a directory in the place of the backup directory, whose disk is
// unmounted; or the change log of the other database that is there.
func TestCapturesWhereTheDirectoryGoesAway(t *testing.T) {
	t.Parallel()
	other := newCounted(t, "wal")
	r := other.run()
	other.rec.wait(t, "the start-up backup", func(e snapshot.Event) bool { return e.Type == snapshot.EventBackedUp })
	other.commit(1)
	other.captures()
	if err := r.wait(t); err != nil {
		t.Fatal(err)
	}
	for name, replace := range map[string]func(dir, away string) error{
		"gone":          func(string, string) error { return nil },
		"empty":         func(dir, _ string) error { return os.MkdirAll(filepath.Join(dir, "changes", "1"), 0o700) },
		"another's own": func(dir, _ string) error { return os.CopyFS(dir, os.DirFS(other.m.Dir())) },
		"copied":        func(dir, away string) error { return os.CopyFS(dir, os.DirFS(away)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var later atomic.Int64 // hours
			c := newCounted(t, "wal", func(cfg *snapshot.Config) {
				cfg.Now = func() time.Time { return time.Now().Add(time.Duration(later.Load()) * time.Hour) }
			})
			r := c.run()
			c.rec.wait(t, "the start-up backup", func(e snapshot.Event) bool { return e.Type == snapshot.EventBackedUp })
			c.commit(3)
			c.captures()
			dir, away := c.m.Dir(), c.m.Dir()+".away"
			if err := errors.Join(os.Rename(dir, away), replace(dir, away)); err != nil {
				t.Fatal(err)
			}
			before := listing(t, dir)
			if name != "copied" {
				later.Store(2) // segments are sealed, and the retention of points is due
				c.commit(2)
				stopped, kept := false, false
				c.rec.wait(t, "captures that stop, and a retention that is not carried out", func(e snapshot.Event) bool {
					stopped = stopped || e.Type == snapshot.EventChainGap && e.Err != nil
					kept = kept || e.Type == snapshot.EventWarning && e.Err != nil
					return stopped && kept
				})
				if after := listing(t, dir); after != before {
					t.Errorf("made in its place:\n%s\nbefore:\n%s", after, before)
				}
				if err := errors.Join(os.RemoveAll(dir), os.Rename(away, dir)); err != nil {
					t.Fatal(err)
				}
			}
			c.commit(2)
			c.captures()
			if err := r.wait(t); err != nil {
				t.Fatal(err)
			}
			c.points()
		})
	}
}
