package httpapi

import (
	"net/http"

	"github.com/julienschmidt/httprouter"
)

// route is one line of the API's table: everything that is decided about a
// request before its handler runs. The OpenAPI file is tested against it.
type route struct {
	method string
	path   string // below Options.APIPrefix, or as it stands when root is set
	root   bool
	right  Right // "": open to everybody
	body   int64 // most bytes of a JSON body; 0: the route takes none
	handle func(*Handler, http.ResponseWriter, *call) error
}

// call is one request on its way through a handler. An error that the handler
// returns becomes a problem; it has then written nothing.
type call struct {
	*http.Request
	params httprouter.Params
	who    Principal
}

// param is a named part of the path.
func (c *call) param(name string) string { return c.params.ByName(name) }

// smallBody bounds bodies of JSON, in bytes: the largest has a note.
const smallBody = 16 << 10

// routes is the table. Its parts stand beside their handlers.
func routes() []route {
	var all []route
	for _, part := range [][]route{} {
		all = append(all, part...)
	}
	return all
}

// router puts the chain together.
func (h *Handler) router() http.Handler {
	r := httprouter.New()
	for _, rt := range routes() {
		path := rt.path
		if !rt.root {
			path = h.o.APIPrefix + path
		}
		r.Handle(rt.method, path, func(w http.ResponseWriter, req *http.Request, ps httprouter.Params) {
			h.answer(rt, w, &call{Request: req, params: ps})
		})
	}
	return r
}

// answer runs one handler and tells its error.
func (h *Handler) answer(rt route, w http.ResponseWriter, c *call) {
	if err := rt.handle(h, w, c); err != nil {
		p := problemOf(err)
		w.Header().Set("Content-Type", "application/problem+json")
		if werr := writeJSON(w, p.Status, p); werr != nil {
			h.log.Error("answer", "error", werr.Error())
		}
	}
}
