package snapshot_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"example.com/snapd/snapshot"
)

// Lost: the copy that a person asked for; and what there is to know of it, in event, log and list.
func TestSyncRemote(t *testing.T) {
	t.Parallel()
	at, url := place(t)
	b := newBench(t, "wal", func(cfg *snapshot.Config) { cfg.Remotes = []snapshot.Remote{{Name: "disk", URL: url}} })
	first := b.manual()
	ctx := snapshot.WithCaller(t.Context(), snapshot.Caller{Who: "alice", Run: "r1"})
	s, err := b.m.SyncRemote(ctx, "disk") // without a Run
	if err != nil || s.Name != "disk" || s.State != snapshot.RemoteCurrent || s.Backups != 1 || *s.Newest != first.ID {
		t.Fatalf("%+v, %v", s, err)
	}
	op, err := b.m.Operation("r1")
	if err != nil || op.Kind != "sync" || op.Outcome != "done" || op.Remote != "disk" || !strings.Contains(string(op.Result), `"backups":1`) {
		t.Errorf("%+v, %v", op, err)
	}
	if now, err := b.m.Find("latest"); err != nil || len(now.Copies) != 1 || now.Copies[0].Remote != "disk" {
		t.Errorf("%+v, %v", now, err)
	}
	if _, err := b.m.SyncRemote(ctx, "nowhere"); !errors.Is(err, snapshot.ErrNotFound) {
		t.Error(err)
	}
	// Callers branch on why it failed.
	if err := os.Rename(at, at+".away"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.m.SyncRemote(snapshot.WithCaller(t.Context(), snapshot.Caller{Who: "alice", Run: "r2"}), "disk"); snapshot.Code(err) != "unreachable" {
		t.Errorf("code %q of %v", snapshot.Code(err), err)
	}
	if op, err := b.m.Operation("r2"); err != nil || op.Code != "unreachable" {
		t.Errorf("%+v, %v", op, err)
	}
	if err := os.Rename(at+".away", at); err != nil {
		t.Fatal(err)
	}
	// The Run that is at work does it; another Manager may not.
	b.mark("for the start-up backup")
	stop := b.running()
	b.rec.wait(t, "a copy by the Run", func(e snapshot.Event) bool {
		return e.Type == snapshot.EventStored && e.Backup != "" && e.Backup != first.ID
	})
	if _, err := b.m.SyncRemote(ctx, "disk"); err != nil {
		t.Error(err)
	}
	other, err := snapshot.Open(t.Context(), b.cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.SyncRemote(t.Context(), "disk"); !errors.Is(err, snapshot.ErrBusy) || snapshot.Hint(err) == "" {
		t.Error(err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	for _, e := range b.rec.of(snapshot.EventDone, snapshot.EventFailed) {
		if e.Operation == snapshot.OpSync && e.Remote == "" {
			t.Errorf("which remote? %s", e)
		}
	}
}

// Lost: protection, by a new configuration that is wrong or that nobody goes on with.
func TestReloadOfRemotes(t *testing.T) {
	t.Parallel()
	_, first := place(t)
	at, second := place(t)
	b := newBench(t, "wal", func(cfg *snapshot.Config) { cfg.Remotes = []snapshot.Remote{{Name: "a", URL: first}} })
	stop := b.running()
	b.sent("a")
	two := b.cfg
	two.Remotes = append([]snapshot.Remote{{Name: "b", URL: second}}, b.cfg.Remotes...)
	if err := b.m.Reload(two); err != nil {
		t.Fatal(err)
	}
	b.sent("b")
	wrong := two
	wrong.Remotes = []snapshot.Remote{{Name: "a", URL: first}, {Name: "b", URL: second, RecipientsFile: filepath.Join(t.TempDir(), "missing")}}
	if err := b.m.Reload(wrong); err == nil || !strings.Contains(err.Error(), "remote b") {
		t.Errorf("keys that cannot be used: %v", err)
	}
	wrong.Remotes = []snapshot.Remote{{Name: "a", URL: "ftp://example.com/"}}
	if err := b.m.Reload(wrong); err == nil {
		t.Error("a place that cannot be was taken")
	}
	if _, err := b.m.SyncRemote(t.Context(), "a"); err != nil {
		t.Errorf("of the configuration that holds: %v", err)
	}
	one := two
	one.Remotes = two.Remotes[:1]
	if err := b.m.Reload(one); err != nil {
		t.Fatal(err)
	}
	if _, err := b.m.SyncRemote(t.Context(), "a"); !errors.Is(err, snapshot.ErrNotFound) {
		t.Errorf("after it was removed: %v", err)
	}
	b.mark("after the last reload")
	latest := b.manual()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	s := b.status()
	if len(s.Remotes) != 1 || s.Remotes[0].Name != "b" || s.Remotes[0].State != snapshot.RemoteCurrent || s.State != snapshot.Protected {
		t.Errorf("%+v", s)
	}
	if n := objects(t, at, "backups/*"+latest.ID+"*"); len(n) != 1 {
		t.Errorf("%v", n)
	}
}

// A person who stops waiting stops nothing.
func TestSyncIsGivenUp(t *testing.T) {
	t.Parallel()
	at, url := place(t)
	b := newBench(t, "wal", func(cfg *snapshot.Config) { cfg.Remotes = []snapshot.Remote{{Name: "disk", URL: url}} })
	stop := b.running()
	b.sent("disk")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.m.SyncRemote(ctx, "disk"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := b.m.SyncRemote(t.Context(), "disk"); err != nil {
		t.Error(err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(at, "snapd.json")); err != nil {
		t.Error(err)
	}
}

// Lost: all that is made after a backup directory lost its catalog and archives, and kept what it knows of its remote: the numbers begin again.
func TestSyncOfADirectoryThatLostItsCatalog(t *testing.T) {
	t.Parallel()
	at, url := place(t)
	b := newBench(t, "wal", func(cfg *snapshot.Config) { cfg.Remotes = []snapshot.Remote{{Name: "disk", URL: url}} })
	for range 2 {
		b.mark("another")
		b.manual()
	}
	if _, err := b.m.SyncRemote(t.Context(), "disk"); err != nil {
		t.Fatal(err)
	}
	there := objects(t, at, "*/*")
	entries, err := os.ReadDir(b.m.Dir())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != "remotes" {
			if err := os.RemoveAll(filepath.Join(b.m.Dir(), e.Name())); err != nil {
				t.Fatal(err)
			}
		}
	}
	b.reopen()
	b.auto() // an id has the second and the kind
	_, err = b.m.SyncRemote(t.Context(), "disk")
	if snapshot.Code(err) != "older_directory" || !strings.Contains(snapshot.Hint(err), "snapd remote adopt disk") || len(objects(t, at, "*/*")) != len(there) {
		t.Fatalf("code %q, %v, hint %q; there are %v", snapshot.Code(err), err, snapshot.Hint(err), objects(t, at, "*/*"))
	}
	if _, err := snapshot.AdoptRemote(t.Context(), b.m, "disk"); err != nil {
		t.Fatal(err)
	}
	b.mark("after it was adopted")
	e := b.auto()
	if s, err := b.m.SyncRemote(t.Context(), "disk"); err != nil || s.Backups != 3 || *s.Newest != e.ID {
		t.Errorf("%+v, %v", s, err)
	}
}
