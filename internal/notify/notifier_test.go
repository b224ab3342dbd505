package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"example.com/snapd/internal/activity"
)

// world is what a Notifier works with in a test. Its time is the bubble's.
type world struct {
	t   *testing.T
	dir string
	log *activity.Log

	mu       sync.Mutex
	active   []Condition
	dead     bool
	err      error
	hang     bool
	away     bool
	revision int
	reports  []string
	warnings []error
	hosts    map[string]func(*http.Request) (int, error) // receivers by their host
	got      []delivery
}

// delivery is a request that a receiver accepted.
type delivery struct {
	at   time.Duration // since the world began
	host string
	path string
	m    Message // of a webhook
}

func newWorld(t *testing.T) *world {
	dir := t.TempDir()
	return &world{t: t, dir: dir, log: activity.New(dir), hosts: map[string]func(*http.Request) (int, error){}}
}

// start runs a Notifier; stop ends it, kill leaves its memory as it is in the file.
func (w *world) start(receivers ...Receiver) (n *Notifier, stop func()) {
	w.t.Helper()
	receivers, err := Named(receivers)
	if err != nil {
		w.t.Fatal(err)
	}
	n = New(Options{Receivers: receivers, Dir: w.dir, Log: w.log, Look: w.look,
		Revision: func() (string, error) { w.mu.Lock(); defer w.mu.Unlock(); return strconv.Itoa(w.revision), nil },
		Away:     func() bool { w.mu.Lock(); defer w.mu.Unlock(); return w.away },
		Report: func(name string, err error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.reports = append(w.reports, fmt.Sprintf("%s: %v", name, err))
		},
		Warn: func(err error) { w.mu.Lock(); defer w.mu.Unlock(); w.warnings = append(w.warnings, err) }})
	n.client.Transport = w
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan struct{})
	go func() { defer close(done); n.Run(ctx) }()
	return n, func() { cancel(); <-done }
}

func (w *world) look(ctx context.Context) ([]Condition, bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.hang {
		w.mu.Unlock()
		time.Sleep(time.Hour) // as a disk that does not answer, whatever ctx says
		w.mu.Lock()
	}
	return append([]Condition{}, w.active...), !w.dead, w.err
}

// now has the world stand so.
func (w *world) now(edit func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	edit()
	w.revision++
}

func (w *world) write(r activity.Record) {
	w.t.Helper()
	r.At = time.Now()
	if err := w.log.Write(r); err != nil {
		w.t.Fatal(err)
	}
	w.now(func() {})
}

var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // of a bubble

// RoundTrip is the network.
func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	status := http.StatusOK
	w.mu.Lock()
	answer := w.hosts[r.URL.Host]
	w.mu.Unlock()
	header := http.Header{}
	if answer != nil {
		if status, err = answer(r); err != nil {
			return nil, err
		}
		if status == http.StatusTooManyRequests {
			header.Set("Retry-After", "150")
		}
	}
	if status/100 == 2 {
		d := delivery{at: time.Since(epoch), host: r.URL.Host, path: r.URL.Path}
		_ = json.Unmarshal(body, &d.m) // a ping has none
		w.mu.Lock()
		w.got = append(w.got, d)
		w.mu.Unlock()
	}
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader("")), Request: r}, nil
}

// notified are the messages that the host accepted so far: "began at_risk at 1m0s".
func (w *world) notified(host string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []string
	for _, d := range w.got {
		if d.host == host {
			all = append(all, fmt.Sprintf("%s %s %s", d.m.Phase, d.m.Kind, d.at.Round(time.Second)))
		}
	}
	return strings.Join(all, ", ")
}

func (w *world) want(host, want string) {
	w.t.Helper()
	if got := w.notified(host); got != want {
		w.t.Errorf("%s was notified %q, want %q", host, got, want)
	}
}

// after lets d pass.
func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func hook(name string) Receiver {
	return Receiver{Name: name, Webhook: Secret("https://" + name + "/s3cret")}
}

var errRefused = fmt.Errorf("dial tcp 192.0.2.1:443: %w", syscall.ECONNREFUSED)

// If this fails, a receiver gets more than one message a minute, or not all of them.
func TestOneAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.active = []Condition{noSpace, {Kind: LowSpace, Code: "low_space"}, {Kind: Corruption, Code: "corrupt"}}
		_, stop := w.start(hook("a"), Receiver{Name: "b", Webhook: "https://b/", On: []Kind{Corruption}})
		after(5 * time.Minute)
		w.want("a", "began backup_failed 0s, began corruption 1m0s")
		w.want("b", "began corruption 0s")
		after(10 * time.Minute)
		w.want("a", "began backup_failed 0s, began corruption 1m0s, began low_space 10m0s")
		stop()
	})
}

// If this fails, a receiver that does not answer loses what it was to receive, hears it twice, or is asked too often.
func TestReceiversThatFail(t *testing.T) {
	for name, c := range map[string]struct {
		fail  func(*http.Request) (int, error)
		want  string // for an outage of ten minutes
		error string
	}{
		"refused": {func(*http.Request) (int, error) { return 0, errRefused }, "ended backup_failed 15m0s", "refused"},
		"500":     {func(*http.Request) (int, error) { return 500, nil }, "ended backup_failed 15m0s", "500 Internal"},
		"404":     {func(*http.Request) (int, error) { return 404, nil }, "ended backup_failed 15m0s", "404"},
		"429":     {func(*http.Request) (int, error) { return 429, nil }, "ended backup_failed 17m0s", "429"},
		"hangs":   {func(r *http.Request) (int, error) { <-r.Context().Done(); return 0, r.Context().Err() }, "ended backup_failed 15m40s", "deadline"},
		"garbage": {func(r *http.Request) (int, error) {
			return 0, fmt.Errorf("malformed HTTP response %q", "POST "+r.URL.String())
		}, "ended backup_failed 15m0s", "malformed"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.active = []Condition{noSpace}
				w.hosts["a"] = c.fail
				n, stop := w.start(hook("a"), hook("b"))
				after(5 * time.Minute)
				w.want("b", "began backup_failed 0s") // whatever the other one does
				s := n.Status()[0]
				if s.State != StateFailing || s.Failed < 2 || !strings.Contains(s.Error, c.error) || strings.Contains(s.Error, "s3cret") || s.Target != "https://a" {
					t.Errorf("%+v", s)
				}
				w.now(func() { w.active = nil })
				after(5 * time.Minute)
				w.now(func() { delete(w.hosts, "a") })
				after(time.Hour)
				w.want("a", c.want) // what began is out of date by then
				if s := n.Status()[0]; s.State != StateOK || s.Sent != 1 || s.Waiting != 0 || s.Error != "" {
					t.Errorf("%+v", s)
				}
				if len(w.reports) != 2 || strings.Contains(w.reports[0], "s3cret") || w.reports[1] != "a: <nil>" {
					t.Errorf("reported %q", w.reports)
				}
				stop()
			})
		})
	}
}

// If this fails, a message is lost with the process that was to deliver it.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.hosts["a"] = func(*http.Request) (int, error) { return 0, errRefused }
		_, stop := w.start(hook("a"))
		w.write(logged("drill", "failed", "no_space"))
		after(20 * time.Second)
		stop()
		w.want("a", "")
		w.write(logged("recover", "done", "")) // while no service is at work
		after(20 * time.Minute)
		delete(w.hosts, "a")
		_, stop = w.start(hook("a"))
		after(3 * time.Minute)
		w.want("a", "began drill_failed 20m20s, happened recovered 21m20s")
		stop()
		_, stop = w.start(hook("a"))
		after(time.Hour)
		w.want("a", "began drill_failed 20m20s, happened recovered 21m20s")
		stop()
	})
}

// If this fails, what was sent when the process was killed is reported under another id, so that it cannot be dropped; or not at all.
func TestKilledWhileSending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.active = []Condition{noSpace}
		memory := filepath.Join(w.dir, MemoryFile)
		var killed []byte
		w.hosts["a"] = func(*http.Request) (int, error) {
			var err error
			killed, err = os.ReadFile(memory)
			return 200, err
		}
		_, stop := w.start(hook("a"))
		after(time.Second)
		stop()
		if err := os.WriteFile(memory, killed, 0o600); err != nil {
			t.Fatal(err)
		}
		_, stop = w.start(hook("a"))
		after(time.Hour)
		stop()
		if len(w.got) != 2 || w.got[0].m.ID == "" || w.got[0].m.ID != w.got[1].m.ID {
			t.Errorf("%+v", w.got)
		}
	})
}

// If this fails, the end of the service swallows what it was about to report, or waits for a receiver.
func TestEndOfTheService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		_, stop := w.start(hook("a"), hook("b"))
		after(time.Minute)
		w.hosts["b"] = func(r *http.Request) (int, error) { <-r.Context().Done(); return 0, r.Context().Err() }
		w.now(func() { w.active = []Condition{noSpace} }) // the shutdown backup
		began := time.Now()
		stop()
		if took := time.Since(began); took > farewell {
			t.Errorf("the end took %s", took)
		}
		w.want("a", "began backup_failed 1m0s")
		w.hosts["b"] = nil
		_, stop = w.start(hook("a"), hook("b"))
		after(2 * time.Minute)
		w.want("b", "began backup_failed 2m0s")
		stop()
	})
}

// If this fails, an alarm depends on the very directory whose loss it is about, or makes it again.
func TestDirectoryAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		_, stop := w.start(hook("a"))
		after(time.Minute)
		if err := os.RemoveAll(w.dir); err != nil {
			t.Fatal(err)
		}
		w.now(func() { w.away, w.active = true, []Condition{{Kind: Unprotected, Code: "directory"}} })
		after(10 * time.Minute)
		w.want("a", "began unprotected 2m10s")
		stop()
		if _, err := os.Stat(w.dir); !errors.Is(err, os.ErrNotExist) || len(w.warnings) > 0 {
			t.Errorf("%v, warned %v", err, w.warnings)
		}
	})
}

// If this fails, a damaged memory stops the notifications, or is not reported.
func TestDamagedMemory(t *testing.T) {
	for _, content := range []string{"{", `{"version":7,"source":"x"}`, strings.Repeat("x", maxMemory+1), `{"version":1,"source":"x","receivers":{"a":null}}`} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.active = []Condition{noSpace}
			if err := os.WriteFile(filepath.Join(w.dir, MemoryFile), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			whole := strings.Contains(content, "null")
			if s := Read(w.dir); !whole && (len(s) != 1 || s[0].State != StateUnknown || s[0].Error == "") {
				t.Errorf("%.20q: %+v", content, s)
			}
			_, stop := w.start(hook("a"))
			after(time.Minute)
			stop()
			w.want("a", "began backup_failed 0s")
			if len(w.warnings) != 1 != whole {
				t.Errorf("%.20q: warned %v", content, w.warnings)
			}
			if s := Read(w.dir); len(s) != 1 || s[0].State != StateOK {
				t.Errorf("%.20q: %+v", content, s)
			}
		})
	}
}

// If this fails, an idle service writes or asks for nothing.
func TestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		_, stop := w.start(hook("a"))
		after(time.Minute)
		before, err := os.Stat(filepath.Join(w.dir, MemoryFile))
		if err != nil {
			t.Fatal(err)
		}
		after(24 * time.Hour)
		later, err := os.Stat(filepath.Join(w.dir, MemoryFile))
		if err != nil || !os.SameFile(before, later) || len(w.got) > 0 {
			t.Errorf("written: %t, %v; notified %d", !os.SameFile(before, later), err, len(w.got))
		}
		stop()
	})
}

// If this fails, who is named later does not hear of what stands, or who left is still waited for.
func TestReceiversComeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.active = []Condition{noSpace}
		w.hosts["a"] = func(*http.Request) (int, error) { return 0, errRefused }
		_, stop := w.start(hook("a"))
		after(time.Minute)
		stop()
		n, stop := w.start(hook("b"))
		after(5 * time.Minute)
		w.want("b", "began backup_failed 1m0s")
		if s := n.Status(); len(s) != 1 || s[0].Name != "b" {
			t.Errorf("%+v", s)
		}
		stop()
	})
}
