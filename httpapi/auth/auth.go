// Package auth decides who makes an HTTP request and what it may do.
//
// There are two ways to authenticate: the host's own function, or the built-in token, which a
// program sends with each request and a person exchanges for a session on the page:
//
//	request ─┬─ host's function ───────────────────────────► Principal
//	         ├─ Authorization: Bearer ─ throttle ─ token file ► "program"
//	         └─ cookie ─ sessions.json, HMAC under the token ─► "administrator"
//
// The token file is followed: a changed token is good from the next request on, and ends all
// sessions. While the file cannot be used, every request is refused.
//
// The package writes no answers but the cookie. Its errors are values; see [ErrUnauthorized],
// [WrongTokenError], [ThrottledError] and [ErrTokenFile].
package auth

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"time"

	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/message"
)

// Names of the built-in token's holders, for the activity log. A host that wants people's own
// names has its own function.
const (
	personName  = "administrator" // logged in on the page
	programName = "program"       // sends the token with each request
)

// Options configure [New].
type Options struct {
	// Host authenticates requests in place of the built-in token.
	Host func(*http.Request) (Principal, error)
	// Dir is the backup directory. It is made when absent, and holds sessions.json.
	Dir string
	// TokenFile is the path of the built-in token.
	TokenFile string
	// TrustedProxies are the addresses whose X-Forwarded-For and X-Forwarded-Proto are believed.
	TrustedProxies []netip.Prefix
	Logger         *slog.Logger
	Now            func() time.Time
}

// Auth authenticates requests. Its methods are safe for concurrent use.
type Auth struct {
	host    func(*http.Request) (Principal, error)
	cookie  string   // name of the session cookie
	builtin *builtin // nil with host
	proxies proxies
	log     *slog.Logger
	now     func() time.Time
}

// builtin is the state of the built-in token.
type builtin struct {
	token    *tokenFile
	sessions *sessions
	throttle *throttle
}

// New returns an Auth. With the built-in token it makes the token file when that is absent. A
// token file that cannot be used is an error; an unusable sessions.json is logged, and people
// log in again.
func New(o Options) (*Auth, error) {
	a := &Auth{host: o.Host, cookie: cookieName(o.Dir), proxies: o.TrustedProxies, log: o.Logger, now: o.Now}
	if o.Host != nil {
		return a, nil
	}
	// The first backup makes the directory otherwise; a first start comes before it.
	if err := durable.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("backup directory: %w", err)
	}
	token, err := openToken(o.TokenFile, filepath.Dir(o.TokenFile) != filepath.Clean(o.Dir))
	if err != nil {
		return nil, err
	}
	kept, err := openSessions(filepath.Join(o.Dir, sessionFile))
	if err != nil {
		a.log.Warn("all sessions have ended: their file cannot be used", "error", message.OneLine(err.Error()))
	}
	a.builtin = &builtin{token: token, sessions: kept, throttle: newThrottle()}
	return a, nil
}

// cookieName differs by directory: browsers share cookies between the ports of a machine, and
// two servers there must not end each other's sessions.
func cookieName(dir string) string {
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	sum := sha256.Sum256([]byte(dir))
	return "snapd_" + hex.EncodeToString(sum[:4])
}

// BuiltIn reports whether the built-in token is in use, and people can log in and out.
func (a *Auth) BuiltIn() bool { return a.builtin != nil }

// CookieName returns the name of the session cookie without TLS; with TLS "__Host-" is before it.
func (a *Auth) CookieName() string { return a.cookie }

// TokenCreated reports whether [New] made the token file.
func (a *Auth) TokenCreated() bool { return a.builtin != nil && a.builtin.token.created }

// Token reads the built-in token from its file. It is a secret.
func (a *Auth) Token() (string, error) {
	token, _, err := a.builtin.token.token()
	return token, err
}

// Identity is an authenticated principal. For a session, Expires is its latest end, and Ended
// is closed when it ends before; they are zero and nil otherwise.
type Identity struct {
	Principal
	Expires time.Time
	Ended   <-chan struct{}
}

// Authenticate finds out who makes the request. It may be called again for an open stream. An
// error that is neither ErrUnauthorized nor *ThrottledError means that the answer is unknown.
func (a *Auth) Authenticate(r *http.Request) (Identity, error) {
	if a.host != nil {
		who, err := a.host(r)
		return Identity{Principal: who}, err
	}
	hash, err := a.currentHash()
	if err != nil {
		return Identity{}, err
	}
	if token, sent := bearerToken(r); sent {
		if err := a.prove(r, token, hash, false); err != nil {
			return Identity{}, err
		}
		return Identity{Principal: Principal{Name: programName, Rights: AllRights()}}, nil
	}
	s, ok := a.session(r, hash)
	if !ok {
		return Identity{}, ErrUnauthorized
	}
	return Identity{Principal{Name: personName, Rights: AllRights()}, s.expires, s.ended}, nil
}

// Login begins a session for the holder of the token and sets its cookie, which the browser
// sends below path only; "" is "/". It ends the session that the request has already: one
// browser, one session.
func (a *Auth) Login(w http.ResponseWriter, r *http.Request, token, path string) (Principal, error) {
	hash, err := a.currentHash()
	if err != nil {
		return Principal{}, err
	}
	if err := a.prove(r, token, hash, true); err != nil {
		return Principal{}, err
	}
	a.endSession(r, hash)
	id, _, err := a.builtin.sessions.begin(hash, a.now())
	if err != nil {
		a.log.Warn("the session will not outlive this process", "error", message.OneLine(err.Error()))
	}
	a.setCookie(w, r, id, path, int(sessionLife/time.Second))
	return Principal{Name: personName, Rights: AllRights()}, nil
}

// Logout ends the request's session, if it has one, and clears the cookie of that path, and
// one of "/".
func (a *Auth) Logout(w http.ResponseWriter, r *http.Request, path string) error {
	hash, err := a.currentHash()
	if err != nil {
		return err
	}
	a.endSession(r, hash)
	a.setCookie(w, r, "", "/", -1)
	if path != "/" && !a.proxies.encrypted(r) {
		a.setCookie(w, r, "", path, -1)
	}
	return nil
}

// ErrTokenFile is the error of requests while the token file cannot be used. The log has the
// cause.
var ErrTokenFile = errors.New("the token file cannot be used")

// currentHash returns the hash of the present token. A change of the token ends all sessions.
func (a *Auth) currentHash() (tokenHash, error) {
	hash, changed, err := a.builtin.token.refresh()
	if err != nil {
		if text := a.builtin.token.complaint(err); text != "" {
			a.log.Error("the token file cannot be used: every request is refused", "error", text)
		}
		return tokenHash{}, fmt.Errorf("%w: %w", ErrTokenFile, err)
	}
	if changed {
		a.log.Info("the token was changed: all sessions ended")
		if err := a.builtin.sessions.endAll(); err != nil {
			a.log.Warn("sessions", "error", message.OneLine(err.Error())) // void anyway: see mac
		}
	}
	return hash, nil
}

// maxCookies bounds how many cookies of our name are tried: pages of a neighbouring domain can
// set some, too.
const maxCookies = 4

// sessionIDs returns the session ids that the request's cookies name.
func (a *Auth) sessionIDs(r *http.Request) (ids []string) {
	cookies := r.CookiesNamed(a.cookieFor(r))
	for _, cookie := range cookies[:min(len(cookies), maxCookies)] {
		ids = append(ids, cookie.Value)
	}
	return ids
}

// session finds the session of the request's cookie.
func (a *Auth) session(r *http.Request, hash tokenHash) (*session, bool) {
	for _, id := range a.sessionIDs(r) {
		if s, ok := a.builtin.sessions.find(id, hash, a.now()); ok {
			return s, true
		}
	}
	return nil, false
}

func (a *Auth) endSession(r *http.Request, hash tokenHash) {
	for _, id := range a.sessionIDs(r) {
		if err := a.builtin.sessions.endOne(id, hash); err != nil {
			a.log.Error("an ended session may come back at a restart", "error", message.OneLine(err.Error()))
		}
	}
}

// hostOnly begins the name of a cookie that browsers take over TLS from the very host only:
// neither a neighbouring domain nor a page without TLS can set one. Its path must be "/".
const hostOnly = "__Host-"

// cookieFor is the name of the session cookie on the request's connection.
func (a *Auth) cookieFor(r *http.Request) string {
	if a.proxies.encrypted(r) {
		return hostOnly + a.cookie
	}
	return a.cookie
}

func (a *Auth) setCookie(w http.ResponseWriter, r *http.Request, value, path string, age int) {
	encrypted := a.proxies.encrypted(r)
	if encrypted || path == "" {
		path = "/"
	}
	http.SetCookie(w, &http.Cookie{Name: a.cookieFor(r), Value: value, Path: path, MaxAge: age,
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: encrypted})
}

// bearerToken returns the token of an Authorization header. Other schemes are between the
// browser and a proxy. Two tokens are no token.
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

// WrongTokenError reports a wrong token, which is an ErrUnauthorized.
type WrongTokenError struct {
	From     string // the client's address
	Repeated bool   // the same token came from there before
}

func (e *WrongTokenError) Error() string { return "wrong token from " + e.From }

// Is makes the error an [ErrUnauthorized].
func (e *WrongTokenError) Is(target error) bool { return target == ErrUnauthorized }

// ThrottledError reports that too many wrong tokens came before this one, which was not looked at.
type ThrottledError struct{ Wait time.Duration }

func (e *ThrottledError) Error() string {
	return fmt.Sprintf("too many wrong tokens; the next one is accepted in %s", e.Wait)
}

// prove compares a token with the right one, unless too many from the same client were wrong.
func (a *Auth) prove(r *http.Request, sent string, hash tokenHash, login bool) error {
	from := a.proxies.client(r)
	got := hashToken(sent)
	good := hash.equal(got)
	if good && unguessable(sent) {
		return nil // otherwise guessing from the same address, or from many, would keep its holder out
	}
	judged, wait := a.builtin.throttle.attempt(from.key(), a.now(), got, good, login)
	switch judged {
	case tokenGood:
		return nil
	case tokenWithheld:
		return &ThrottledError{Wait: wait}
	case tokenRepeated:
		return &WrongTokenError{From: from.String(), Repeated: true}
	default:
		return &WrongTokenError{From: from.String()}
	}
}

// Client returns the address that the request comes from, for the activity log.
func (a *Auth) Client(r *http.Request) string { return a.proxies.client(r).String() }
