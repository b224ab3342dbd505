package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"example.com/snapd/catalog"
	"example.com/snapd/snapshot"
)

// soaking asks for the full counts: minutes instead of seconds.
func soaking() bool { return os.Getenv("SNAPD_SOAK") != "" }

// Lost if this fails: the page, on the day when everyone looks at it.
func TestManyClients(t *testing.T) {
	clients, rounds := 200, 6
	if soaking() {
		rounds = 100
	}
	here := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, here) }) // after everything else
	a := openAPI(t, nil, func(c *snapshot.Config, _ *Options) { c.Retention = snapshot.Policy{Last: 5} })
	defer a.server.Client().CloseIdleConnections()
	a.backup("first")
	before := heap()

	ctx, stop := context.WithCancel(t.Context())
	var group sync.WaitGroup
	var lists, events, unchanged atomic.Int64
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients, DisableCompression: true}}
	get := func(path, tag string) (*http.Response, error) {
		r, err := http.NewRequestWithContext(ctx, "GET", a.server.URL+a.o.APIPrefix+path, nil)
		if err != nil {
			return nil, err
		}
		r.Header.Set("X-Who", "alice")
		if tag != "" {
			r.Header.Set("If-None-Match", tag)
		}
		return client.Do(r)
	}
	for n := range clients {
		group.Go(func() {
			if n%2 == 0 {
				res, err := get("/events", "")
				if err != nil {
					t.Errorf("events: %v", err)
					return
				}
				defer res.Body.Close()
				e := &eventReader{t, res.Body, make(chan sse, 16)}
				go e.read()
				for ev := range e.ch {
					events.Add(1)
					if ev.name == "operation" && !json.Valid([]byte(ev.data)) {
						t.Errorf("not JSON: %s", ev.data)
					}
				}
				return
			}
			tag := ""
			for ctx.Err() == nil {
				for _, path := range []string{"/backups?limit=1000", "/status", "/operations"} {
					res, err := get(path, tag)
					if ctx.Err() != nil {
						return
					}
					if err != nil {
						t.Errorf("%s: %v", path, err)
						return
					}
					if _, err := io.Copy(io.Discard, res.Body); err != nil && ctx.Err() == nil {
						t.Errorf("%s: %v", path, err)
					}
					res.Body.Close()
					switch res.StatusCode {
					case 200:
						lists.Add(1)
					case 304:
						unchanged.Add(1)
					default:
						t.Errorf("%s: %d", path, res.StatusCode)
					}
					if path != "/status" && path != "/operations" {
						tag = res.Header.Get("ETag")
					}
				}
			}
		})
	}
	enough := func() bool { return lists.Load() >= int64(clients) && events.Load() >= int64(clients) }
	for i := 0; i < rounds || !enough() && i < 100*rounds && !t.Failed(); i++ {
		a.change()
		var err error
		if i%2 == 0 {
			a.backup(fmt.Sprint("round ", i))
		} else {
			_, err = a.m.Backup(t.Context(), snapshot.Auto(catalog.TriggerSchedule))
		}
		if err != nil {
			t.Error(err)
		}
	}
	for tick := time.NewTicker(10 * time.Millisecond); unchanged.Load() == 0 && t.Context().Err() == nil && !t.Failed(); <-tick.C {
	} // on a slow machine each answer is of another round
	stop()
	group.Wait()
	client.CloseIdleConnections()
	if !enough() {
		t.Errorf("%d answers, %d unchanged, %d events: that was no test", lists.Load(), unchanged.Load(), events.Load())
	}
	for end := time.Now().Add(10 * time.Second); a.hub.count() > 0 && time.Now().Before(end); runtime.Gosched() {
	}
	if n := a.hub.count(); n > 0 {
		t.Errorf("%d clients are still listed", n)
	}
	after := heap()
	t.Logf("%d answers, %d unchanged, %d events; heap %d KiB before, %d KiB after", lists.Load(), unchanged.Load(), events.Load(), before>>10, after>>10)
	if after > before+16<<20 {
		t.Errorf("the heap grew from %d to %d bytes", before, after)
	}
	a.close()
}

// heap is what is in use after everything that can be freed was.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
