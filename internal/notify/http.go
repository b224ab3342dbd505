package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

const (
	webTimeout  = 10 * time.Second
	maxResponse = 64 << 10 // bytes that are read of a response, so that its connection can be used again
	maxHeader   = 64 << 10
	userAgent   = "snapd (notifications)"
)

// refusal is a response that is not a success.
type refusal struct {
	status int
	after  time.Duration // what the receiver asked to wait
}

func (e *refusal) Error() string {
	return fmt.Sprintf("it answered %d %s", e.status, http.StatusText(e.status))
}

// errRedirect: a message and its secrets go to the configured host only.
var errRedirect = errors.New("it redirects to another host, scheme or method; name the final address")

// newClient returns the client for all receivers. Proxies are those of the environment.
func newClient() *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxResponseHeaderBytes = maxHeader
	t.MaxIdleConnsPerHost = 1
	return &http.Client{Transport: t, Timeout: webTimeout, CheckRedirect: func(next *http.Request, via []*http.Request) error {
		first := via[0]
		if len(via) > 5 || next.URL.Host != first.URL.Host || next.URL.Scheme != first.URL.Scheme || next.Method != first.Method {
			return errRedirect
		}
		return nil
	}}
}

// post sends body to an address. Errors: *refusal, and those of the transport, without the address.
func post(ctx context.Context, client *http.Client, address string, header http.Header, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, webTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return errors.New("the address cannot be used")
	}
	req.Header = header
	req.Header.Set("User-Agent", userAgent)
	resp, err := client.Do(req)
	if err != nil {
		var with *url.Error // its text has the address
		for errors.As(err, &with) {
			err = with.Err
		}
		return err
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxResponse)) // what it says does not matter
	_ = resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return &refusal{resp.StatusCode, retryAfter(resp.Header.Get("Retry-After"), time.Now())}
	}
	return nil
}

// retryAfter reads the header of that name: seconds, or a date.
func retryAfter(header string, now time.Time) time.Duration {
	if n, err := strconv.ParseInt(header, 10, 32); err == nil {
		return max(0, time.Duration(n)*time.Second)
	}
	if at, err := http.ParseTime(header); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}

// sendPing sends p to the receiver's check.
func sendPing(ctx context.Context, client *http.Client, r Receiver, p ping) error {
	u, err := url.Parse(string(r.Ping))
	if err != nil {
		return errors.New("the address cannot be used")
	}
	if p.What != pingSuccess {
		u = u.JoinPath(p.What)
	}
	if p.rid != "" {
		q := u.Query()
		q.Set("rid", p.rid)
		u.RawQuery = q.Encode()
	}
	return post(ctx, client, u.String(), http.Header{"Content-Type": {"text/plain; charset=utf-8"}}, []byte(p.line))
}
