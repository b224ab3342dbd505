package snapshot

import (
	"context"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

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
