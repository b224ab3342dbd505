package snapshot_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"example.com/snapd/internal/activity"
	"example.com/snapd/snapshot"
)

// Lost: that nothing has happened to the database, for one who fears that half of a
// restore did; and where its state is, where that is not certain.
func TestRestoreThatHadNoEffect(t *testing.T) {
	t.Parallel()
	later(t, func(t *testing.T) {
		b := newBench(t, "delete")
		first := b.manual()
		b.mark("changed")
		at := time.Now()
		if err := os.Chtimes(b.m.Database(), at, at); err != nil {
			t.Fatal(err)
		}
		sleepHours(1)
		started := time.Now().UTC()
		// As a restore does first.
		saved := b.backup(snapshot.Request{Kind: snapshot.KindAuto, Trigger: snapshot.TriggerPreRestore, Pin: true})
		for _, c := range []struct{ id, hint string }{{"a", "as it was before; restore again"}, {"b", "what it held before is in " + saved.ID}} {
			id, hint := c.id, c.hint
			err := activity.New(b.m.Dir()).Write(activity.Record{Mark: activity.Mark{Line: activity.Started, Quiet: true}, Entry: activity.Entry{At: started,
				Who: "alice", Action: "restore", Operation: id, Backup: first.ID, Outcome: activity.Running}})
			if err != nil {
				t.Fatal(err)
			}
			if id == "b" {
				b.mark("changed again")
			}
			b.reopen()
			op, err := b.m.Operation(id)
			if err != nil || op.Outcome != "failed" || op.Code != "interrupted" || !strings.Contains(op.Hint, hint) || op.Who != "alice" || op.Ended.IsZero() {
				t.Errorf("%s: %+v, want the hint %q; %v", id, op, hint, err)
			}
			if evs := b.rec.of(snapshot.EventFailed); len(evs) == 0 || evs[len(evs)-1].Run != id {
				t.Errorf("no event says so: %v", evs)
			}
		}
	})
}
