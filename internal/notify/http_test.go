package notify

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

const secretPath = "/T000/s3cret-token"

var sample = Message{ID: "src-7", Kind: AtRisk, Phase: Began, At: noon, Since: noon, Code: "overdue", Text: "at risk: a scheduled backup did not come <now> & then",
	Times: 1, Detail: "/srv/customers.db", Key: "protected"}

// server answers on loopback and remembers the last request.
type server struct {
	*httptest.Server
	header http.Header
	query  string
	path   string
	body   string
	asked  int
}

func newServer(t *testing.T, answer http.HandlerFunc) *server {
	s := &server{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		s.header, s.path, s.query, s.body = r.Header, r.URL.Path, r.URL.RawQuery, string(body)
		s.asked++
		if answer != nil {
			answer(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// If this fails, a receiver takes what another one sent, or cannot distinguish an old message from a new one.
func TestWebhookIsSigned(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	r := Receiver{Webhook: Secret(s.URL + secretPath), Format: JSON, Key: "s3cret-key", Label: "crm"}
	if err := sendMessage(t.Context(), newClient(), r, sample.to(r), time.Unix(1234, 0)); err != nil {
		t.Fatal(err)
	}
	if s.path != secretPath || s.header.Get(headerID) != "src-7" || s.header.Get(headerTimestamp) != "1234" || s.header.Get("Content-Type") != "application/json" {
		t.Errorf("%s %v", s.path, s.header)
	}
	if got, want := s.header.Get(headerSignature), "v1="+sign("s3cret-key", "1234", []byte(s.body)); got != want {
		t.Errorf("signature %q, want %q", got, want)
	}
	// printf '1234.body' | openssl dgst -sha256 -hmac key
	if got := sign("key", "1234", []byte("body")); got != "ae3e32c087186a283509d24d0204be8ab6c7a6ea65d6b0f9f5f243baef74a699" {
		t.Errorf("%q", got)
	}
	var m map[string]any
	if err := json.Unmarshal([]byte(s.body), &m); err != nil || m["label"] != "crm" || m["detail"] != nil || m["key"] != nil || m["code"] != "overdue" || m["since"] != "2031-03-05T12:00:00Z" {
		t.Errorf("%v %s", err, s.body)
	}
	r.Key, r.Details = "", true
	if err := sendMessage(t.Context(), newClient(), r, sample.to(r), time.Unix(1234, 0)); err != nil || s.header.Get(headerSignature) != "" || !strings.Contains(s.body, `"detail":"/srv/customers.db"`) {
		t.Errorf("%v %v %s", err, s.header, s.body)
	}
}

// If this fails, a service does not understand the message, or takes a part of it for its own markup.
func TestFormats(t *testing.T) {
	t.Parallel()
	const text = "snapd: at risk: a scheduled backup did not come <now> & then."
	for f, want := range map[Format]string{
		Slack:   `{"text":"snapd: at risk: a scheduled backup did not come &lt;now&gt; &amp; then."}`,
		Discord: `{"allowed_mentions":{"parse":[]},"content":"` + text + `"}`,
		Ntfy:    text,
		Gotify:  `{"message":"` + text + `","priority":6,"title":"snapd: at risk"}`,
	} {
		s := newServer(t, nil)
		r := Receiver{Webhook: Secret(s.URL), Format: f}
		if err := sendMessage(t.Context(), newClient(), r, sample.to(r), noon); err != nil || s.body != want {
			t.Errorf("%s: %v\n%s, want\n%s", f, err, s.body, want)
		}
		if f == Ntfy && (s.header.Get("Title") != "snapd: at risk" || s.header.Get("Priority") != "4") {
			t.Errorf("%v", s.header)
		}
	}
	r := Receiver{Label: "Büro"}
	if got := ascii(sample.to(r).title()); got != "B?ro: at risk" {
		t.Errorf("%q", got)
	}
}

// If this fails, a receiver that misbehaves is believed, or its secrets are in an error.
func TestWebhooksThatMisbehave(t *testing.T) {
	t.Parallel()
	other := newServer(t, nil)
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   string // "" for a success
	}{
		"204": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }, ""},
		"500 that repeats us": {func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(500)
			_, _ = io.WriteString(w, r.URL.String())
		}, "500 Internal Server Error"},
		"418": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(418) }, "418"},
		"to another host": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL+r.URL.Path, http.StatusTemporaryRedirect)
		}, "redirects"},
		"to another method": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/new", http.StatusFound) }, "redirects"},
		"for ever": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, r.URL.Path, http.StatusTemporaryRedirect)
		}, "redirects"},
		"a body without end":   {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.Copy(w, io.LimitReader(zeros{}, 8<<20)) }, ""},
		"a header without end": {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("x", 1<<20)) }, "exceeded"},
		"garbage": {func(w http.ResponseWriter, r *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, "POST "+r.URL.String()+" is no answer\r\n\r\n")
			_ = conn.Close()
		}, "malformed HTTP"},
	} {
		s := newServer(t, c.answer)
		r := Receiver{Webhook: Secret(s.URL + secretPath)}
		err := sendMessage(t.Context(), newClient(), r, sample.to(r), noon)
		text := said(err, r)
		if (err == nil) != (c.want == "") || !strings.Contains(text, c.want) || strings.Contains(text, "s3cret") {
			t.Errorf("%s: %q, want %q", name, text, c.want)
		}
	}
	if other.asked > 0 {
		t.Error("the secret went to another host")
	}
	again := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/new" {
			http.Redirect(w, r, "/new", http.StatusPermanentRedirect)
		}
	})
	if err := sendMessage(t.Context(), newClient(), Receiver{Webhook: Secret(again.URL)}, sample, noon); err != nil || again.path != "/new" || again.body == "" {
		t.Errorf("within the host: %v, %+v", err, again)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// No server listens; and one does but never answers.
func TestWebhooksThatDoNotAnswer(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := Receiver{Webhook: Secret("http://" + l.Addr().String() + secretPath)}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- sendMessage(ctx, newClient(), r, sample, noon) }()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	cancel() // as its time limit does
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("hung: %v", err)
	}
	_ = conn.Close()
	_ = l.Close()
	r.Webhook = Secret("http://127.0.0.1:1" + secretPath) // a port that no other test gets
	if text := said(sendMessage(t.Context(), newClient(), r, sample, noon), r); !strings.Contains(text, "refused") || strings.Contains(text, "s3cret") {
		t.Errorf("refused: %q", text)
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]time.Duration{"": 0, "120": 2 * time.Minute, "-5": 0, "soon": 0, "99999999999999999999": 0,
		noon.Add(time.Hour).Format(http.TimeFormat): time.Hour, noon.Add(-time.Hour).Format(http.TimeFormat): 0} {
		if got := retryAfter(header, noon); got != want {
			t.Errorf("%q: %s, want %s", header, got, want)
		}
	}
	o := &outbox{}
	o.ended(noon, errors.New("x"), 1000*time.Hour, lastRetry, "x")
	if o.Retry.After(noon.Add(lastRetry)) {
		t.Errorf("a receiver asked for silence until %s, and gets it", o.Retry)
	}
}

// The ways of healthchecks, on the wire.
func TestPingOnTheWire(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	r := Receiver{Ping: Secret(s.URL + "/uuid?create=1")}
	for _, c := range []struct {
		p           ping
		path, query string
	}{
		{ping{What: pingSuccess}, "/uuid", "create=1"},
		{ping{What: pingStart, rid: "r-1"}, "/uuid/start", "create=1&rid=r-1"},
		{ping{What: pingFail, line: "snapd: at risk"}, "/uuid/fail", "create=1"},
	} {
		if err := sendPing(t.Context(), newClient(), r, c.p); err != nil || s.path != c.path || s.query != c.query || s.body != c.p.line {
			t.Errorf("%+v: %v, %s?%s %q", c.p, err, s.path, s.query, s.body)
		}
	}
}
