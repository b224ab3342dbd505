package httpapi

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// served runs the chain on a real listener until the test ends.
func served(t *testing.T, c *chain, o ListenOptions) (base string, stop func() error) {
	t.Helper()
	if o.Address == "" {
		o.Address = "127.0.0.1:0"
	}
	l, err := Listen(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Serve(ctx, l) }()
	ended := false
	stop = func() error {
		cancel()
		if ended {
			return nil
		}
		ended = true
		return <-done
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String(), stop
}

// patient is a client that looks at the connection itself.
type patient struct {
	net.Conn
	t *testing.T
}

func connect(t *testing.T, at string) patient {
	t.Helper()
	conn, err := net.Dial("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return patient{conn, t}
}

// pipes is a listener on pipes in memory: in a bubble of synctest their deadlines go by
// the bubble's clock, however long the machine takes.
type pipes struct {
	conns chan net.Conn
	close func()
	done  chan struct{}
}

func newPipes() *pipes {
	done := make(chan struct{})
	return &pipes{conns: make(chan net.Conn), done: done, close: sync.OnceFunc(func() { close(done) })}
}

func (l *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipes) Close() error   { l.close(); return nil }
func (l *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

// connect is a client, which waits a day of the bubble.
func (l *pipes) connect(t *testing.T) patient {
	t.Helper()
	ours, theirs := net.Pipe()
	l.conns <- theirs
	t.Cleanup(func() { _ = ours.Close() })
	if err := ours.SetDeadline(time.Now().Add(24 * time.Hour)); err != nil {
		t.Fatal(err)
	}
	return patient{ours, t}
}

// ours serves as [Handler.Serve] does, until stop or the end of the test.
func (l *pipes) ours(t *testing.T, c *chain) (stop func() error) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Serve(ctx, l) }()
	return stopped(t, func() error { cancel(); return <-done })
}

// hosts serves as a host does that sets no deadlines.
func (l *pipes) hosts(t *testing.T, c *chain) {
	srv := &http.Server{Handler: c.Handler}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	stopped(t, func() error {
		err := srv.Close()
		if serr := <-done; !errors.Is(serr, http.ErrServerClosed) {
			err = errors.Join(err, serr)
		}
		return err
	})
}

// stopped has stop called once.
func stopped(t *testing.T, stop func() error) func() error {
	once := sync.OnceValue(stop)
	t.Cleanup(func() {
		if err := once(); err != nil {
			t.Error(err)
		}
	})
	return once
}

func (p patient) send(format string, args ...any) {
	p.t.Helper()
	if _, err := fmt.Fprintf(p, format, args...); err != nil {
		p.t.Fatal(err)
	}
}

// rest is all that comes until the server hangs up.
func (p patient) rest() string {
	p.t.Helper()
	raw, err := io.ReadAll(p)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		p.t.Fatalf("the server does not hang up; it said %q", raw)
	}
	return string(raw)
}

// If this fails, a few slow connections occupy the server for ever.
func TestSlowClientsAreCutOff(t *testing.T) {
	authorized := "Host: x\r\nAuthorization: Bearer " + chainToken + "\r\n"
	for name, sent := range map[string]struct{ request, answer string }{
		"no request":    {"", ""},
		"half a header": {"GET /api/v1/things HTTP/1.1\r\nHost: x\r\nAuthor", ""},
		"half a body": {"POST /api/v1/things HTTP/1.1\r\n" + authorized +
			"Content-Type: application/json\r\nContent-Length: 20\r\n\r\n{\"note\"", " 422 "},
		"idle": {"GET /api/v1/session HTTP/1.1\r\nHost: x\r\n\r\n", " 401 "},
		"a body where none is taken": {"DELETE /api/v1/things/x HTTP/1.1\r\n" + authorized +
			"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", " 422 "},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newChain(t, echoTable, Options{})
				l := newPipes()
				l.ours(t, c)
				p := l.connect(t)
				if sent.request != "" {
					p.send("%s", sent.request)
				}
				if got := p.rest(); !strings.Contains(got, sent.answer) || strings.Contains(got, " 200 ") {
					t.Error(got)
				}
			})
		})
	}
}

// If this fails, a body that is too large keeps its client from the answer.
func TestBodyThatIsTooLarge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChain(t, echoTable, Options{})
		l := newPipes()
		l.ours(t, c)
		p := l.connect(t)
		p.send("POST /api/v1/things HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n", chainToken)
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			piece := strings.Repeat("x", 1<<10)
			for range 100 { // more than is read; the answer must come all the same
				if _, err := fmt.Fprintf(p, "400\r\n%s\r\n", piece); err != nil {
					break
				}
			}
		}()
		if got := p.rest(); !strings.Contains(got, " 413 ") {
			t.Error(got)
		}
		<-sent
	})
}

// If this fails, who sends too much, or too little, gets no answer.
func TestRequestsOfTheWrongSize(t *testing.T) {
	c := newChain(t, echoTable, Options{})
	c.limits.headerBytes = 8 << 10
	at, _ := served(t, c, ListenOptions{})
	t.Run("a truncated body", func(t *testing.T) {
		p := connect(t, at)
		p.send("POST /api/v1/things HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n{\"note\":\"x\"}", chainToken)
		if err := p.Conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if got := p.rest(); strings.Contains(got, " 200 ") {
			t.Error(got)
		}
	})
	t.Run("a huge header", func(t *testing.T) {
		p := connect(t, at)
		_, _ = fmt.Fprintf(p, "GET / HTTP/1.1\r\nHost: x\r\nX: %s\r\n\r\n", strings.Repeat("x", 64<<10)) // may be cut off in the middle
		if got := p.rest(); got != "" && !strings.Contains(got, " 431 ") {
			t.Error(got)
		}
	})
}

// If this fails, who begins to log in and does not go on holds a connection and a
// goroutine of a host whose server sets no deadlines, for ever.
func TestSlowBodiesEndInAHostWithoutDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChain(t, echoTable, Options{})
		l := newPipes()
		l.hosts(t, c)
		p := l.connect(t)
		p.send("POST /api/v1/session HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n{\"token\"")
		if got := p.rest(); !strings.Contains(got, " 422 ") {
			t.Error(got)
		}
		// One that is read in time leaves no deadline behind.
		q := l.connect(t)
		answers := bufio.NewReader(q)
		for range 3 {
			q.send("POST /api/v1/things HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}", chainToken)
			resp, err := http.ReadResponse(answers, nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != 200 {
				t.Fatalf("%s, %v", resp.Status, err)
			}
			time.Sleep(2 * c.limits.read) // past the deadline, which is what is tested
		}
	})
}

// If this fails, the page's live view ends after a minute, or a stream keeps the
// server from ending.
func TestStreamsOutliveTimeouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ticks := make(chan string)
		stream := func(_ *Handler, w http.ResponseWriter, c *call) error {
			for {
				select {
				case <-c.Context().Done():
					return nil
				case tick, more := <-ticks:
					if !more {
						return nil
					}
					_, _ = io.WriteString(w, tick+"\n")
					if err := http.NewResponseController(w).Flush(); err != nil {
						return err
					}
				}
			}
		}
		c := newChain(t, []route{{method: "GET", path: "/stream", right: RightView, stream: true, handle: stream}}, Options{})
		end := sync.OnceFunc(func() { close(ticks) })
		c.closers = append(c.closers, func(context.Context) error { end(); return nil })
		l := newPipes()
		stop := l.ours(t, c)
		p := l.connect(t)
		p.send("GET /api/v1/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", chainToken)
		lines := bufio.NewScanner(p)
		for i := range 4 {
			time.Sleep(2 * c.limits.write) // past the server's deadlines, which are what is tested
			tick := fmt.Sprintf("tick %d", i)
			ticks <- tick
			for lines.Scan() && lines.Text() != tick {
			}
			if lines.Text() != tick {
				t.Fatalf("the stream ended before tick %d: %v", i, lines.Err())
			}
		}
		ended := make(chan error, 1)
		go func() { ended <- stop() }()
		for lines.Scan() { // to its end
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := lines.Err(); err != nil {
			t.Error(err)
		}
	})
}

// If this fails, who asks for a stream and does not read holds a goroutine and a
// descriptor for ever.
func TestUnreadStreamsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan error, 1)
		flood := func(_ *Handler, w http.ResponseWriter, _ *call) error {
			_, err := io.Copy(w, endless{})
			ended <- err
			return nil
		}
		c := newChain(t, []route{{method: "GET", path: "/flood", right: RightView, stream: true, handle: flood}}, Options{})
		l := newPipes()
		l.ours(t, c)
		l.connect(t).send("GET /api/v1/flood HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", chainToken)
		select {
		case err := <-ended:
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("the stream ended with %v", err)
			}
		case <-time.After(time.Hour):
			t.Error("the stream goes on")
		}
	})
}

// If this fails, a stream leaves its deadline to the next request on the same
// connection, in a host's server that sets none.
func TestStreamsLeaveNoDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stream := func(_ *Handler, w http.ResponseWriter, _ *call) error {
			_, err := io.WriteString(w, "streamed")
			return err
		}
		c := newChain(t, append([]route{{method: "GET", path: "/stream", right: RightView, stream: true, handle: stream}}, echoTable...), Options{})
		l := newPipes()
		l.hosts(t, c)
		p := l.connect(t)
		answers := bufio.NewReader(p)
		for _, path := range []string{"stream", "things", "stream", "things"} {
			p.send("GET /api/v1/%s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", path, chainToken)
			resp, err := http.ReadResponse(answers, nil)
			if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != 200 {
				t.Errorf("%s: %s %v", path, resp.Status, err)
			}
			time.Sleep(2 * c.limits.stream) // past the stream's deadline, which is what is tested
		}
	})
}

// If this fails, work that a client waits for is cut off when the server ends, or
// is given up because the request itself was long since read.
func TestRequestsFinishWhenTheServerEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun, finish := make(chan struct{}), make(chan struct{})
		slow := func(_ *Handler, w http.ResponseWriter, c *call) error {
			close(begun)
			<-finish
			if err := c.Context().Err(); err != nil {
				return err
			}
			return writeJSON(w, http.StatusOK, "finished")
		}
		c := newChain(t, []route{{method: "GET", path: "/slow", right: RightView, handle: slow}}, Options{})
		l := newPipes()
		stop := l.ours(t, c)
		p := l.connect(t)
		p.send("GET /api/v1/slow HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", chainToken)
		<-begun
		time.Sleep(c.limits.read + time.Second) // past the deadline for reading, which is what is tested
		ended := make(chan error, 1)
		go func() { ended <- stop() }()
		synctest.Wait()
		want(t, c.do("GET", "/api/v1/session", ""), http.StatusServiceUnavailable, "unavailable")
		select {
		case err := <-ended:
			t.Fatalf("the server ended before its request: %v", err)
		default:
		}
		close(finish)
		if got := p.rest(); !strings.Contains(got, "finished") {
			t.Errorf("the client got %q", got)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// If this fails, a server whose listener broke goes on as if it served.
func TestServeTellsThatItsListenerBroke(t *testing.T) {
	c := newChain(t, nil, Options{})
	l, err := Listen(ListenOptions{Address: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.Serve(t.Context(), l); !errors.Is(err, net.ErrClosed) || !strings.Contains(err.Error(), l.Addr().String()) {
		t.Errorf("served: %v", err)
	}
}

// If this fails, an archive that is downloaded is not the file on the disk.
func TestFilesAreSentWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "archive")
	content := make([]byte, 3*streamPiece+17)
	for i := range content {
		content[i] = byte(i >> 8)
	}
	rewrite(t, path, string(content))
	send := func(_ *Handler, w http.ResponseWriter, c *call) error {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }() // was only read
		http.ServeContent(w, c.Request, "", time.Time{}, f)
		return nil
	}
	c := newChain(t, []route{{method: "GET", path: "/streamed", stream: true, handle: send}, {method: "GET", path: "/plain", handle: send}}, Options{})
	at, _ := served(t, c, ListenOptions{})
	for _, name := range []string{"streamed", "plain"} {
		for rangeOf, part := range map[string][]byte{"": content, "bytes=100-300000": content[100:300001]} {
			r, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+at+"/api/v1/"+name, nil)
			if err != nil {
				t.Fatal(err)
			}
			if rangeOf != "" {
				r.Header.Set("Range", rangeOf)
			}
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if err != nil || !bytes.Equal(got, part) {
				t.Errorf("%s %s: %d bytes of %d, %v", name, rangeOf, len(got), len(part), err)
			}
		}
	}
	http.DefaultClient.CloseIdleConnections()
}
