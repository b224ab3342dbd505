package snapshot

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"example.com/snapd/internal/notify"
	"example.com/snapd/internal/remote"
	"example.com/snapd/internal/testdb"
)

// If this fails, the receivers of an embedder's Run are not notified, or still are after a Reload took them away.
func TestRunTellsItsReceivers(t *testing.T) {
	t.Parallel()
	heard := make(chan string, 100)
	hc := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { heard <- r.URL.Path }))
	t.Cleanup(hc.Close)
	cfg := Config{Database: testdb.CRM(t, 0), Dir: filepath.Join(t.TempDir(), "backups"), Continuous: -1,
		Notify: []Receiver{{Name: "hc", Ping: Secret(hc.URL + "/uuid")}}}
	m, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	for path := ""; path != "/uuid"; path = <-heard { // a start may come first
		if strings.HasSuffix(path, "/fail") {
			t.Fatal(path)
		}
	}
	s, err := m.Status(t.Context())
	if err != nil || len(s.Receivers) != 1 || s.Receivers[0].Name != "hc" || strings.Contains(s.Receivers[0].Target, "uuid") {
		t.Errorf("%+v, %v", s.Receivers, err)
	}
	cfg.Notify = []Receiver{{Name: "hc"}}
	if err := m.Reload(cfg); err == nil {
		t.Error("a receiver without a way was taken")
	}
	cfg.Notify = nil
	if err := m.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if m.notifying.Load() != nil {
		t.Error("a receiver is still notified")
	}
}

// If this fails, a heartbeat goes on although the Run hangs, or ends while it works.
func TestLifeSign(t *testing.T) {
	t.Parallel()
	now := time.Date(2031, 3, 5, 12, 0, 0, 0, time.UTC)
	var l lifeSign
	if l.alive(now) {
		t.Error("before the first sign")
	}
	l.give(now)
	l.heard(Event{At: now.Add(10 * time.Minute), Who: "alice", Type: EventProgress}) // what people do is none
	if l.alive(now.Add(lifeless)) || !l.alive(now.Add(lifeless-1)) {
		t.Error("the loop's own sign is not what counts")
	}
	l.heard(Event{At: now.Add(10 * time.Minute), Type: EventProgress})
	if !l.alive(now.Add(lifeless)) {
		t.Error("a backup that makes progress is none")
	}
}

// If this fails, nobody is notified when a remote is gone for longer than its period, or that goes on when it is back.
func TestRemoteGoneForLongerThanItsPeriod(t *testing.T) {
	t.Parallel()
	place, away := filepath.Join(t.TempDir(), "nas"), filepath.Join(t.TempDir(), "away")
	if err := os.Mkdir(place, 0o700); err != nil {
		t.Fatal(err)
	}
	var ahead atomic.Int64
	to := Remote{Name: "nas", URL: "file://" + filepath.ToSlash(place), Period: time.Hour}
	m, err := Open(t.Context(), Config{Database: testdb.CRM(t, 0), Dir: filepath.Join(t.TempDir(), "backups"), Continuous: -1, Remotes: []Remote{to},
		Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }})
	if err != nil {
		t.Fatal(err)
	}
	draining := make(chan struct{})
	close(draining)
	step := func(what string, behind bool) {
		t.Helper()
		if _, err := m.Backup(t.Context(), Manual(what)); err != nil {
			t.Fatal(err)
		}
		remote.New(sendingTo(m, m.cfg.Remotes[0])).Run(t.Context(), draining)
		ahead.Add(int64(2 * time.Hour))
		all, _, err := conditions(t.Context(), m, new(lifeSign))
		is := slices.ContainsFunc(all, func(c notify.Condition) bool { return c.Kind == notify.RemoteBehind })
		if err != nil || is != behind {
			t.Errorf("%s: %+v, %v", what, all, err)
		}
	}
	step("sent", false)
	if err := os.Rename(place, away); err != nil {
		t.Fatal(err)
	}
	step("the remote is gone", true)
	if err := os.Rename(away, place); err != nil {
		t.Fatal(err)
	}
	step("it is back", false)
}
