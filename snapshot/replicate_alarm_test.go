package snapshot_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"example.com/snapd/internal/store/storetest"
	"example.com/snapd/snapshot"
)

// Lost: the alarm. A check of a service such as healthchecks is red once object storage is gone for longer than the remote's period, and green again by itself.
func TestCheckIsRedWhileObjectStorageIsGone(t *testing.T) {
	gateway := storetest.StartGateway(t)
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} {
		t.Setenv(name, storetest.Env(name))
	}
	color := make(chan string, 1000)
	check := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/fail"):
			color <- "red"
		case !strings.HasSuffix(r.URL.Path, "/start"):
			color <- "green"
		}
	}))
	defer check.Close()
	var later atomic.Int64 // hours
	b := newBench(t, "wal", func(cfg *snapshot.Config) {
		cfg.Remotes = []snapshot.Remote{{Name: "store", URL: gateway.URL(t, gateway.Address), Period: 2 * time.Hour}}
		cfg.Notify = []snapshot.Receiver{{Ping: snapshot.Secret(check.URL + "/uuid")}}
		cfg.Now = func() time.Time { return time.Now().Add(time.Duration(later.Load()) * time.Hour) }
	})
	becomes := func(want string) {
		t.Helper()
		for end := time.After(patience); ; {
			select {
			case is := <-color:
				if is == want {
					return
				}
			case <-end:
				t.Fatalf("the check never became %s", want)
			}
		}
	}
	b.manual()
	other, err := snapshot.Open(t.Context(), b.cfg)
	if err != nil {
		t.Fatal(err)
	}
	stop := b.running()
	b.rec.wait(t, "a copy", func(e snapshot.Event) bool { return e.Type == snapshot.EventStored })
	becomes("green")
	gateway.Stop()
	b.mark("while it is gone")
	e, err := other.Backup(t.Context(), snapshot.Manual("")) // without a ping to the check, which takes a few a minute
	if err != nil {
		t.Fatal(err)
	}
	later.Store(3)
	if _, err := b.m.SetNote(t.Context(), e.ID, "noticed"); err != nil {
		t.Fatal(err)
	}
	becomes("red")
	gateway.Start(t)
	becomes("green")
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}
