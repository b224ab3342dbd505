package httpapi

import (
	"net/http"
	"net/url"
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

// sessionDocument is what the page must know first.
type sessionDocument struct {
	Name      string     `json:"name"`
	Rights    []Right    `json:"rights"`
	Login     bool       `json:"login"` // the built-in token is in use: people can log out
	ExpiresAt *time.Time `json:"expires_at"`
	Database  string     `json:"database"`
	Downloads bool       `json:"downloads"`
	Version   string     `json:"version"`
}

func (h *Handler) showSession(w http.ResponseWriter, c *call) error {
	if err := h.authenticate(c); err != nil {
		return err
	}
	doc := sessionDocument{Name: c.who.Name, Rights: append([]Right{}, c.who.Rights...), Login: h.auth.BuiltIn(),
		Database: filepath.Base(h.m.Database()), Downloads: h.o.AllowDownload, Version: buildVersion()}
	if !c.who.Expires.IsZero() {
		end := c.who.Expires.UTC()
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
	Path  string `json:"path"` // of the API as the browser sees it, which a proxy may have changed
}

// maxCookiePath bounds the path of a cookie, in bytes.
const maxCookiePath = 512

// cookiePath returns path where a cookie can have it, "/" where none is given.
func cookiePath(path string) (string, error) {
	if path == "" {
		return "/", nil
	}
	if len(path) > maxCookiePath || path[0] != '/' || strings.ContainsFunc(path, func(r rune) bool { return r <= ' ' || r > '~' || r == ';' }) {
		return "", invalid("the path is none that a cookie can have", "leave it out, or send the API's path, as /api/v1")
	}
	return path, nil
}

func (h *Handler) login(w http.ResponseWriter, c *call) error {
	if !h.auth.BuiltIn() {
		return fail(http.StatusNotFound, "not_found", "this server has no login of its own", "sign in where this application does so")
	}
	var body loginRequest
	if err := decode(w, c, &body); err != nil {
		return err
	}
	token := strings.TrimSpace(body.Token)
	if token == "" {
		return invalid("the token is missing", `send {"token":"…"}`)
	}
	path, err := cookiePath(body.Path)
	if err != nil {
		return err
	}
	who, err := h.auth.Login(w, c.Request, token, path)
	if err != nil {
		return h.unauthenticated(c, "login", err)
	}
	h.record(snapshot.Activity{Who: who.Name, Action: "login", Outcome: "done", Detail: "from " + h.auth.Client(c.Request)})
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// logout needs no session: it is the same whether one has ended already.
func (h *Handler) logout(w http.ResponseWriter, c *call) error {
	if !h.auth.BuiltIn() {
		return fail(http.StatusNotFound, "not_found", "this server has no login of its own", "sign out where this application does so")
	}
	// As the page gave it at the login, unless a proxy changes paths: then the cookie stays, and is good for nothing.
	if err := h.auth.Logout(w, c.Request, h.o.APIPrefix); err != nil {
		return h.unauthenticated(c, "logout", err)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// TokenCreated reports whether [New] made the token file. If so, [Handler.LoginURL] is worth
// printing, once.
func (h *Handler) TokenCreated() bool { return h.auth.TokenCreated() }

// LoginURL returns the page's address below base, e.g. "http://127.0.0.1:8321", with the token
// in its fragment, which browsers do not send: opening it logs in. It is a secret. Without the
// built-in token it is the page's plain address.
func (h *Handler) LoginURL(base string) string {
	page := strings.TrimRight(base, "/") + h.o.PagePrefix
	if !h.auth.BuiltIn() {
		return page
	}
	token, err := h.auth.Token()
	if err != nil {
		h.log.Error("token file", "error", oneLine(err.Error()))
		return page
	}
	return page + "#token=" + url.QueryEscape(token)
}
