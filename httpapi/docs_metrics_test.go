package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"example.com/snapd/internal/catalogfile"
	"example.com/snapd/internal/testdb"
	"example.com/snapd/snapshot"
)

// Lost: alarms and panels that are about metrics which there are not, and so never ring and show nothing.
func TestRulesAndDashboardNameMetricsThatThereAre(t *testing.T) {
	hc := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(hc.Close)
	var real *snapshot.Manager
	a := openAPI(t, func(m manager) manager {
		real = m.(*snapshot.Manager)
		return m
	}, func(c *snapshot.Config, _ *Options) {
		c.Notify = []snapshot.Receiver{{Ping: snapshot.Secret(hc.URL + "/uuid")}}
		c.Remotes = []snapshot.Remote{{Name: "disk", URL: "file://" + filepath.ToSlash(t.TempDir())}}
	})
	b := a.backup("first")
	a.finish(a.ask("POST", "/backups/"+b.ID+"/drill", ""))
	a.finish(a.ask("POST", "/check", ""))
	if err := os.Rename(real.Database(), real.Database()+".away"); err != nil {
		t.Fatal(err)
	}
	a.finish(a.ask("POST", "/backups", "")) // fails
	if err := os.Rename(real.Database()+".away", real.Database()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	seen := make(chan snapshot.EventType, 100)
	defer real.Subscribe(func(ev snapshot.Event) {
		if ev.Type == snapshot.EventScheduled || ev.Type == snapshot.EventCaptured {
			seen <- ev.Type
		}
	})()
	ended := make(chan error, 1)
	go func() { ended <- real.Run(ctx) }()
	for until := snapshot.EventScheduled; ; {
		if got := <-seen; got != until {
			continue
		}
		if until == snapshot.EventCaptured {
			break
		}
		until = snapshot.EventCaptured
		if _, err := testdb.Open(t, real.Database()).Exec("DELETE FROM notes"); err != nil {
			t.Fatal(err)
		}
	}
	cancel() // the last look pings, too
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	cat, err := catalogfile.Open(real.Dir(), "data")
	if err != nil {
		t.Fatal(err)
	}
	if err := cat.Update(t.Context(), func(tx *catalogfile.Tx) error {
		tx.State().BackupsRead = new(time.Now())
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	a.status.forget()
	metrics := string(a.ask("GET", "/metrics", "").body)
	name := regexp.MustCompile(`\bsnapd_[a-z_]+`)
	for file, least := range map[string]int{"prometheus-rules.yml": 11, "grafana-dashboard.json": 18, "http-api.md": 3} {
		text, err := os.ReadFile(filepath.Join("..", "docs", file))
		if err != nil {
			t.Fatal(err)
		}
		named := map[string]bool{}
		for _, m := range name.FindAllString(string(text), -1) {
			named[m] = true
		}
		for m := range named {
			if m != "snapd_newest_verified" && !strings.Contains(metrics, "\n"+m+"{") && !strings.Contains(metrics, "\n"+m+" ") {
				t.Errorf("%s: there is no metric %s", file, m)
			}
		}
		if len(named) < least {
			t.Errorf("%s names %d metrics, at least %d", file, len(named), least)
		}
		if filepath.Ext(file) == ".json" && !json.Valid(text) {
			t.Errorf("%s is no JSON", file)
		}
	}
}
