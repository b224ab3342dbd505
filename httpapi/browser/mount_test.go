package browser

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/chromedp"

	"example.com/snapd/httpapi"
	"example.com/snapd/internal/testdb"
)

// wholePass is what every user does with the page: look, create, restore, undo. It
// goes through every kind of request that the page makes.
func (s *site) wholePass(p *tab, note string) {
	s.t.Helper()
	p.fill(hook("create-note"), note)
	p.click(hook("create-submit"))
	p.says(hook("backups"), note)
	p.gone(hook("operation-cancel"))
	before := s.count(rows)
	s.exec("DELETE FROM contacts WHERE id = (SELECT max(id) FROM contacts)")
	b := s.find("latest")
	p.does(b, "verify")
	p.says(hook("outcome"), "complete and sound")
	p.does(b, "restore")
	p.confirmRestore()
	p.sees(hook("undo-banner"))
	if n := s.count(rows); n != before {
		s.t.Errorf("%d contacts, want %d", n, before)
	}
}

// A host mounts the page where it likes, behind its own prefix.
func TestBehindAPrefix(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(s *site) {
		s.prefix = "/admin/database/backups/"
		s.options = httpapi.Options{PagePrefix: "/backups/", APIPrefix: "/rest"}
		s.mount = func(h http.Handler) http.Handler {
			mux := http.NewServeMux()
			mux.Handle("/admin/database/", http.StripPrefix("/admin/database", h))
			return mux
		}
	})
	s.wholePass(s.open(desktop), "under a prefix")
}

// A proxy that strips a prefix knows nothing of the page, nor the page of it.
func TestBehindAProxy(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	target, err := url.Parse("http://" + s.addr)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewServer(http.StripPrefix("/customers/7", &httputil.ReverseProxy{
		Rewrite:  func(r *httputil.ProxyRequest) { r.SetURL(target); r.SetXForwarded() },
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), // streams end with their pages
	}))
	t.Cleanup(proxy.Close)
	s.addr, s.prefix = strings.TrimPrefix(proxy.URL, "http://"), "/customers/7"+s.prefix
	s.wholePass(s.open(desktop), "behind a proxy")
	p := s.open(desktop)
	p.visit("http://" + s.addr + strings.TrimSuffix(s.prefix, "/")) // redirected, still outside
	p.sees(hook("state"))
	if got := p.path(); got != s.prefix {
		t.Errorf("without the slash it leads to %s", got)
	}
}

// The host decides who may do what: buttons that can only be refused are traps.
func TestFewerRights(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(s *site) {
		s.options.Authorize = func(*http.Request) (httpapi.Principal, error) {
			return httpapi.Principal{Name: "auditor", Rights: []httpapi.Right{httpapi.RightView, httpapi.RightVerify}}, nil
		}
	})
	b := s.manual("seen")
	p := newTab(t, s.addr, desktop)
	p.visit(s.page())
	p.says(row(b), "seen")
	p.choose(b)
	p.sees(act(b, "verify"))
	for _, action := range []string{"restore", "delete", "pin", "note", "download"} {
		p.gone(act(b, action))
	}
	p.gone(hook("create-submit"))
	p.gone(hook("logout")) // the host's business
	p.does(b, "verify")
	p.says(hook("outcome"), "verif")
	p.says(hook("activity"), "auditor")
	p.accessible("with fewer rights")
}

// A user without rights has to see a message, not an empty page.
func TestNoRights(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(s *site) {
		s.options.Authorize = func(*http.Request) (httpapi.Principal, error) { return httpapi.Principal{Name: "nobody"}, nil }
	})
	p := newTab(t, s.addr, desktop)
	p.allow(`^(answer|log network error).*403`)
	p.visit(s.page())
	p.says("body", "right")
	p.accessible("without any right")
}

// A proxy that holds events back must not leave a user in front of a dead page.
func TestEventsDoNotGetThrough(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(s *site) {
		s.mount = func(h http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.URL.Path, "/events") {
					http.Error(w, "no", http.StatusBadGateway)
					return
				}
				h.ServeHTTP(w, r)
			})
		}
	})
	p := newTab(t, s.addr, desktop)
	p.allow(`/events`)
	p.allow(firstVisit)
	p.visit(s.page() + "#token=" + s.token())
	p.says(hook("connection"), "live updates do not get through")
	p.accessible("without events")
	p.fill(hook("create-note"), "seen all the same")
	p.click(hook("create-submit"))
	p.says(hook("backups"), "seen all the same")
	p.says(hook("outcome"), "backup is done")
}

// A server that answers the page but not the API: no data, no blank page, a way on.
func TestOnlyThePageAnswers(t *testing.T) {
	t.Parallel()
	var broken atomic.Bool
	s := newSite(t, func(s *site) {
		s.mount = func(h http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if broken.Load() && strings.Contains(r.URL.Path, "/api/") {
					http.Error(w, "<h1>Bad Gateway</h1>", http.StatusBadGateway)
					return
				}
				h.ServeHTTP(w, r)
			})
		}
	})
	p := s.open(desktop)
	p.allow(unreachable)
	broken.Store(true)
	p.visit(s.page())
	p.says("main", "does not answer")
	p.accessible("the API is away")
	p.fits(desktop)
	broken.Store(false)
	p.click("#unreachable-again")
	p.sees(hook("state"))
}

// Archives hold all the data: they leave only where the operator allows it, and then
// whole.
func TestDownload(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(s *site) { s.options.AllowDownload = true })
	b := s.manual("to take along")
	p := s.open(desktop)
	dir := t.TempDir()
	_, err := chromedp.CallBrowser(p.ctx, browser.SetDownloadBehavior, browser.SetDownloadBehaviorParams{
		Behavior: browser.SetDownloadBehaviorBehaviorAllow, DownloadPath: dir, BrowserContextID: chromedp.FromContext(p.ctx).BrowserContextID})
	if err != nil {
		t.Fatal(err)
	}
	p.does(b, "download")
	got := filepath.Join(dir, b.File)
	s.waitFor("the download", func() bool {
		st, err := os.Stat(got)
		return err == nil && st.Size() == b.ArchiveBytes
	})
	if testdb.FileHash(t, got) != testdb.FileHash(t, s.manager.ArchivePath(b)) {
		t.Error("it is not the archive")
	}
}
