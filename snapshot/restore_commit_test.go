package snapshot_test

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"example.com/snapd/internal/pages"
	"example.com/snapd/snapshot"
)

// Lost: every row, where a commit fails after its point of no return: the database then
// holds the backup, and the only copy of what it replaced is the safety backup.
func TestRestoreWhoseCommitFails(t *testing.T) {
	for _, mode := range []string{"wal", "delete"} {
		for _, c := range []struct {
			name    string
			commits bool // before the error
			locked  bool // afterwards, by another process
			marked  string
			says    string
		}{
			{"after its point of no return", true, false, "yesterday", "the restore was committed"},
			{"before it", false, false, "today", "the state from before the restore"},
			{"and the database cannot be read", true, true, "yesterday", "whether the restore was committed is not known"},
		} {
			if c.locked && mode == "wal" {
				continue // there a lock keeps no reader away
			}
			t.Run(mode+"/"+c.name, func(t *testing.T) {
				b := newBench(t, mode, func(c *snapshot.Config) { c.LockWait = time.Second })
				b.mark("yesterday")
				e := b.manual()
				b.mark("today")
				unlock := func() {}
				snapshot.SetCommit(t, func(tx *pages.WriteTx, ctx context.Context) error {
					err := syscall.EIO
					if c.commits {
						if err := tx.Commit(ctx); err != nil {
							t.Error(err)
						}
					}
					if c.locked {
						unlock = shell(t, b.m.Database(), "BEGIN EXCLUSIVE")
					}
					return err
				})
				_, err := b.m.Restore(t.Context(), e.ID, snapshot.RestoreOptions{})
				unlock()
				if !errors.Is(err, syscall.EIO) || !strings.Contains(err.Error(), c.says) {
					t.Fatalf("error %v, want EIO and %q", err, c.says)
				}
				if got := b.marked(); got != c.marked {
					t.Errorf("the database says %q, want %q", got, c.marked)
				}
				safety, ferr := b.m.Find(b.ids()[0])
				if ferr != nil || safety.Trigger != snapshot.TriggerPreRestore || !safety.Pinned || !strings.Contains(err.Error(), safety.ID) {
					t.Fatalf("safety backup %+v, %v; error %v", safety, ferr, err)
				}
				if last := b.status().LastRestore; (last != nil) != (c.commits && !c.locked) {
					t.Errorf("last restore %+v", last)
				}
				snapshot.SetCommit(t, (*pages.WriteTx).Commit)
				b.auto() // the next operation finds out
				if last := b.status().LastRestore; (last != nil) != c.commits {
					t.Errorf("last restore, after another operation: %+v", last)
				}
				b.restores(safety.ID, snapshot.RestoreOptions{})
				if got := b.marked(); got != "today" {
					t.Errorf("undone, the database says %q", got)
				}
			})
		}
	}
}
