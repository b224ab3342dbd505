package browser

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"

	"example.com/snapd/internal/testdb"
)

// specimen serves a page that does what pages must not, at the press of a button.
func specimen(t *testing.T) (host string) {
	t.Helper()
	files := http.FileServer(http.Dir("testdata/harness"))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self' http://127.0.0.1:1")
		files.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// recorder stands for a test that is expected to fail.
type recorder struct {
	testing.TB
	errors []string
}

func (r *recorder) Helper()                   {}
func (r *recorder) Errorf(f string, a ...any) { r.errors = append(r.errors, fmt.Sprintf(f, a...)) }

// A watch that sees nothing would let every other test of this package pass.
func TestFaultsAreSeen(t *testing.T) {
	t.Parallel()
	host := specimen(t)
	for button, want := range map[string]string{
		"log":       `console.log: "hello"`,
		"throw":     "exception: Uncaught Error: thrown",
		"reject":    "exception: Uncaught (in promise) Error: rejected",
		"missing":   "answer 404: GET /nowhere",
		"elsewhere": "request to another host: http://127.0.0.1:1/",
		"inline":    "policy: script-src-elem inline",
		"style":     "policy: style-src-attr inline",
		"alert":     "native alert: stop",
	} {
		t.Run(button, func(t *testing.T) {
			t.Parallel()
			p := newTab(t, host, desktop)
			p.visit("http://" + host + "/")
			p.sees(hook(button))
			if faults := p.unexpected(); len(faults) > 0 {
				t.Fatalf("before anything was pressed: %v", faults)
			}
			p.click(hook(button))
			p.wait("done", "document.body.dataset.done === "+quote(button))
			if all := strings.Join(p.unexpected(), "\n"); !strings.Contains(all, want) {
				t.Errorf("seen: %q, want %q", all, want)
			}
			p.allow("") // as expected
		})
	}
}

// The helpers that judge have to find what is wrong, and pass what is right.
func TestJudgesJudge(t *testing.T) {
	t.Parallel()
	if _, err := axeSource(); err != nil {
		testdb.Missing(t, "axe-core", "make tools")
	}
	host := specimen(t)
	p := newTab(t, host, device{width: 390, height: 800, dark: true, still: true})
	p.visit("http://" + host + "/#part")
	if got := p.path(); got != "/#part" {
		t.Errorf("path %q", got)
	}
	p.accessible("specimen")
	if len(p.unexpected()) > 0 {
		t.Fatal("already the specimen is bad")
	}
	p.allow("GenericIssue: FormLabel")
	p.click(hook("break"))
	r := &recorder{TB: t}
	bad := *p
	bad.t = r
	bad.accessible("broken")
	if all := strings.Join(r.errors, "\n"); !strings.Contains(all, "label") || !strings.Contains(all, "color-contrast") {
		t.Errorf("axe found: %s", all)
	}
	p.hears("button", "write to the console")
	r.errors = nil
	bad.hears("button", "no such button")
	if len(r.errors) != 1 {
		t.Errorf("a button that is not there was heard")
	}
	if !must[bool](p, "innerWidth === 390 && matchMedia('(prefers-color-scheme: dark)').matches && matchMedia('(prefers-reduced-motion: reduce)').matches") {
		t.Error("the device is not the one asked for")
	}
	p.tabTo(hook("field"), 30)
	p.fill(hook("field"), "text")
	p.press(kb.Escape)
	p.wait("typed", "document.activeElement.value === 'text' && document.body.dataset.key === 'Escape'")
	p.click(hook("shift"))
	p.wait("shifted", "document.body.dataset.done === 'shift' && snapdShifts.length > 0 && snapdLong.length > 0")
}
