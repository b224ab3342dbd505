package snapshot_test

import (
	"path/filepath"
	"strings"
	"testing"

	"example.com/snapd/snapshot"
)

// Lost otherwise: the way back from a restore whose process died in the instant after
// its commit, and the descent that recovery goes by: it would put back, as the newest
// backup, the very state that the restore had replaced.
func TestPendingRestoreIsResolved(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"wal", "delete"} {
		for point, took := range map[string]bool{"pages replaced": false, "restore pending": false, "committed": true} {
			t.Run(mode+"/"+point, func(t *testing.T) {
				b := newBench(t, mode)
				before := b.backup(snapshot.Manual(manualNote))
				b.mark("changed")
				dir := filepath.Join(t.TempDir(), "work") // which this process has never opened
				command(t, "cp", "-a", filepath.Dir(b.m.Database()), dir)
				if got := crashAt(t, "restore online", filepath.Join(dir, "data.db"), point); got != point {
					t.Fatalf("died at %q", got)
				}
				b = benchOn(t, filepath.Join(dir, "data.db"))
				// The application starts first, and changes its schema, too.
				b.exec("CREATE TABLE later(a)")
				if _, err := b.m.Recover(t.Context()); err != nil {
					t.Fatal(err)
				}
				ops, err := b.m.Operations([]snapshot.Operation{snapshot.OpRestore}, 9)
				if err != nil || len(ops) != 1 {
					t.Fatalf("%+v, %v", ops, err)
				}
				last := b.status().LastRestore
				if !took {
					if op := ops[0]; op.Outcome != "failed" || op.Code != "interrupted" || op.Backup != before.ID || op.Ended.IsZero() {
						t.Errorf("the restore was not committed: %+v", op)
					}
					if last != nil {
						t.Errorf("a restore that was not committed is on record: %+v", last)
					}
					if got := b.marked(); got != "changed" {
						t.Errorf("the database says %q", got)
					}
					return
				}
				if last == nil || last.ID != before.ID || last.Undo == nil {
					t.Fatalf("the last restore is %+v, want %s with an undo", last, before.ID)
				}
				if op := ops[0]; op.Outcome != "done" || !strings.Contains(string(op.Result), `"safety_backup":"`+*last.Undo+`"`) {
					t.Errorf("the restore was committed: %+v %s", op, op.Result)
				}
				safety, err := b.m.Find(*last.Undo)
				if err != nil || !safety.Pinned {
					t.Fatalf("undo %s: %+v, %v", *last.Undo, safety, err)
				}
				if _, err := b.m.Restore(t.Context(), safety.ID, snapshot.RestoreOptions{}); err != nil {
					t.Fatal(err)
				}
				if got := b.marked(); got != "changed" {
					t.Errorf("after the undo the database says %q", got)
				}
				b.noDebris()
			})
		}
	}
}
