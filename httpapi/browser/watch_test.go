package browser

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
)

// watch notes what a page must not do: write to the console, throw, break its
// policy, ask another host, get an answer of 400 and above, open a native dialog.
type watch struct {
	mu       sync.Mutex
	host     string                       // the only one that may be asked
	requests map[network.RequestID]string // "GET /path"
	bytes    int64                        // received, with headers, compressed
	faults   []string
	allowed  []*regexp.Regexp
	dismiss  func() // ends a native dialog
}

// allow lets faults pass that match pattern, whenever they come.
func (w *watch) allow(pattern string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.allowed = append(w.allowed, regexp.MustCompile(pattern))
}

func (w *watch) fault(format string, args ...any) {
	w.faults = append(w.faults, strings.TrimSpace(fmt.Sprintf(format, args...)))
}

// see takes every event of the page, in their order. It runs while chromedp waits.
func (w *watch) see(event any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventConsoleAPICalled:
		var words []string
		for _, arg := range e.Args {
			words = append(words, describe(arg))
		}
		w.fault("console.%s: %s", e.Type, strings.Join(words, " "))
	case *runtime.EventExceptionThrown:
		d := e.ExceptionDetails
		w.fault("exception: %s %s (%s:%d)", d.Text, describe(d.Exception), d.URL, d.LineNumber+1)
	case *runtime.EventBindingCalled:
		w.fault("policy: %s", e.Payload)
	case *page.EventJavascriptDialogOpening:
		w.fault("native %s: %s", e.Type, e.Message)
		go w.dismiss() // it holds up the page, and with it the test
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelVerbose {
			return // advice
		}
		w.fault("log %s %s: %s %s", e.Entry.Source, e.Entry.Level, e.Entry.Text, e.Entry.URL)
	case *audits.EventIssueAdded:
		w.fault("issue: %s", issue(e.Issue))
	default:
		w.seeNetwork(event)
	}
}

func (w *watch) seeNetwork(event any) {
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		u, err := url.Parse(e.Request.URL)
		if err == nil && u.Scheme == "data" {
			return // the sign in a field that the browser draws; the page's own are forbidden by the policy
		}
		if err != nil || u.Host != w.host {
			w.fault("request to another host: %s", e.Request.URL)
			return
		}
		w.requests[e.RequestID] = e.Request.Method + " " + u.Path
	case *network.EventResponseReceived:
		if e.Response.Status >= 400 {
			w.fault("answer %d: %s", e.Response.Status, w.requests[e.RequestID])
		}
	case *network.EventLoadingFinished:
		w.bytes += int64(e.EncodedDataLength)
	case *network.EventLoadingFailed:
		if !e.Canceled || e.BlockedReason != "" {
			w.fault("no answer: %s: %s %s", w.requests[e.RequestID], e.ErrorText, e.BlockedReason)
		}
	}
}

func describe(o *runtime.RemoteObject) string {
	if o == nil {
		return ""
	}
	if o.Description != "" {
		return o.Description
	}
	return string(o.Value)
}

// issue is what the issues panel of DevTools would show.
func issue(i *audits.InspectorIssue) string {
	if g := i.Details.GenericIssueDetails; g != nil {
		return fmt.Sprintf("%s: %s %s", i.Code, g.ErrorType, g.ViolatingNodeAttribute)
	}
	return string(i.Code)
}

// unexpected are the faults that nothing allows.
func (w *watch) unexpected() (all []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range w.faults {
		if !slices.ContainsFunc(w.allowed, func(r *regexp.Regexp) bool { return r.MatchString(f) }) {
			all = append(all, f)
		}
	}
	return all
}

func (w *watch) check(t testing.TB) {
	t.Helper()
	for _, f := range w.unexpected() {
		t.Errorf("the page: %s", f)
	}
}

// received is how many bytes have come over the network.
func (w *watch) received() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.bytes
}
