package browser

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// wrongToken is what the server answers to a token that is none.
const wrongToken = `^answer 401: POST .*/session$|^log network error: .*401.*/session$`

// The address that the server prints is how the first visit begins. A token left in
// the address bar would be in the history, in bookmarks and over shoulders; a cookie
// that scripts can read, or that other sites' requests carry, would be worth stealing.
func TestLoginAddress(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.open(desktop)
	if got := p.path(); got != s.prefix {
		t.Errorf("the address is now %q, want %q: the token must not stay in it", got, s.prefix)
	}
	p.allow("^issue: PerformanceIssue$") // of reading document.cookie
	if kept := must[string](p, "document.cookie + JSON.stringify({...localStorage}) + JSON.stringify({...sessionStorage})"); strings.Contains(kept, s.token()) || strings.Contains(kept, "snapd_") {
		t.Errorf("scripts can read %q", kept)
	}
	p.do("cookies", chromedp.Func(func(ctx context.Context, tg *chromedp.Target) error {
		all, err := cdp.Call(ctx, tg, network.GetCookies, network.GetCookiesParams{URLs: []string{"http://" + s.addr + "/api/v1/status", s.page()}})
		if err != nil {
			return err
		}
		if len(all.Cookies) != 1 {
			t.Fatalf("%d cookies, want one", len(all.Cookies))
		}
		c := all.Cookies[0]
		if !c.HTTPOnly || c.Path != "/api/v1" || c.SameSite != network.CookieSameSiteStrict || !strings.HasPrefix(c.Name, "snapd_") || strings.Contains(c.Value, s.token()) {
			t.Errorf("cookie %+v", c)
		}
		return nil
	}))
	p.visit(s.page())
	p.sees(hook("state"))
	p.gone(hook("login-form"))
}

// A user without the address has to get in with the token, must learn when it
// is wrong, and must be out after signing out.
func TestLoginForm(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := newTab(t, s.addr, desktop)
	p.allow(firstVisit)
	p.allow(wrongToken)
	p.allow(`^(answer|log network error).*401.*/points/density`) // what was asked for when the session ended
	p.visit(s.page())
	p.sees(hook("login-form"))
	p.accessible("login")
	p.wait("focus", "document.activeElement?.dataset.testid === 'login-token'")
	p.types("not the token")
	p.press(kb.Enter)
	p.says(hook("login-form"), "token")
	p.wait("invalid", found(hook("login-token"))+".matches(':invalid, [aria-invalid=true]')")
	p.accessible("login, wrong token")
	p.fill(hook("login-token"), s.token())
	p.click(hook("login-submit"))
	p.sees(hook("state"))
	p.click(hook("logout"))
	p.sees(hook("login-form"))
	if shown := p.text(); strings.Contains(shown, "Protected") || strings.Contains(shown, "data.db") && must[bool](p, "Boolean("+found(hook("backups"))+")") {
		t.Errorf("after signing out it still shows: %s", shown)
	}
	p.visit(s.page())
	p.sees(hook("login-form"))
}

// Guessing is throttled; a user who mistyped has to learn that, and when to go on.
func TestThrottledLogin(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := newTab(t, s.addr, desktop)
	p.allow(firstVisit)
	p.allow(wrongToken)
	p.allow(`^(answer|log network error).*429`)
	p.visit(s.page())
	for n := range 12 { // the same again would be no further guess
		p.fill(hook("login-token"), fmt.Sprintf("guess number %d", n))
		p.press(kb.Enter)
		p.wait("answer", "!document.querySelector('[data-testid=login-submit]').matches('[aria-busy=true]')")
		if strings.Contains(strings.Join(p.faults, "\n"), "answer 429") {
			break
		}
	}
	p.says(hook("login-form"), "wait")
	p.accessible("login, throttled")
}

// A session that ends in the middle of things must neither leave the data on the
// screen nor lose the way back in.
func TestSessionEndsInMidUse(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.manual("here")
	p := s.open(desktop)
	p.sees(hook("backups"))
	other := p.another()
	other.visit(s.page())
	p.allow(`^(answer|log network error).*401`)
	other.allow(`^(answer|log network error).*401`)
	other.click(hook("logout"))
	other.sees(hook("login-form"))
	p.sees(hook("login-form"))
	p.gone(hook("backups"))
	p.accessible("session ended")
	p.fill(hook("login-token"), s.token())
	p.press(kb.Enter)
	p.sees(hook("state"))
	p.says(hook("backups"), "here")
}
