package snapshot_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"example.com/snapd/catalog"
	"example.com/snapd/snapshot"
)

// several makes n automatic backups, each of another content, oldest first.
func (b *bench) several(n int) (made []snapshot.Backup) {
	b.t.Helper()
	for i := range n {
		b.mark("number " + string(rune('a'+i)))
		made = append(made, b.auto())
	}
	return made
}

// Lost: disk space without end, or backups that the policy promised to keep.
func TestRetentionByDefault(t *testing.T) {
	t.Parallel()
	b := newBench(t, "wal")
	manual := b.manual()
	made := b.several(12)
	want := []string{}
	for _, e := range slices.Backward(made[2:]) {
		want = append(want, e.ID)
	}
	want = append(want, manual.ID)
	if got := b.ids(); !slices.Equal(got, want) {
		t.Errorf("kept %v\nwant %v", got, want)
	}
	if files := glob(t, b.m.Dir(), "data_backup_*.zst"); len(files) != 11 {
		t.Errorf("%d archives: %v", len(files), files)
	}
	removed := b.rec.of(snapshot.EventRemoved)
	if len(removed) != 2 || removed[0].Backup != made[0].ID || !strings.HasPrefix(removed[0].Message, "removed old backup ") {
		t.Errorf("removals %+v", removed)
	}
	if b.latest() != made[11].File || b.markIn(made[2].ID) != "number c" {
		t.Errorf("latest %s; the oldest kept one has %q", b.latest(), b.markIn(made[2].ID))
	}
}

// Lost: backups, to a dry run; or trust, when it announces something else than
// the real one does.
func TestPrune(t *testing.T) {
	t.Parallel()
	b := newBench(t, "wal")
	manual := b.manual()
	made := b.several(5)
	if _, err := b.m.SetPinned(t.Context(), made[0].ID, true); err != nil {
		t.Fatal(err)
	}
	policy := &snapshot.Policy{Last: 2}
	before := b.stored()
	plan, err := b.m.PlanPrune(policy)
	if err != nil {
		t.Fatal(err)
	}
	if b.stored() != before {
		t.Error("a dry run changed the directory")
	}
	keep := map[string]bool{made[4].ID: true, made[3].ID: true, made[0].ID: true, manual.ID: true}
	for i, d := range plan {
		if d.Keep != keep[d.ID] || d.Reason == "" {
			t.Errorf("decision %+v", d)
		}
		wantKeys(t, d, "id", "keep", "reason", "until")
		if by := made[4].ID == d.ID || made[3].ID == d.ID; by != (d.Until != nil) {
			t.Errorf("%s (%s): until %v", d.ID, d.Reason, d.Until)
		}
		plan[i].Until = nil // only a plan predicts
	}
	done, err := b.m.Prune(t.Context(), policy)
	if err != nil || !slices.Equal(done, plan) {
		t.Errorf("done %v %v\nplanned %v", done, err, plan)
	}
	if got, want := b.ids(), []string{made[4].ID, made[3].ID, made[0].ID, manual.ID}; !slices.Equal(got, want) {
		t.Errorf("left %v, want %v", got, want)
	}
	if files := glob(t, b.m.Dir(), "data_backup_*.zst"); len(files) != 4 {
		t.Errorf("archives %v", files)
	}
	for _, e := range made {
		if e.ID == made[1].ID || e.ID == made[2].ID {
			continue
		}
		if _, err := b.m.Verify(t.Context(), e.ID, 0); err != nil {
			t.Errorf("a kept backup is damaged: %v", err)
		}
	}
	if again, err := b.m.Prune(t.Context(), nil); err != nil || len(again) != 4 || slices.ContainsFunc(again, func(d snapshot.Decision) bool { return !d.Keep }) {
		t.Errorf("the Config's policy then: %v %v", again, err)
	}
}

// Lost: the last good backup, deleted by hand.
func TestDelete(t *testing.T) {
	t.Parallel()
	b := newBench(t, "wal")
	made := b.several(3)
	pinned, err := b.m.SetPinned(t.Context(), made[0].ID, true)
	if err != nil || !pinned.Pinned {
		t.Fatalf("pin: %+v %v", pinned, err)
	}
	before := b.stored()
	refused(t, "a pinned backup", b.m.Delete(t.Context(), []string{made[1].ID, made[0].ID}, false))
	refused(t, "all backups", b.m.Delete(t.Context(), []string{made[2].ID, made[1].ID, made[2].ID, made[0].ID}, false))
	if b.stored() != before {
		t.Error("a refused delete changed something")
	}

	if err := b.m.Delete(t.Context(), []string{"latest"}, false); err != nil {
		t.Fatal(err)
	}
	if b.latest() != made[1].File || len(glob(t, b.m.Dir(), made[2].File)) != 0 {
		t.Errorf("latest %s after the newest was deleted", b.latest())
	}
	if _, err := b.m.Find(made[2].ID); !errors.Is(err, snapshot.ErrNotFound) {
		t.Errorf("deleted and still found: %v", err)
	}
	if _, err := b.m.SetPinned(t.Context(), made[0].ID, false); err != nil {
		t.Fatal(err)
	}
	if err := b.m.Delete(t.Context(), []string{made[0].ID}, false); err != nil {
		t.Errorf("an unpinned backup: %v", err)
	}
	refused(t, "the last verified one", b.m.Delete(t.Context(), []string{made[1].ID}, false))
	if err := b.m.Delete(t.Context(), []string{made[1].ID}, true); err != nil {
		t.Errorf("by force: %v", err)
	}
	if len(b.ids()) != 0 || b.latest() != "" || len(glob(t, b.m.Dir(), "*.zst")) != 0 {
		t.Errorf("left: %v, latest %q", b.ids(), b.latest())
	}
	if s := b.status(); s.State != snapshot.Unprotected {
		t.Errorf("status without backups: %+v", s)
	}
}

// Lost: the good backup, when only damaged ones would be left.
func TestDeleteCountsOnlyVerified(t *testing.T) {
	t.Parallel()
	b := newBench(t, "wal")
	made := b.several(2)
	b.damageArchive(made[1])
	if _, err := b.m.Verify(t.Context(), made[1].ID, 0); !errors.Is(err, snapshot.ErrCorrupt) {
		t.Fatal(err)
	}
	refused(t, "the only good one", b.m.Delete(t.Context(), []string{made[0].ID}, false))
	if err := b.m.Delete(t.Context(), []string{made[1].ID}, false); err != nil {
		t.Errorf("the damaged one: %v", err)
	}
}

// Lost: what people wrote down about a backup.
func TestNotes(t *testing.T) {
	t.Parallel()
	b := newBench(t, "wal")
	e := b.backup(snapshot.Manual("before import"))
	changed, err := b.m.SetNote(t.Context(), e.ID, "after \"all\" – ✓\n")
	if err != nil || changed.Note != "after \"all\" – ✓\n" {
		t.Errorf("note %q %v", changed.Note, err)
	}
	wantBackupKeys(t, changed)
	if _, err := b.m.SetNote(t.Context(), "latest", strings.Repeat("x", snapshot.MaxNote+1)); err == nil {
		t.Error("a note beyond the limit was taken")
	}
	b.reopen()
	if found, err := b.m.Find(e.ID); err != nil || found.Note != changed.Note || found.Pinned {
		t.Errorf("found %+v %v", found, err)
	}
	if _, err := b.m.SetNote(t.Context(), e.ID, strings.Repeat("x", snapshot.MaxNote)); err != nil {
		t.Errorf("a note of the largest size: %v", err)
	}
	if _, err := b.m.Backup(t.Context(), snapshot.Manual(strings.Repeat("x", snapshot.MaxNote+1))); err == nil {
		t.Error("a backup with a note beyond the limit was made")
	}
	if v, err := b.m.Verify(t.Context(), e.ID, 0); err != nil || v.Verification.State != catalog.Verified {
		t.Errorf("verify: %+v %v", v, err)
	}
}

// Lost: the truth about what is left, for who stopped a removal of several backups.
func TestDeleteThatIsStopped(t *testing.T) {
	b := newBench(t, "wal")
	made := b.several(3)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	said := ""
	defer b.m.Subscribe(func(ev snapshot.Event) {
		switch ev.Type {
		case snapshot.EventRemoved:
			stop()
		case snapshot.EventFailed:
			said = ev.Message
		}
	})()
	if err := b.m.Delete(ctx, []string{made[0].ID, made[1].ID}, false); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if n := len(b.ids()); n != 2 {
		t.Fatalf("%d backups are left", n)
	}
	if !strings.Contains(said, "stopped") || strings.Contains(said, "nothing was changed") {
		t.Errorf("one was removed, and the event says %q", said)
	}
	// The API shows it as the log has it.
	if ops, err := b.m.Operations([]snapshot.Operation{snapshot.OpDelete}, 1); err != nil || ops[0].Outcome != "cancelled" || ops[0].Hint != "what it had done by then stays" {
		t.Errorf("%+v %v", ops, err)
	}
}

// Lost: a backup that was pinned while the retention policy was carried out.
func TestPinDuringPrune(t *testing.T) {
	b := newBench(t, "wal")
	made := b.several(4)
	other, err := snapshot.Open(t.Context(), snapshot.Config{Database: b.m.Database()})
	if err != nil {
		t.Fatal(err)
	}
	pinned := ""
	defer b.m.Subscribe(func(ev snapshot.Event) {
		if ev.Type != snapshot.EventRemoved || pinned != "" {
			return
		}
		if pinned = made[0].ID; ev.Backup == pinned {
			pinned = made[1].ID
		}
		if _, err := other.SetPinned(t.Context(), pinned, true); err != nil {
			t.Error(err)
		}
	})()
	if _, err := b.m.Prune(t.Context(), &snapshot.Policy{Last: 1}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.m.Find(pinned); pinned == "" || err != nil {
		t.Errorf("pinned %q: %v", pinned, err)
	}
}

// Lost: the backup that the database was restored from, when it is an old automatic one and
// the ones that were made after it fill the quota.
func TestPruneKeepsWhatWasRestored(t *testing.T) {
	b := newBench(t, "wal")
	b.mark("wanted")
	wanted := b.auto()
	for _, mark := range []string{"mistake", "more of it"} {
		b.mark(mark)
		b.auto()
	}
	if _, err := b.m.Restore(t.Context(), wanted.ID, snapshot.RestoreOptions{}); err != nil {
		t.Fatal(err)
	}
	policy := &snapshot.Policy{Last: 1}
	plan, err := b.m.PlanPrune(policy)
	if err != nil {
		t.Fatal(err)
	}
	done, err := b.m.Prune(t.Context(), policy)
	if err != nil {
		t.Fatal(err)
	}
	for _, decisions := range [][]snapshot.Decision{plan, done} {
		i := slices.IndexFunc(decisions, func(d snapshot.Decision) bool { return d.ID == wanted.ID })
		if i < 0 || !decisions[i].Keep || !strings.Contains(decisions[i].Reason, "restored") {
			t.Errorf("decisions %+v", decisions)
		}
	}
	if e, err := b.m.Find("latest"); err != nil || e.ID != wanted.ID {
		t.Errorf("latest is %s, %v", e.ID, err)
	}
}
