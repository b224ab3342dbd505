package snapshot_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/remote"
	"example.com/snapd/internal/store/dir"
	"example.com/snapd/internal/store/seal"
	"example.com/snapd/snapshot"
)

// place is a directory that stands for another disk.
func place(t *testing.T) (path, url string) {
	path = t.TempDir()
	return path, "file://" + filepath.ToSlash(path)
}

// objects are the names below a place, without numbers of notes and catalogs.
func objects(t *testing.T, place, pattern string) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(place, pattern))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// running has Run at work until stop is called, which returns what it did.
func (b *bench) running() (stop func() error) {
	ctx, cancel := context.WithCancel(b.t.Context())
	done := make(chan error, 1)
	go func() { done <- b.m.Run(ctx) }()
	return func() error {
		cancel()
		return <-done
	}
}

func (b *bench) sent(remote string) {
	b.t.Helper()
	b.rec.wait(b.t, "a backup at "+remote, func(e snapshot.Event) bool {
		return e.Type == snapshot.EventStored && e.Backup != "" && e.Remote == remote
	})
}

// Lost: everything, with the machine. What a service has is at each remote when it ends, sealed where it should be, and says so.
func TestCopiesOffTheMachine(t *testing.T) {
	t.Parallel()
	key, err := seal.Generate(false)
	if err != nil {
		t.Fatal(err)
	}
	plain, plainURL := place(t)
	sealed, sealedURL := place(t)
	var log bytes.Buffer
	c := newCounted(t, "wal", func(cfg *snapshot.Config) {
		cfg.Logger = textLogger(&log)
		cfg.Remotes = []snapshot.Remote{{Name: "disk", URL: plainURL}, {Name: "nas", URL: sealedURL, Recipients: []string{key.Recipient}}}
	})
	stop := c.running()
	c.sent("disk")
	c.commit(3)
	c.captures()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	s := c.status()
	if s.State != snapshot.Protected || len(s.Remotes) != 2 {
		t.Fatalf("%+v", s)
	}
	for _, r := range s.Remotes {
		if r.State != snapshot.RemoteCurrent || r.Newest == nil || *r.Newest != *s.NewestVerified || r.Pending != 0 || r.Proof != "stored" || r.Error != nil || r.Encrypted != (r.Name == "nas") {
			t.Errorf("%+v", r)
		}
	}
	backups, err := c.m.Backups()
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range backups {
		archive := readFile(t, c.m.ArchivePath(b))
		if got := readFile(t, filepath.Join(plain, "backups", fmt.Sprintf("%09d_%s.db.zst", b.Seq, b.ID))); !bytes.Equal(got, archive) {
			t.Errorf("the copy of %s differs", b.ID)
		}
		if got := unsealed(t, sealed, key, remote.Name{Kind: remote.Backup, Number: b.Seq, ID: b.ID}); !bytes.Equal(got, archive) {
			t.Errorf("what is sealed of %s differs", b.ID)
		}
	}
	for _, at := range []string{plain, sealed} {
		if n := len(objects(t, at, "changes/1/*.chg.zst*")); n == 0 {
			t.Errorf("no captures are at %s", at)
		}
	}
	if left := objects(t, sealed, "*/*.zst"); len(left) > 0 {
		t.Errorf("not sealed: %v", left)
	}
	// Nothing secret is said anywhere.
	state, err := c.m.State()
	if err != nil {
		t.Fatal(err)
	}
	acts, _, err := c.m.Activity("", 1000)
	if err != nil {
		t.Fatal(err)
	}
	said := []any{s, acts}
	for _, e := range c.rec.of(snapshot.EventStored, snapshot.EventRemote, snapshot.EventFailed, snapshot.EventWarning) {
		said = append(said, e.String(), e)
	}
	text, err := json.Marshal(said)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{state.PageSeed, key.Identity} {
		if secret == "" || strings.Contains(string(text)+log.String(), secret) {
			t.Errorf("%.8q… is said", secret)
		}
	}
	if !slices.ContainsFunc(acts, func(a snapshot.Activity) bool { return a.Action == "remote" && a.Outcome == "stored" && a.Backup != "" }) {
		t.Errorf("%+v", acts)
	}
}

// unsealed decrypts an object of a directory.
func unsealed(t *testing.T, place string, key seal.Key, n remote.Name) []byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), "key")
	writeFile(t, file, []byte(key.Identity+"\n"))
	ids, err := seal.ReadIdentities(file)
	if err != nil {
		t.Fatal(err)
	}
	d, err := dir.Open(t.Context(), place, dir.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := seal.New(d, seal.Recipients{}, ids, "").Get(t.Context(), n.String(), "", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	content, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// Lost: the alarm. A remote that is gone is reported at once, is no reason to stop anything here, and after its period one to worry.
func TestRemoteIsGone(t *testing.T) {
	t.Parallel()
	at, url := place(t)
	var later atomic.Int64 // hours
	b := newBench(t, "wal", func(cfg *snapshot.Config) {
		cfg.Remotes = []snapshot.Remote{{Name: "disk", URL: url, Period: 2 * time.Hour}}
		cfg.Now = func() time.Time { return time.Now().Add(time.Duration(later.Load()) * time.Hour) }
	})
	stop := b.running()
	b.sent("disk")
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(at, at+".away"); err != nil {
		t.Fatal(err)
	}
	b.reopen()
	stop = b.running()
	failed := b.rec.wait(t, "a remote that is gone", func(e snapshot.Event) bool { return e.Type == snapshot.EventRemote && e.Err != nil })
	b.mark("while it is gone")
	e := b.manual()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if failed.Remote != "disk" || !strings.Contains(failed.String(), at) {
		t.Errorf("%s", failed)
	}
	if s := b.status(); s.State != snapshot.Protected || s.Remotes[0].State != snapshot.RemoteFailing || s.Remotes[0].ErrorCode != "unreachable" {
		t.Errorf("within the period: %+v", s)
	}
	later.Store(3)
	s := b.status()
	if s.State != snapshot.AtRisk || s.Code != snapshot.WhyRemote || !strings.Contains(s.Reason, "disk") || s.Remotes[0].State != snapshot.RemoteBehind || *s.Remotes[0].LagSeconds < 3*3600 {
		t.Errorf("after the period: %+v", s)
	}
	if _, err := os.Stat(at); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the place was made again: %v", err)
	}
	// It comes back, and all is well by itself.
	if err := os.Rename(at+".away", at); err != nil {
		t.Fatal(err)
	}
	b.reopen()
	stop = b.running()
	b.rec.wait(t, "the backup of then", func(ev snapshot.Event) bool { return ev.Type == snapshot.EventStored && ev.Backup == e.ID })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if s := b.status(); s.State != snapshot.Protected || s.Remotes[0].State != snapshot.RemoteCurrent {
		t.Errorf("%+v", s)
	}
}

// Leaked to strangers: the data, where keys are configured that cannot be used.
func TestNothingLeavesUnsealed(t *testing.T) {
	t.Parallel()
	at, url := place(t)
	b := newBench(t, "wal", func(cfg *snapshot.Config) {
		cfg.Remotes = []snapshot.Remote{{Name: "disk", URL: url, RecipientsFile: filepath.Join(t.TempDir(), "missing")}}
	})
	stop := b.running()
	b.rec.wait(t, "keys that cannot be used", func(e snapshot.Event) bool { return e.Type == snapshot.EventRemote && e.Err != nil })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(at); err != nil || len(left) > 0 {
		t.Errorf("%v, %v", left, err)
	}
	if s := b.status(); s.Remotes[0].State != snapshot.RemoteFailing || !s.Remotes[0].Encrypted || s.Remotes[0].Newest != nil {
		t.Errorf("%+v", s)
	}
}

// A backup that goes here before it was sent is reported.
func TestPrunedBeforeItWasSent(t *testing.T) {
	t.Parallel()
	at, url := place(t)
	b := newBench(t, "wal", func(cfg *snapshot.Config) {
		cfg.Retention = snapshot.Policy{Last: 1, Daily: catalog.None}
		cfg.Remotes = []snapshot.Remote{{Name: "disk", URL: url, Retention: snapshot.Policy{Last: 5}}}
	})
	stop := b.running()
	b.sent("disk")
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(at, at+".away"); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		b.mark(fmt.Sprint("change ", i))
		b.auto()
	}
	var said []string
	for _, e := range b.rec.of(snapshot.EventRemoved) {
		said = append(said, e.Message)
	}
	if len(said) != 2 || strings.Contains(said[0], "no copy") || !strings.Contains(said[1], "no copy was sent to disk yet") {
		t.Errorf("%q", said)
	}
}
