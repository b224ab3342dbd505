package httpapi

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"example.com/snapd/snapshot"
)

func sessionRoutes() []route {
	return []route{
		{method: http.MethodGet, path: "/session", handle: (*Handler).showSession},
		{method: http.MethodPost, path: "/session", body: smallBody, handle: (*Handler).login},
		{method: http.MethodDelete, path: "/session", handle: (*Handler).logout},
	}
}

// openBuiltin prepares the built-in token and its sessions.
func (h *Handler) openBuiltin() error {
	// Nothing was backed up yet at the first start: that makes the directory else.
	if err := os.MkdirAll(h.m.Dir(), 0o700); err != nil {
		return fmt.Errorf("backup directory: %w", err)
	}
	token, err := openToken(h.o.TokenFile)
	if err != nil {
		return err
	}
	kept, err := openSessions(filepath.Join(h.m.Dir(), sessionFile))
	if err != nil {
		h.log.Warn("nobody stays logged in", "error", oneLine(err.Error()))
	}
	h.builtin = &builtin{token: token, sessions: kept, throttle: newThrottle(), cookie: cookieName(h.m.Dir())}
	return nil
}

// cookieName differs by directory: cookies do not know ports, and two servers on
// one machine must not log each other's people out.
func cookieName(dir string) string {
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	sum := sha256.Sum256([]byte(dir))
	return "snapd_" + hex.EncodeToString(sum[:4])
}

// current is the hash of the token that holds now.
func (b *builtin) current(h *Handler) (tokenHash, error) {
	hash, changed, err := b.token.refresh()
	if err != nil {
		if text := b.token.complaint(err); text != "" {
			h.log.Error("the token file cannot be used: nobody is let in", "error", text)
		}
		return tokenHash{}, fail(http.StatusInternalServerError, "failed", "the token file cannot be used", "the server's log has the details")
	}
	if changed {
		h.log.Info("the token was changed: all sessions ended")
		if err := b.sessions.endAll(); err != nil {
			h.log.Warn("sessions", "error", oneLine(err.Error())) // void anyhow: see mac
		}
	}
	return hash, nil
}

// maxCookies bounds how many cookies of our name are tried: pages of a
// neighbouring domain can set others beside ours.
const maxCookies = 4

// session finds the session of the request's cookie.
func (b *builtin) session(r *http.Request, hash tokenHash, now time.Time) (*session, bool) {
	cookies := r.CookiesNamed(b.cookie)
	for _, cookie := range cookies[:min(len(cookies), maxCookies)] {
		if s, ok := b.sessions.find(cookie.Value, hash, now); ok {
			return s, true
		}
	}
	return nil, false
}

func (h *Handler) setCookie(w http.ResponseWriter, r *http.Request, value string, age int) {
	http.SetCookie(w, &http.Cookie{Name: h.builtin.cookie, Value: value, Path: "/", MaxAge: age,
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: h.encrypted(r)})
}

// sessionDocument is what the page needs to know before anything else.
type sessionDocument struct {
	Name      string     `json:"name"`
	Rights    []Right    `json:"rights"`
	Login     bool       `json:"login"` // the built-in token is in use: there is something to log out of
	ExpiresAt *time.Time `json:"expires_at"`
	Database  string     `json:"database"`
	Downloads bool       `json:"downloads"`
	Version   string     `json:"version"`
}

func (h *Handler) showSession(w http.ResponseWriter, c *call) error {
	if err := h.authorize(c); err != nil {
		return err
	}
	doc := sessionDocument{Name: c.who.Name, Rights: append([]Right{}, c.who.Rights...), Login: h.builtin != nil,
		Database: filepath.Base(h.m.Database()), Downloads: h.o.AllowDownload, Version: buildVersion()}
	if !c.expires.IsZero() {
		end := c.expires.UTC()
		doc.ExpiresAt = &end
	}
	return writeJSON(w, http.StatusOK, doc)
}

var buildVersion = sync.OnceValue(func() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
})

type loginRequest struct {
	Token string `json:"token"`
}

func (h *Handler) login(w http.ResponseWriter, c *call) error {
	if h.builtin == nil {
		return fail(http.StatusNotFound, "not_found", "nobody logs in here", "sign in where this application does so")
	}
	var body loginRequest
	if err := decode(w, c, smallBody, &body); err != nil {
		return err
	}
	sent := strings.TrimSpace(body.Token)
	if sent == "" {
		return invalid("the token is missing", `send {"token":"…"}`)
	}
	hash, err := h.builtin.current(h)
	if err != nil {
		return err
	}
	if err := h.prove(c, sent, hash, "login"); err != nil {
		return err
	}
	h.endCookies(c, hash) // one browser, one session
	now := h.now()
	id, _, err := h.builtin.sessions.begin(hash, now)
	if err != nil {
		h.log.Warn("the session will not outlive this process", "error", oneLine(err.Error()))
	}
	h.record(snapshot.Activity{Who: nameOfPerson, Action: "login", Outcome: "done", Detail: "from " + h.client(c.Request).String()})
	h.setCookie(w, c.Request, id, int(sessionLife/time.Second))
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (h *Handler) endCookies(c *call, hash tokenHash) {
	cookies := c.CookiesNamed(h.builtin.cookie)
	for _, cookie := range cookies[:min(len(cookies), maxCookies)] {
		if err := h.builtin.sessions.endOne(cookie.Value, hash); err != nil {
			h.log.Error("an ended session may come back at a restart", "error", oneLine(err.Error()))
		}
	}
}

// logout needs no session: what is not there has ended.
func (h *Handler) logout(w http.ResponseWriter, c *call) error {
	if h.builtin == nil {
		return fail(http.StatusNotFound, "not_found", "nobody logs in here", "sign out where this application does so")
	}
	hash, err := h.builtin.current(h)
	if err != nil {
		return err
	}
	h.endCookies(c, hash)
	h.setCookie(w, c.Request, "", -1)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// TokenCreated reports whether [New] made the token file: its address is then
// worth printing, once.
func (h *Handler) TokenCreated() bool { return h.builtin != nil && h.builtin.token.created }

// LoginURL is the page's address below base, e.g. "http://127.0.0.1:8321", with
// the token in its fragment, which browsers do not send: who opens it is logged
// in. It is a secret. Without the built-in token it is the page's plain address.
func (h *Handler) LoginURL(base string) string {
	page := strings.TrimRight(base, "/") + h.o.PagePrefix
	if h.builtin == nil {
		return page
	}
	token, _, err := readToken(h.o.TokenFile)
	if err != nil {
		h.log.Error("token file", "error", oneLine(err.Error()))
		return page
	}
	return page + "#token=" + url.QueryEscape(token)
}
