package httpapi

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"example.com/snapd/httpapi/auth"
	"example.com/snapd/snapshot"
)

// authenticate finds out who makes the request. It is called again for open streams.
func (h *Handler) authenticate(c *call) error {
	who, err := h.auth.Authenticate(c.Request)
	if err != nil {
		return h.unauthenticated(c, "access", err)
	}
	c.who = who
	return nil
}

// unauthenticated is the problem for an error of auth. It records wrong tokens.
func (h *Handler) unauthenticated(c *call, action string, err error) error {
	var throttled *auth.ThrottledError
	var wrong *auth.WrongTokenError
	switch {
	case errors.As(err, &throttled):
		p := fail(http.StatusTooManyRequests, "throttled", "too many wrong tokens came from this address",
			fmt.Sprintf("try again in %d seconds", seconds(throttled.Wait)))
		p.retryAfter = seconds(throttled.Wait)
		return p
	case errors.Is(err, auth.ErrUnauthorized):
		if errors.As(err, &wrong) && !wrong.Repeated {
			h.refusals.record(h, snapshot.Activity{Who: "unknown", Action: action, Outcome: "refused", Detail: wrong.Error()}, h.now())
		}
		hint := "send Authorization: Bearer and the token, or log in on the page"
		if !h.auth.BuiltIn() {
			hint = "sign in where this application does so"
		}
		return fail(http.StatusUnauthorized, "unauthorized", "this needs a good token or a session that has not ended", hint)
	case errors.Is(err, auth.ErrTokenFile):
		return fail(http.StatusInternalServerError, "failed", "the token file cannot be used", "the server's log has the details")
	default:
		h.log.Error("authorise a request", "error", oneLine(err.Error()))
		return fail(http.StatusInternalServerError, "failed", "it could not be found out who makes this request", "the server's log has the details")
	}
}

// seconds rounds up: a client that waits so long has waited enough.
func seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }

// authorize lets the request go on if its maker is known and has the right.
func (h *Handler) authorize(c *call, right Right) error {
	if err := h.authenticate(c); err != nil {
		return err
	}
	return h.need(c, right)
}

// need checks a right that depends on more than the route.
func (h *Handler) need(c *call, right Right) error {
	if c.who.May(right) {
		return nil
	}
	h.denials.record(h, snapshot.Activity{Who: c.who.Name, Action: "access", Outcome: "refused",
		Detail: fmt.Sprintf("%s %s needs the right %q", c.Method, brief(c.URL.Path), right)}, h.now())
	return fail(http.StatusForbidden, "forbidden", fmt.Sprintf("%s has not the right %q", nameOf(c.who), right), "")
}

func nameOf(who auth.Identity) string {
	if who.Name == "" {
		return "an unnamed user"
	}
	return who.Name
}
