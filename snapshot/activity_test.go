package snapshot_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/snapd/integrity"
	"example.com/snapd/internal/durable"
	"example.com/snapd/snapshot"
)

// activity returns the whole log, the newest first.
func (b *bench) activity() (all []snapshot.Activity) {
	b.t.Helper()
	for cursor := ""; ; {
		page, next, err := b.m.Activity(cursor, 3)
		if err != nil {
			b.t.Fatal(err)
		}
		if all = append(all, page...); next == "" {
			return all
		}
		cursor = next
	}
}

// deeds are the last n entries, the oldest first, as "who action outcome".
func (b *bench) deeds(n int) []string {
	b.t.Helper()
	var out []string
	for _, a := range b.activity()[:n] {
		out = append(out, fmt.Sprintf("%s %s %s", a.Who, a.Action, a.Outcome))
	}
	slices.Reverse(out)
	return out
}

// as returns a context whose caller is who.
func as(t testing.TB, who string) context.Context {
	return snapshot.WithCaller(t.Context(), snapshot.Caller{Who: who, Run: "run of " + who})
}

// Lost: an entry of something that was done, refused or failed; who did it; or what
// the history and the page need to know of it.
func TestEverythingDoneIsWrittenDown(t *testing.T) {
	t.Parallel()
	b := newBench(t, "wal", func(c *snapshot.Config) { c.LockWait = time.Second })
	ctx := as(t, "alice")
	made, err := b.m.Backup(ctx, snapshot.Manual("before import"))
	if err != nil {
		t.Fatal(err)
	}
	a := b.activity()[0]
	if a.Backup != made.ID || a.Operation != "run of alice" || a.Detail != "before import" || a.Trigger != "manual" ||
		a.DatabaseBytes != made.DatabaseBytes || a.ArchiveBytes != made.ArchiveBytes || a.DurationMS != made.DurationMS || time.Since(a.At) > time.Minute {
		t.Errorf("a backup: %+v", a)
	}
	other := b.manual()
	refused := func(err error) error {
		if !errors.Is(err, snapshot.ErrRefused) {
			return fmt.Errorf("not refused: %w", err)
		}
		return nil
	}
	missing := func(err error) error {
		if !errors.Is(err, snapshot.ErrNotFound) {
			return fmt.Errorf("found: %w", err)
		}
		return nil
	}
	for _, step := range []struct {
		what string
		do   func() error
		want string // entries, the oldest first
		code string // of the last
	}{
		{"pin", func() error { return last(b.m.SetPinned(ctx, other.ID, true)) }, "alice pin done", ""},
		{"delete a pinned one", func() error { return refused(b.m.Delete(ctx, []string{other.ID}, false)) }, "alice delete refused", "refused"},
		{"unpin", func() error { return last(b.m.SetPinned(ctx, other.ID, false)) }, "alice unpin done", ""},
		{"note", func() error { return last(b.m.SetNote(ctx, other.ID, "x")) }, "alice note done", ""},
		{"pin nothing", func() error { return missing(last(b.m.SetPinned(ctx, "none", true))) }, "alice pin failed", "not_found"},
		{"verify", func() error { return last(b.m.Verify(ctx, made.ID, integrity.LevelFull)) }, "alice verify done", ""},
		{"verify nothing", func() error { return missing(last(b.m.Verify(ctx, "none", integrity.LevelFull))) }, "alice verify failed", "not_found"},
		{"drill", func() error { return last(b.m.Drill(ctx, made.ID)) }, "alice drill done", ""},
		{"check", func() error { return last(b.m.Check(ctx, integrity.LevelQuick)) }, "alice check done", ""},
		{"recover", func() error { return last(b.m.Recover(ctx)) }, "alice check done", ""},
		{"restore", func() error {
			_, err := b.m.Restore(ctx, made.ID, snapshot.RestoreOptions{})
			return err
		}, "alice backup done, alice restore done", ""},
		{"restore to itself", func() error {
			return refused(last(b.m.Restore(ctx, made.ID, snapshot.RestoreOptions{To: b.m.Database()})))
		}, "alice restore refused", "refused"},
		{"prune", func() error { return last(b.m.Prune(t.Context(), &snapshot.Policy{})) }, "", ""},
		{"delete", func() error { return b.m.Delete(ctx, []string{other.ID}, false) }, "alice delete done", ""},
		{"rebuild", func() error { return last(b.m.Rebuild(ctx)) }, "alice rebuild done", ""},
	} {
		before := len(b.activity())
		if err := step.do(); err != nil {
			t.Errorf("%s: %v", step.what, err)
		}
		n := len(b.activity()) - before
		if got := strings.Join(b.deeds(n), ", "); got != step.want {
			t.Errorf("%s: wrote down %q, want %q", step.what, got, step.want)
		}
		if a := b.activity()[0]; step.code != a.Code && step.want != "" || step.code != "" && a.Detail == "" {
			t.Errorf("%s: %+v", step.what, a)
		}
	}
}

// Lost: what came of the operations that did not come to do anything: cancelled ones,
// and those that another one kept from it.
func TestCancelledAndBusyAreWrittenDown(t *testing.T) {
	t.Parallel()
	b := newBench(t, "wal", func(c *snapshot.Config) { c.LockWait = time.Second })
	b.manual()
	ctx, cancel := context.WithCancel(as(t, "bob"))
	inside, leave := make(chan struct{}), make(chan struct{})
	defer b.m.Subscribe(func(ev snapshot.Event) {
		if ev.Who == "bob" && ev.Phase == "compress" && ev.Done == 0 {
			close(inside)
			<-leave
		}
	})()
	ended := make(chan error, 1)
	go func() {
		_, err := b.m.Backup(ctx, snapshot.Manual(""))
		ended <- err
	}()
	<-inside
	other, err := snapshot.Open(ctx, snapshot.Config{Database: b.m.Database(), LockWait: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Backup(as(t, "carol"), snapshot.Manual("")); !errors.Is(err, snapshot.ErrBusy) {
		t.Errorf("during another operation: %v", err)
	}
	cancel()
	close(leave)
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	all := b.activity()
	if got := strings.Join(b.deeds(2), ", "); got != "carol backup failed, bob backup cancelled" || all[0].Code != "cancelled" || all[0].Detail != "stopped before its end" || all[1].Code != "busy" {
		t.Errorf("%s; %+v", got, all[:2])
	}
}

// Lost: the traces of a recovery, for a user who asks afterwards what the program did
// with the database.
func TestRecoveryIsWrittenDown(t *testing.T) {
	t.Parallel()
	b := newBench(t, "delete")
	made := b.manual()
	b.damage()
	if _, err := b.m.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	all := b.activity()
	if got := strings.Join(b.deeds(3), ", "); got != "automatic check failed, automatic recover done, automatic recover done" {
		t.Fatalf("%s: %+v", got, all)
	}
	if all[2].Code != "corrupt" || !strings.Contains(all[1].Detail, "corrupted_") || all[0].Backup != made.ID {
		t.Errorf("%+v", all[:3])
	}
}

// Lost: idleness. A scheduled look that finds nothing to do writes nothing at all;
// what was looked at is recorded with the next entry, or when Run ends.
func TestIdleRunWritesNothing(t *testing.T) {
	t.Parallel()
	later(t, func(t *testing.T) {
		b := newBench(t, "delete", func(c *snapshot.Config) { c.Interval = 6 * time.Hour })
		r := b.run()
		letPass(time.Hour)
		if got := strings.Join(b.deeds(2), ", "); got != "automatic serve started, automatic backup done" {
			t.Errorf("at the start: %s", got)
		}
		log := filepath.Join(b.m.Dir(), "activity.jsonl")
		before := readFile(t, log)
		writes := 0
		defer durable.Observe(&durable.Observer{Before: func(s durable.Step, path string) {
			if s == durable.StepRename && filepath.Dir(path) == b.m.Dir() {
				writes++
			}
		}})()
		letPass(60 * time.Hour)
		if n := len(b.rec.of(snapshot.EventUnchanged)); n != 10 {
			t.Errorf("%d looks in 60 hours", n)
		}
		if !bytes.Equal(readFile(t, log), before) || writes != 2 { // each day a share of the backups is read again
			t.Errorf("idle, and wrote %d files", writes)
		}
		b.mark("changed")
		letPass(6 * time.Hour)
		all := b.activity()
		if got := strings.Join(b.deeds(2), ", "); got != "automatic backup unchanged, automatic backup done" || all[1].Since == nil ||
			all[1].At.Sub(*all[1].Since) != 54*time.Hour || !strings.Contains(all[1].Detail, "10 times") {
			t.Errorf("%s: %+v", got, all[1])
		}
		letPass(6 * time.Hour)
		if err := r.wait(t); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := strings.Join(b.deeds(2), ", "); got != "automatic backup unchanged, automatic serve stopped" {
			t.Errorf("at the end: %s", got)
		}
	})
}

// Lost: an operation, for the log that could not be written; or the word that it could
// not, which comes once and not with every entry.
func TestLogThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	b := newBench(t, "wal")
	log := filepath.Join(b.m.Dir(), "activity.jsonl")
	victim := filepath.Join(t.TempDir(), "victim")
	writeFile(t, victim, []byte("precious"))
	if err := errors.Join(os.MkdirAll(b.m.Dir(), 0o700), os.Symlink(victim, log)); err != nil {
		t.Skipf("NOT TESTED: symbolic links cannot be made here: %v", err)
	}
	e := b.manual()
	b.manual()
	b.m.Record(snapshot.Activity{Action: "login", Outcome: "refused"})
	if w := b.rec.of(snapshot.EventWarning); len(w) != 1 || !strings.Contains(w[0].Err.Error(), log) || snapshot.Hint(w[0].Err) == "" {
		t.Errorf("warnings: %v", w)
	}
	if _, _, err := b.m.Activity("", 1); !errors.Is(err, snapshot.ErrRefused) {
		t.Errorf("reading: %v", err)
	}
	if string(readFile(t, victim)) != "precious" {
		t.Error("wrote to what the link points to")
	}
	if err := os.Remove(log); err != nil {
		t.Fatal(err)
	}
	b.m.Record(snapshot.Activity{Who: "alice", Action: "login", Outcome: "refused", Backup: e.ID})
	if got := strings.Join(b.deeds(1), ", "); got != "alice login refused" {
		t.Errorf("afterwards: %s", got)
	}
	if _, _, err := b.m.Activity("nonsense", 1); !errors.Is(err, snapshot.ErrCursor) {
		t.Errorf("a wrong cursor: %v", err)
	}
}

// Lost: the notice of what another process, or another Manager, did.
func TestRevisionSeesOthers(t *testing.T) {
	t.Parallel()
	b := newBench(t, "wal")
	other, err := snapshot.Open(t.Context(), snapshot.Config{Database: b.m.Database()})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"nothing", func() error { return nil }},
		{"backup", func() error { _, err := other.Backup(t.Context(), snapshot.Manual("")); return err }},
		{"pin", func() error { _, err := other.SetPinned(t.Context(), "latest", true); return err }},
		{"record", func() error { other.Record(snapshot.Activity{Action: "login", Outcome: "done"}); return nil }},
	} {
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.what, err)
		}
		word, err := b.m.Revision()
		if before, had := seen[word]; had || err != nil {
			t.Errorf("after %s the revision is %q, as after %s; %v", step.what, word, before, err)
		}
		seen[word] = step.what
	}
}

// Lost: in the history, what only this process knows (that it has been idle), or what
// only the log knows (backups that were removed).
func TestHistoryOfARun(t *testing.T) {
	t.Parallel()
	later(t, func(t *testing.T) {
		b := newBench(t, "delete", func(c *snapshot.Config) { c.Interval = 6 * time.Hour })
		states := func() (out []string) {
			t.Helper()
			days, err := b.m.History(5)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range days {
				out = append(out, string(d.State))
			}
			return out
		}
		if got := states(); !slices.Equal(got, []string{"none", "none", "none", "none", "none"}) {
			t.Errorf("before anything: %v", got)
		}
		r := b.run()
		letPass(72 * time.Hour)
		if got := states(); !slices.Equal(got, []string{"none", "ok", "unchanged", "unchanged", "unchanged"}) {
			t.Errorf("idle: %v", got)
		}
		if err := r.wait(t); err != nil {
			t.Fatal(err)
		}
		b.reopen()
		if err := b.m.Delete(t.Context(), b.ids(), true); err != nil {
			t.Fatal(err)
		}
		if got := states(); !slices.Equal(got, []string{"none", "ok", "unchanged", "unchanged", "unchanged"}) {
			t.Errorf("after all backups were deleted: %v", got)
		}
		letPass(48 * time.Hour)
		if got := states(); !slices.Equal(got, []string{"unchanged", "unchanged", "unchanged", "overdue", "overdue"}) {
			t.Errorf("two days without: %v", got)
		}
		if days, err := b.m.History(1 << 30); err != nil || len(days) != 366 {
			t.Errorf("%d days, %v", len(days), err)
		}
	})
}
