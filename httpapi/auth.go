package httpapi

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"example.com/snapd/snapshot"
)

// Names of who signs in with the built-in token, for the activity log. A host that
// wants people's own names gives Options.Authorize.
const (
	nameOfPerson  = "administrator" // who logged in on the page
	nameOfProgram = "program"       // who sends the token with each request
)

// builtin authorises by the token of the token file.
type builtin struct {
	token    *tokenFile
	sessions *sessions
	throttle *throttle
	cookie   string // name of the session cookie
}

// authorize finds out who makes the request. It is called again for streams that
// stay open, and must have no effect on them.
func (h *Handler) authorize(c *call) error {
	if h.o.Authorize != nil {
		who, err := h.o.Authorize(c.Request)
		if errors.Is(err, ErrUnauthorized) {
			return unauthorized("sign in where this application does so")
		}
		if err != nil {
			var p *problem
			if errors.As(err, &p) {
				return p
			}
			h.log.Error("authorise a request", "error", oneLine(err.Error()))
			return fail(http.StatusInternalServerError, "failed", "it could not be found out who makes this request", "the server's log has the details")
		}
		c.who, c.expires, c.ended = who, time.Time{}, nil
		return nil
	}
	hash, err := h.builtin.current(h)
	if err != nil {
		return err
	}
	if token, sent := bearerToken(c.Request); sent {
		if err := h.prove(c, token, hash, "access"); err != nil {
			return err
		}
		c.who, c.expires, c.ended = Principal{Name: nameOfProgram, Rights: AllRights()}, time.Time{}, nil
		return nil
	}
	s, ok := h.builtin.session(c.Request, hash, h.now())
	if !ok {
		return unauthorized("")
	}
	c.who = Principal{Name: nameOfPerson, Rights: AllRights()}
	c.expires, c.ended = s.expires, s.ended
	return nil
}

// bearerToken is the token of an Authorization header. Other schemes are between the
// browser and a proxy. Of several tokens none is: who sends two is not who they seem.
func bearerToken(r *http.Request) (token string, sent bool) {
	for _, value := range r.Header.Values("Authorization") {
		scheme, rest, _ := strings.Cut(value, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			continue
		}
		if sent {
			return "", true
		}
		token, sent = strings.TrimSpace(rest), true
	}
	return token, sent
}

// prove compares a token with the right one, unless too many from there were wrong.
func (h *Handler) prove(c *call, sent string, hash tokenHash, action string) error {
	from := h.client(c.Request)
	now := h.now()
	got := hashToken(sent)
	good := hash.equal(got)
	if good && unguessable(sent) {
		return nil // else who sends wrong ones from the same address, or from many, keeps its holder out
	}
	judged, wait := h.builtin.throttle.attempt(from.key(), now, got, good, action == "login")
	switch judged {
	case tokenGood:
		return nil
	case tokenWithheld:
		p := fail(http.StatusTooManyRequests, "throttled", "too many wrong tokens came from this address",
			fmt.Sprintf("try again in %d seconds", seconds(wait)))
		p.retryAfter = seconds(wait)
		return p
	case tokenWrong:
		h.refusals.record(h, snapshot.Activity{Who: "unknown", Action: action, Outcome: "refused", Detail: "wrong token from " + from.String()}, now)
	}
	return unauthorized("")
}

// seconds rounds up, so that who waits that long has waited enough.
func seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }

func unauthorized(hint string) *problem {
	if hint == "" {
		hint = "send Authorization: Bearer and the token, or log in on the page"
	}
	return fail(http.StatusUnauthorized, "unauthorized", "this needs a good token or a session that has not ended", hint)
}

// require lets the request go on if its maker is known and has the right.
func (h *Handler) require(c *call, right Right) error {
	if err := h.authorize(c); err != nil {
		return err
	}
	return h.need(c, right)
}

// need is for rights that depend on more than the route.
func (h *Handler) need(c *call, right Right) error {
	if c.who.May(right) {
		return nil
	}
	h.denials.record(h, snapshot.Activity{Who: c.who.Name, Action: "access", Outcome: "refused",
		Detail: fmt.Sprintf("%s %s needs the right %q", c.Method, brief(c.URL.Path), right)}, h.now())
	return fail(http.StatusForbidden, "forbidden", fmt.Sprintf("%s has not the right %q", nameOf(c.who), right), "")
}

func nameOf(p Principal) string {
	if p.Name == "" {
		return "somebody without a name"
	}
	return p.Name
}
