package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// patience bounds every wait. Only failures use it up, on a machine that is as busy as it may be.
const patience = 2 * time.Minute

// tab is one page.
type tab struct {
	*watch
	t   testing.TB
	ctx context.Context
}

// device is how a page is looked at.
type device struct {
	width, height int64
	dark, still   bool // prefers-color-scheme: dark, prefers-reduced-motion: reduce
}

var desktop = device{width: 1280, height: 900}

// guard runs before any script of the page: it reports what breaks the policy and
// counts layout shifts and long tasks.
const guard = `
document.addEventListener('securitypolicyviolation', e => snapdViolation(e.violatedDirective + ' ' + e.blockedURI + ' ' + e.sourceFile + ':' + e.lineNumber));
window.snapdShifts = []; window.snapdLong = [];
new PerformanceObserver(l => { for (const e of l.getEntries()) if (!e.hadRecentInput) snapdShifts.push({value: e.value, at: e.startTime,
  what: e.sources.map(s => s.node && (s.node.outerHTML || s.node.textContent || '').slice(0, 120))}); }).observe({type: 'layout-shift', buffered: true});
new PerformanceObserver(l => { for (const e of l.getEntries()) snapdLong.push({ms: e.duration, at: e.startTime}); }).observe({type: 'longtask', buffered: true});
`

// newTab opens an empty page with cookies of its own that may talk to host only.
// At the end of the test it fails for everything the page must not do.
func newTab(t testing.TB, host string, d device) *tab {
	t.Helper()
	return openTab(t, startChromium(t), host, d, chromedp.WithNewBrowserContext())
}

// another opens a second page next to p, with the same cookies.
func (p *tab) another() *tab {
	p.t.Helper()
	return openTab(p.t, p.ctx, p.host, desktop)
}

func openTab(t testing.TB, parent context.Context, host string, d device, options ...chromedp.ContextOption) *tab {
	t.Helper()
	w := &watch{host: host, requests: map[network.RequestID]string{}}
	ctx, cancel := chromedp.NewContext(parent, append(options, chromedp.WithListener(w.see))...)
	p := &tab{watch: w, t: t, ctx: ctx}
	w.dismiss = func() {
		_, err := chromedp.Call(ctx, page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{Accept: true})
		if err != nil && ctx.Err() == nil {
			t.Errorf("dismiss a native dialog: %v", err)
		}
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the page showed: %s", p.text())
		}
		cancel()
		w.check(t)
	})
	p.do("open", chromedp.Func(func(ctx context.Context, tg *chromedp.Target) error {
		if _, err := cdp.Call(ctx, tg, runtime.AddBinding, runtime.AddBindingParams{Name: "snapdViolation"}); err != nil {
			return err
		}
		if _, err := cdp.Call(ctx, tg, audits.Enable, cdp.Empty{}); err != nil {
			return err
		}
		_, err := cdp.Call(ctx, tg, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: guard})
		return err
	}))
	p.look(d)
	return p
}

// look sets size and preferences.
func (p *tab) look(d device) {
	p.t.Helper()
	scheme, motion := "light", "no-preference"
	if d.dark {
		scheme = "dark"
	}
	if d.still {
		motion = "reduce"
	}
	p.do("look", chromedp.Func(func(ctx context.Context, tg *chromedp.Target) error {
		_, err := cdp.Call(ctx, tg, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: d.width, Height: d.height, DeviceScaleFactor: 1})
		if err != nil {
			return err
		}
		_, err = cdp.Call(ctx, tg, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: motion},
		}})
		return err
	}))
}

// do runs actions, or ends the test.
func (p *tab) do(what string, actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	// The first run may not have a deadline: it would be the page's.
	ctx := p.ctx
	if chromedp.FromContext(ctx).Target != nil {
		var cancel func()
		ctx, cancel = context.WithTimeout(ctx, patience)
		defer cancel()
	}
	if err := chromedp.Do(ctx, actions...); err != nil {
		p.t.Fatalf("%s: %v", what, err)
	}
}

// visit loads an address and waits for its load event.
func (p *tab) visit(address string) {
	p.t.Helper()
	p.do("visit "+address, chromedp.Navigate(address))
}

// ask evaluates a JavaScript expression in p; promises are awaited.
func ask[T any](p *tab, expression string) (T, error) {
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	return chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
}

// must is ask that ends the test on an error.
func must[T any](p *tab, expression string) T {
	p.t.Helper()
	v, err := ask[T](p, expression)
	if err != nil {
		p.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// wait waits until the expression is true, however often the page is loaded again
// meanwhile.
func (p *tab) wait(what, condition string) {
	p.t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := ask[bool](p, "Promise.resolve("+condition+").then(Boolean)")
		if ok && err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			p.t.Fatalf("%s: waited %v in vain for %s (%v); the page said\n%s", what, patience, condition, err, strings.Join(p.unexpected(), "\n"))
		}
	}
}

// text is what the page shows, on one line.
func (p *tab) text() string {
	s, err := ask[string](p, "document.body ? document.body.innerText : ''")
	if err != nil {
		return err.Error()
	}
	return strings.Join(strings.Fields(s), " ")
}

// path is the page's address without host.
func (p *tab) path() string {
	p.t.Helper()
	u, err := url.Parse(must[string](p, "location.href"))
	if err != nil {
		p.t.Fatal(err)
	}
	u.Scheme, u.Host, u.User = "", "", nil
	return u.String()
}

// quote makes a JavaScript literal.
func quote(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("quote %v: %v", v, err))
	}
	return string(raw)
}
