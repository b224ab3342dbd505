package snapshot_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/integrity"
	"example.com/snapd/internal/catalogfile"
	"example.com/snapd/internal/testdb"
	"example.com/snapd/snapshot"
)

// operation is one call, and what is prepared before it.
type operation struct {
	name   string // of the case
	op     string
	before func(b *bench) // prepares the bench; nil for nothing special
	do     func(b *bench, ctx context.Context) error
	err    error // it ends with
	begins bool  // there is a started event
}

// Lost: an operation that a page shows as running for ever, or one that is never
// seen: every call has exactly one event that ends it, after the one that began it.
func TestEveryOperationBeginsAndEnds(t *testing.T) {
	t.Parallel()
	for _, c := range everyOperation() {
		t.Run(c.op+"/"+c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, "delete", func(cfg *snapshot.Config) {
				if c.err == snapshot.ErrBusy {
					cfg.LockWait = 200 * time.Millisecond
				}
			})
			b.several(2)
			if c.before != nil {
				c.before(b)
			}
			var events []snapshot.Event
			cancel := b.m.Subscribe(func(ev snapshot.Event) {
				if string(ev.Operation) == c.op && ev.Trigger != "pre-restore" {
					events = append(events, ev)
				}
			})
			err := c.do(b, t.Context())
			cancel()
			if !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
				t.Errorf("%v, want %v", err, c.err)
			}
			started, ended := 0, 0
			for i, ev := range events {
				switch {
				case ev.Type == snapshot.EventStarted:
					started++
					if i > 0 {
						t.Errorf("%s comes before the start", events[0].Type)
					}
				case ev.Ends():
					ended++
					if i != len(events)-1 {
						t.Errorf("%s comes after the end", events[i+1].Type)
					}
					if (ev.Type == snapshot.EventFailed) != (err != nil) && c.op != "check" {
						t.Errorf("%s, and %v", ev.Type, err)
					}
				}
			}
			if started > 1 || started == 1 != c.begins || ended != 1 {
				t.Errorf("%d started, %d ended: %v", started, ended, events)
			}
		})
	}
}

// everyOperation has the calls of the test: each well, busy, and as it can fail.
func everyOperation() []operation {
	cancelled := func(phase string, do func(b *bench, ctx context.Context) error) func(*bench, context.Context) error {
		return func(b *bench, _ context.Context) error {
			ctx, stop := b.cancelledIn(phase)
			defer stop()
			return do(b, ctx)
		}
	}
	with := func(id string, do func(b *bench, ctx context.Context, id string) error) func(*bench, context.Context) error {
		return func(b *bench, ctx context.Context) error { return do(b, ctx, id) }
	}
	backup := func(req snapshot.Request) func(*bench, context.Context) error {
		return func(b *bench, ctx context.Context) error { _, err := b.m.Backup(ctx, req); return err }
	}
	verify := func(b *bench, ctx context.Context, id string) error {
		_, err := b.m.Verify(ctx, id, integrity.LevelQuick)
		return err
	}
	drill := func(b *bench, ctx context.Context, id string) error { _, err := b.m.Drill(ctx, id); return err }
	check := func(b *bench, ctx context.Context) error { _, err := b.m.Check(ctx, integrity.LevelQuick); return err }
	restore := func(o snapshot.RestoreOptions) func(*bench, context.Context, string) error {
		return func(b *bench, ctx context.Context, id string) error {
			_, err := b.m.Restore(ctx, id, o)
			return err
		}
	}
	recovery := func(b *bench, ctx context.Context) error { _, err := b.m.Recover(ctx); return err }
	prune := func(last int) func(*bench, context.Context) error {
		return func(b *bench, ctx context.Context) error {
			_, err := b.m.Prune(ctx, &snapshot.Policy{Last: last})
			return err
		}
	}
	remove := func(b *bench, ctx context.Context, id string) error {
		return b.m.Delete(ctx, []string{b.resolve(id)}, false)
	}
	rebuild := func(b *bench, ctx context.Context) error { _, err := b.m.Rebuild(ctx); return err }
	auto := snapshot.Auto(catalog.TriggerSchedule)
	rot := func(b *bench) {
		e, err := b.m.Find("latest")
		if err != nil {
			b.t.Fatal(err)
		}
		b.damageArchive(e)
	}
	list := []operation{
		{"manual", "backup", nil, backup(snapshot.Manual("")), nil, true},
		{"new", "backup", func(b *bench) { b.mark("new") }, backup(auto), nil, true},
		{"the same image", "backup", func(b *bench) { b.auto() }, backup(auto), nil, true},
		{"missing", "backup", func(b *bench) { b.remove() }, backup(auto), snapshot.ErrMissing, false},
		{"damaged", "backup", func(b *bench) { b.damage() }, backup(auto), snapshot.ErrCorrupt, true},
		{"cancelled", "backup", nil, cancelled("compress", backup(snapshot.Manual(""))), context.Canceled, true},
		{"good", "verify", nil, with("latest", verify), nil, true},
		{"none", "verify", nil, with("nosuch", verify), snapshot.ErrNotFound, false},
		{"damaged", "verify", rot, with("latest", verify), snapshot.ErrCorrupt, true},
		{"cancelled", "verify", nil, cancelled("read back", with("latest", verify)), context.Canceled, true},
		{"good", "drill", nil, with("latest", drill), nil, true},
		{"none", "drill", nil, with("nosuch", drill), snapshot.ErrNotFound, false},
		{"damaged", "drill", rot, with("latest", drill), snapshot.ErrCorrupt, true},
		{"cancelled", "drill", nil, cancelled("unpack", with("latest", drill)), context.Canceled, true},
		{"healthy", "check", nil, check, nil, true},
		{"missing", "check", func(b *bench) { b.remove() }, check, nil, true},
		{"damaged", "check", func(b *bench) { b.damage() }, check, nil, true},
		{"cancelled", "check", nil, func(b *bench, ctx context.Context) error {
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			return check(b, ctx)
		}, context.Canceled, true},
		{"online", "restore", nil, with("latest", restore(snapshot.RestoreOptions{})), nil, true},
		{"offline", "restore", nil, with("latest", restore(snapshot.RestoreOptions{Offline: true})), nil, true},
		{"damaged database", "restore", func(b *bench) { b.damage() }, with("latest", restore(snapshot.RestoreOptions{})), nil, true},
		{"none", "restore", nil, with("nosuch", restore(snapshot.RestoreOptions{})), snapshot.ErrNotFound, false},
		{"damaged", "restore", rot, with("latest", restore(snapshot.RestoreOptions{})), snapshot.ErrCorrupt, true},
		{"stale", "restore", nil, with("latest", restore(snapshot.RestoreOptions{Plan: &snapshot.RestorePlan{}})), snapshot.ErrStale, true},
		{"cancelled", "restore", nil, cancelled("write", with("latest", restore(snapshot.RestoreOptions{}))), context.Canceled, true},
		{"healthy", "recover", nil, recovery, nil, true},
		{"damaged", "recover", func(b *bench) { b.damage() }, recovery, nil, true},
		{"missing", "recover", func(b *bench) { b.remove() }, recovery, nil, true},
		{"hopeless", "recover", func(b *bench) { b.damage(); b.burn() }, recovery, snapshot.ErrNoUsableBackup, true},
		{"cancelled", "recover", func(b *bench) { b.damage() }, cancelled("unpack", recovery), context.Canceled, true},
		{"some", "prune", nil, prune(1), nil, true},
		{"nothing", "prune", nil, prune(9), nil, true},
		{"one", "delete", nil, with("latest", remove), nil, true},
		{"none", "delete", nil, with("nosuch", remove), snapshot.ErrNotFound, false},
		{"pinned", "delete", func(b *bench) { b.pin() }, with("latest", remove), snapshot.ErrRefused, false},
		{"good", "rebuild", nil, rebuild, nil, true},
	}
	for _, c := range list[:len(list):len(list)] {
		if c.op == "check" { // takes no lock of ours
			continue
		}
		c.name, c.err, c.begins, c.before = "busy with "+c.name, snapshot.ErrBusy, false, func(b *bench) { b.occupy() }
		list = append(list, c)
	}
	return list
}

// resolve returns the id that "latest" stands for; another one stays.
func (b *bench) resolve(id string) string {
	if e, err := b.m.Find(id); err == nil {
		return e.ID
	}
	return id
}

// occupy holds the operation lock, as another process would, until the test ends.
func (b *bench) occupy() {
	b.t.Helper()
	c, err := catalogfile.Open(b.m.Dir(), "data")
	if err != nil {
		b.t.Fatal(err)
	}
	lock, err := c.LockOperation(b.t.Context(), true, "test")
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		if err := lock.Unlock(); err != nil {
			b.t.Error(err)
		}
	})
}

func (b *bench) pin() {
	b.t.Helper()
	if _, err := b.m.SetPinned(b.t.Context(), "latest", true); err != nil {
		b.t.Fatal(err)
	}
}

// burn damages every archive.
func (b *bench) burn() {
	b.t.Helper()
	all, err := b.m.Backups()
	if err != nil {
		b.t.Fatal(err)
	}
	for _, e := range all {
		b.damageArchive(e)
	}
	testdb.Damaged(b.t, b.m.Database())
	if _, err := os.Stat(b.m.Database()); err != nil {
		b.t.Fatal(err)
	}
}

// Lost: a backup that was made and proven, reported as failed for the pruning that
// followed it; or the failure of that pruning, which has an id and an event of its own.
func TestPruneThatFailsLeavesTheBackup(t *testing.T) {
	t.Parallel()
	b := newBench(t, "wal", func(c *snapshot.Config) { c.Retention = snapshot.Policy{Last: 1} })
	b.auto()
	b.mark("new")
	ctx, cancel := context.WithCancel(as(t, "alice"))
	defer cancel()
	var made, pruned snapshot.Event
	defer b.m.Subscribe(func(ev snapshot.Event) {
		switch {
		case ev.Type == snapshot.EventBackedUp:
			made = ev
			cancel()
		case ev.Ends():
			pruned = ev
		}
	})()
	e, err := b.m.Backup(ctx, snapshot.Auto(snapshot.TriggerSchedule))
	if err != nil || e.ID != made.Backup || !e.Usable() {
		t.Errorf("the backup: %+v, %v", e, err)
	}
	if pruned.Operation != snapshot.OpPrune || pruned.Type != snapshot.EventFailed || pruned.Run == "" || pruned.Run == made.Run || pruned.Who != "alice" {
		t.Errorf("the pruning: %v of run %q", pruned, pruned.Run)
	}
	if a := b.activity()[0]; a.Action != "prune" || a.Outcome != "cancelled" || a.Operation != pruned.Run {
		t.Errorf("%+v", a)
	}
}

// Lost: an event on one line of a host's log, with what it is about.
func TestEventPrintsAsOneLine(t *testing.T) {
	t.Parallel()
	ev := snapshot.Event{At: time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC), Type: snapshot.EventFailed, Operation: snapshot.OpBackup,
		Trigger: "manual", Who: "alice", Message: "backup failed", Err: errors.New("disk\nfull")}
	want := `2026-11-25T12:00:00Z backup failed operation=backup trigger=manual who=alice error="disk; full"`
	if got := ev.String(); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	var log strings.Builder
	textLogger(&log).Info("host", "event", ev)
	if !strings.Contains(log.String(), `event.type=failed event.message="backup failed" event.operation=backup`) {
		t.Error(log.String())
	}
}
