package httpapi

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/snapd/snapshot"
)

// fast has the events come without waiting, so that tests need not either.
var fast = pace{least: time.Millisecond, debounce: time.Millisecond, poll: 20 * time.Millisecond, status: 20 * time.Millisecond, beat: 20 * time.Millisecond}

// sse is one event, or a comment with the name ":".
type sse struct{ name, data string }

// eventReader reads one stream of events.
type eventReader struct {
	t    testing.TB
	body io.ReadCloser
	ch   chan sse // closed at the end
}

// events opens a stream through base, the address of the server or of a proxy.
func (a *api) eventsFrom(ctx context.Context, base string) *eventReader {
	a.t.Helper()
	r, err := http.NewRequestWithContext(ctx, "GET", base+a.o.APIPrefix+"/events", nil)
	if err != nil {
		a.t.Fatal(err)
	}
	r.Header.Set("X-Who", "alice")
	res, err := a.server.Client().Do(r)
	if err != nil {
		a.t.Fatal(err)
	}
	if res.StatusCode != 200 || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") ||
		res.Header.Get("X-Accel-Buffering") != "no" || !strings.Contains(res.Header.Get("Cache-Control"), "no-transform") {
		a.t.Fatalf("%d %v", res.StatusCode, res.Header)
	}
	e := &eventReader{a.t, res.Body, make(chan sse, 1000)}
	a.t.Cleanup(func() { res.Body.Close() })
	go e.read()
	return e
}

func (e *eventReader) read() {
	defer close(e.ch)
	var ev sse
	for lines := bufio.NewScanner(e.body); lines.Scan(); {
		line := lines.Text()
		switch {
		case line == "" && ev.name != "":
			e.ch <- ev
			ev = sse{}
		case strings.HasPrefix(line, ":"):
			ev.name = ":"
		case strings.HasPrefix(line, "event: "):
			ev.name = strings.TrimPrefix(line, "event: ")
		case strings.HasPrefix(line, "data: "):
			ev.data = strings.TrimPrefix(line, "data: ")
		}
	}
}

// next returns the next event that is none of skip.
func (e *eventReader) next(skip ...string) sse {
	e.t.Helper()
	late := time.NewTimer(20 * time.Second)
	defer late.Stop()
	for {
		select {
		case ev, ok := <-e.ch:
			if !ok {
				e.t.Fatal("the stream has ended")
			}
			if !strings.Contains(strings.Join(skip, " "), ev.name) {
				return ev
			}
		case <-late.C:
			e.t.Fatal("nothing comes")
		}
	}
}

// ended waits for the end of the stream.
func (e *eventReader) ended() {
	e.t.Helper()
	late := time.NewTimer(20 * time.Second)
	defer late.Stop()
	for {
		select {
		case _, ok := <-e.ch:
			if !ok {
				return
			}
		case <-late.C:
			e.t.Fatal("the stream does not end")
		}
	}
}

func (s sse) into(t testing.TB, name string, v any) {
	t.Helper()
	if s.name != name {
		t.Fatalf("event %q with %s, want %q", s.name, s.data, name)
	}
	if err := json.Unmarshal([]byte(s.data), v); err != nil {
		t.Fatalf("%v: %s", err, s.data)
	}
}

// Lost if this fails: progress that stays unseen, or an end that never comes.
func TestEventsTellAnOperation(t *testing.T) {
	var f *faults
	a := openAPI(t, faulty(&f))
	a.hub.pace = fast
	a.hub.pace.beat = time.Hour
	entered, release := f.holds("Backup")
	defer release()
	op := decodeOperation(t, a.ask("POST", "/backups", ""), 202)
	<-entered
	e := a.eventsFrom(t.Context(), a.server.URL)
	var h hello
	e.next().into(t, "hello", &h)
	if len(h.Operations) != 1 || h.Operations[0].ID != op.ID || h.Revision == "" {
		t.Fatalf("hello %+v", h)
	}
	f.says(snapshot.Event{Type: snapshot.EventProgress, Operation: "backup", Phase: "compress", Run: op.ID, Done: 5, Total: 10})
	var got operation
	e.next(":", "changed").into(t, "operation", &got)
	if got.Phase != "compress" || got.DoneBytes != 5 || got.TotalBytes != 10 || !got.Cancellable {
		t.Errorf("%+v", got)
	}
	release()
	for got.State == stateRunning {
		e.next(":", "changed").into(t, "operation", &got)
	}
	if got.State != stateDone || got.ID != op.ID || len(got.Result) == 0 {
		t.Errorf("%+v", got)
	}
	// The catalog's revision is not the greeting's.
	now, err := a.m.Revision()
	if err != nil || now == h.Revision {
		t.Fatalf("revision %q, %v", now, err)
	}
	a.hub.changed()
}

// If this fails, the page shows a loss window that is long over, or each capture has everything fetched again.
func TestEventsTellCaptures(t *testing.T) {
	var f *faults
	a := openAPI(t, faulty(&f))
	a.hub.pace = fast
	e := a.eventsFrom(t.Context(), a.server.URL)
	e.next().into(t, "hello", &hello{})
	a.status.mu.Lock()
	era := a.status.era
	a.status.mu.Unlock()
	f.says(snapshot.Event{Type: snapshot.EventCaptured, Point: "1.6", At: noon})
	f.says(snapshot.Event{Type: snapshot.EventChainGap, Point: "1.7", Reason: "missed"})
	f.says(snapshot.Event{Type: snapshot.EventCaptured, Point: "1.7", At: noon.Add(time.Second), Reason: "missed"})
	f.says(snapshot.Event{Type: snapshot.EventAnchored, Point: "1.7"})
	for got := (captured{}); got.Point != "1.7"; {
		e.next(":").into(t, "captured", &got)
		if got.Point == "1.7" && !got.At.Equal(noon.Add(time.Second)) {
			t.Errorf("%+v", got)
		}
	}
	a.status.mu.Lock()
	if a.status.era != era {
		t.Error("captures have the status computed again")
	}
	a.status.mu.Unlock()
	text := string(a.ask("GET", "/metrics", "").body)
	for _, line := range []string{`snapd_captures_total{kind="followed"} 1`, `snapd_captures_total{kind="compared"} 1`, "snapd_gaps_total 1", `snapd_points_bytes{age="hour"} 0`} {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("there is no %q in\n%s", line, text)
		}
	}
	f.says(snapshot.Event{Type: snapshot.EventChainGap, Err: errBroken})
	a.status.mu.Lock()
	defer a.status.mu.Unlock()
	if a.status.era == era {
		t.Error("that nothing is captured any more is no news")
	}
}

// Lost: a page that shows an old list, because another process made the backup.
func TestEventsTellWhatOtherProcessesDo(t *testing.T) {
	a := openAPI(t, nil)
	a.hub.pace = fast
	other, err := snapshot.Open(t.Context(), snapshot.Config{Database: a.m.Database()})
	if err != nil {
		t.Fatal(err)
	}
	e := a.eventsFrom(t.Context(), a.server.URL)
	var h hello
	e.next().into(t, "hello", &h)
	if _, err := other.Backup(t.Context(), snapshot.Manual("")); err != nil {
		t.Fatal(err)
	}
	var c change
	e.next(":").into(t, "changed", &c)
	if c.Revision == h.Revision || c.Revision == "" {
		t.Errorf("%+v after %+v", c, h)
	}
	if ev := e.next("changed"); ev.name != ":" {
		t.Errorf("%+v, want a sign of life", ev)
	}
}

// Lost: memory, for a client that reads slowly, and its view of what is true now.
func TestEventsCoalesce(t *testing.T) {
	b := newHub(func() (string, error) { return "r", nil }, func(context.Context) string { return "" })
	b.pace = pace{poll: time.Hour, status: time.Hour, debounce: time.Hour}
	l, err := b.join()
	if err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		b.publish(operation{ID: "a", DoneBytes: int64(i)})
		b.publish(operation{ID: "b", DoneBytes: int64(i)})
		l.change(fmt.Sprint(i), false)
	}
	b.publish(operation{ID: "a", State: stateDone})
	got, err := l.take()
	if err != nil || len(got.operations) != 2 || got.operations[0].ID != "a" || got.operations[0].State != stateDone ||
		got.operations[1].DoneBytes != 999 || *got.revision != "999" {
		t.Errorf("%+v, %v", got, err)
	}
	if again, _ := l.take(); len(again.operations) != 0 || again.revision != nil {
		t.Errorf("sent twice: %+v", again)
	}
	for i := range maxPending + 1 {
		b.publish(operation{ID: fmt.Sprint(i)})
	}
	if _, err := l.take(); !errors.Is(err, errDropped) {
		t.Errorf("with %d unread operations: %v", maxPending+1, err)
	}
	b.leave(l)
	if err := b.close(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := b.join(); problemOf(err).Status != 503 {
		t.Errorf("joined after the end: %v", err)
	}
}

// Lost: a goroutine and its memory for each page that was left open on a suspended
// machine.
func TestEventsDropWhoDoesNotRead(t *testing.T) {
	var f *faults
	a := openAPI(t, faulty(&f))
	a.hub.pace = fast
	// The kernel's buffers hold some megabytes: deadlines in the past stand for them.
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.ServeHTTP(&deafWriter{ResponseWriter: w}, r)
	}))
	server.Start()
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "GET %s/events HTTP/1.1\r\nHost: x\r\nX-Who: alice\r\n\r\n", a.o.APIPrefix); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); a.hub.count() == 0; runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatal("it never came")
		}
	}
	big := strings.Repeat("x", 1<<20)
	for end := time.Now().Add(20 * time.Second); a.hub.count() > 0; runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatal("it is still there")
		}
		a.hub.publish(operation{ID: rand.Text(), Phase: snapshot.Phase(big)})
	}
}

// deafWriter has every write fail that is not taken at once.
type deafWriter struct{ http.ResponseWriter }

func (w *deafWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *deafWriter) SetWriteDeadline(t time.Time) error {
	if !t.IsZero() {
		t = time.Now().Add(50 * time.Millisecond)
	}
	return http.NewResponseController(w.ResponseWriter).SetWriteDeadline(t)
}

// Lost: a stream that goes on after its session, or its right, has ended.
func TestEventsEndWithTheSession(t *testing.T) {
	a := openAPI(t, nil)
	a.hub.pace = fast
	e := a.eventsFrom(t.Context(), a.server.URL)
	e.next()
	a.setRights()
	var b bye
	e.next(":", "changed").into(t, "bye", &b)
	if b.Reason != "session" {
		t.Errorf("%+v", b)
	}
	e.ended()
	a.ask("GET", "/events", "").problem(403, "forbidden")
}

// Lost: a stream of a session that has been logged out of, or that has expired.
func TestEventsEndWithTheLogin(t *testing.T) {
	for _, way := range []string{"logout", "expiry"} {
		t.Run(way, func(t *testing.T) {
			a := openAPI(t, nil, func(_ *snapshot.Config, o *Options) { o.Authorize = nil })
			a.hub.pace.least = time.Millisecond
			done := make(chan struct{})
			c := &call{Request: httptest.NewRequestWithContext(t.Context(), "GET", "/events", nil)}
			ended := make(chan struct{})
			switch way {
			case "logout":
				c.who.Ended = done
			case "expiry":
				c.who.Expires = a.now().Add(time.Millisecond)
			}
			w := httptest.NewRecorder()
			go func() {
				defer close(ended)
				if err := a.events(w, c); err != nil {
					t.Error(err)
				}
			}()
			close(done)
			<-ended
			if !strings.HasSuffix(w.Body.String(), "event: bye\ndata: {\"reason\":\"session\"}\n\n") {
				t.Errorf("the stream ended with %q", w.Body)
			}
		})
	}
}

// Lost: a browser that waits for a server that has gone.
func TestEventsSayGoodbye(t *testing.T) {
	a := openAPI(t, nil)
	a.hub.pace = fast
	e := a.eventsFrom(t.Context(), a.server.URL)
	e.next()
	if err := a.Handler.Close(t.Context()); err != nil {
		t.Error(err)
	}
	var b bye
	e.next(":", "changed").into(t, "bye", &b)
	if b.Reason != "shutdown" {
		t.Errorf("%+v", b)
	}
	e.ended()
}

// Lost: the server, to a client that opens streams until there is no memory left.
func TestEventsHaveALimit(t *testing.T) {
	a := openAPI(t, nil)
	var all []*listener
	for range maxListeners {
		l, err := a.hub.join()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, l)
	}
	a.ask("GET", "/events", "").problem(503, "unavailable")
	for _, l := range all {
		a.hub.leave(l)
	}
	a.eventsFrom(t.Context(), a.server.URL).next()
}

// Lost: events that a reverse proxy holds back until there are enough of them.
func TestEventsPassAProxy(t *testing.T) {
	a := openAPI(t, nil)
	a.hub.pace = fast
	target, err := url.Parse(a.server.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewServer(httputil.NewSingleHostReverseProxy(target))
	defer proxy.Close()
	e := a.eventsFrom(t.Context(), proxy.URL)
	e.next()
	a.backup("seen through the proxy")
	if ev := e.next(":", "changed"); ev.name != "operation" {
		t.Errorf("%+v", ev)
	}
	e.body.Close()
}

// Lost: the promise that an idle program does nothing: a laptop's battery, a disk
// that never sleeps.
func TestNoListenersNothingRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		b := newHub(func() (string, error) { asked.Add(1); return "r", nil }, func(context.Context) string { return "" })
		l, err := b.join()
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(20*time.Second + time.Millisecond)
		synctest.Wait()
		if n := asked.Load(); n < 5 || n > 30 {
			t.Errorf("asked %d times in 20 s", n)
		}
		b.leave(l)
		synctest.Wait()
		before := asked.Load()
		b.changed()
		b.publish(operation{ID: "a"})
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := asked.Load() - before; n != 0 {
			t.Errorf("asked %d times without a listener", n)
		}
		// The notice that waited is for who comes next.
		l, err = b.join()
		if err != nil {
			t.Fatal(err)
		}
		b.leave(l)
		if err := b.close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// Lost: a red page, for as long as no file changes: when the status changes by itself,
// for example because a backup is overdue, no file shows it.
func TestEventsReportAChangedStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var word atomic.Value
		word.Store("protected")
		b := newHub(func() (string, error) { return "r", nil }, func(context.Context) string { return word.Load().(string) })
		l, err := b.join()
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute + time.Second)
		synctest.Wait()
		if got, _ := l.take(); got.revision != nil {
			t.Error("sent without a change")
		}
		word.Store("at risk")
		time.Sleep(time.Minute)
		synctest.Wait()
		if got, _ := l.take(); got.revision == nil || *got.revision != "r" {
			t.Errorf("not sent: %+v", got)
		}
		b.leave(l)
		if err := b.close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
