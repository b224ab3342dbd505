package httpapi

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/julienschmidt/httprouter"

	"example.com/snapd/httpapi/auth"
)

// route is one line of the API's table: everything that is decided about a
// request before its handler runs. The OpenAPI file is tested against it.
type route struct {
	method string
	path   string // below Options.APIPrefix, or as it stands when root is set
	root   bool
	right  Right    // "": open to everyone
	query  []string // names of the parameters; any other is refused where a right is needed
	body   int64    // most bytes of a JSON body; 0: the route takes none
	stream bool     // the answer may take any time: each write has a deadline of its own, and there is no HEAD
	handle func(*Handler, http.ResponseWriter, *call) error
}

// call is one request on its way through a handler. An error that the handler
// returns becomes a problem; it has then written nothing.
type call struct {
	*http.Request
	params httprouter.Params
	query  url.Values
	who    auth.Identity
}

// param is a named part of the path. It is looked up, never made a path.
func (c *call) param(name string) string { return c.params.ByName(name) }

// smallBody bounds bodies of JSON, in bytes: the largest has a note.
const smallBody = 16 << 10

// routes is the table. Its parts are next to their handlers.
func routes() []route {
	var all []route
	for _, part := range [][]route{sessionRoutes(), openapiRoutes(), serviceRoutes()} {
		all = append(all, part...)
	}
	return all
}

// full is the path of the route, as the router sees it.
func (rt route) full(o Options) string {
	if rt.root {
		return rt.path
	}
	return o.APIPrefix + rt.path
}

// router finds the route of a request. Nothing is corrected or redirected: a path
// that is not in the table is not found. HEAD is answered where GET is.
func (h *Handler) router(table []route) http.Handler {
	r := httprouter.New()
	r.RedirectTrailingSlash = false
	r.RedirectFixedPath = false
	r.NotFound = http.HandlerFunc(h.unrouted)
	r.MethodNotAllowed = http.HandlerFunc(h.wrongMethod)
	// No Access-Control header is ever sent: other origins have no business here.
	r.GlobalOPTIONS = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	has := func(method, path string) bool {
		return slices.ContainsFunc(table, func(o route) bool { return o.method == method && o.full(h.o) == path })
	}
	for _, rt := range table {
		path := rt.full(h.o)
		serve := func(w http.ResponseWriter, req *http.Request, ps httprouter.Params) {
			h.answer(rt, w, &call{Request: req, params: ps})
		}
		r.Handle(rt.method, path, serve)
		if rt.method == http.MethodGet && !rt.stream && !has(http.MethodHead, path) {
			r.Handle(http.MethodHead, path, serve)
		}
	}
	return r
}

// answer runs one handler and answers its error.
func (h *Handler) answer(rt route, w http.ResponseWriter, c *call) {
	if err := h.admit(rt, w, c); err != nil {
		h.answerError(w, err)
		return
	}
	if rt.stream {
		w = newStreamWriter(w, h.limits.stream)
	}
	if err := rt.handle(h, w, c); err != nil {
		h.answerError(w, err)
	}
}

// admit decides about a request everything that depends on its route alone.
func (h *Handler) admit(rt route, w http.ResponseWriter, c *call) error {
	for _, p := range c.params {
		if !plausible(p.Value) {
			return fail(http.StatusNotFound, "not_found", "there is nothing of that name", "")
		}
	}
	if err := h.crossOrigin.Check(c.Request); err != nil {
		return fail(http.StatusForbidden, "cross_origin", oneLine(err.Error()),
			"changes are taken from this server's own pages and from programs only; a proxy in front must pass the Host header on")
	}
	if rt.right != "" {
		if err := h.authorize(c, rt.right); err != nil {
			return err
		}
	}
	if rt.body > 0 || c.ContentLength != 0 {
		// A host's server may have no deadline, and the login takes a body from anyone.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(h.limits.read)) // nor may its writer know any
	}
	if err := admitBody(rt, w, c); err != nil || rt.right == "" {
		return err
	}
	var err error
	c.query, err = parseQuery(c.URL.RawQuery, rt.query)
	return err
}

// maxParam bounds a part of a path, in bytes: a file name is not longer.
const maxParam = 255

// plausible reports whether s could be an id, which begins with the database's name,
// blanks and all. Any other s is neither looked up nor repeated in an answer.
func plausible(s string) bool {
	return s != "" && s != "." && s != ".." && len(s) <= maxParam && utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return r < ' ' || r == 0x7f || r == '/' || r == '\\'
	})
}

// unrouted answers what is in no table: the page, or nothing.
func (h *Handler) unrouted(w http.ResponseWriter, r *http.Request) {
	if h.servePage(w, r) {
		return
	}
	h.answerError(w, fail(http.StatusNotFound, "not_found", "there is nothing at this address", ""))
}

// wrongMethod answers a method that the path does not know; the router has set Allow.
func (h *Handler) wrongMethod(w http.ResponseWriter, _ *http.Request) {
	h.answerError(w, fail(http.StatusMethodNotAllowed, "method_not_allowed", "this address takes "+w.Header().Get("Allow"), ""))
}

// answerError answers with the problem that err is.
func (h *Handler) answerError(w http.ResponseWriter, err error) {
	p := problemOf(err)
	if p.Status == http.StatusUnauthorized && h.auth.BuiltIn() {
		w.Header().Set("WWW-Authenticate", `Bearer realm="snapd"`)
	}
	if p.Status >= http.StatusInternalServerError && p.Code != "unavailable" {
		h.log.Error("answer", "status", p.Status, "code", p.Code, "error", oneLine(err.Error()))
	}
	p.write(w)
}
