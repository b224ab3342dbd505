package httpapi

import (
	_ "embed"
	"net/http"
	"strings"
)

//go:embed openapi.json
var openapi string

// What is filled into the document when it is served.
const (
	rootMark   = "%ROOT%"   // the handler's root, as the document sees it
	cookieMark = "%COOKIE%" // the session cookie's name
)

const openapiPath = "/openapi.json"

func openapiRoutes() []route {
	return []route{{method: http.MethodGet, path: openapiPath, handle: (*Handler).showOpenAPI}}
}

// describe makes the OpenAPI document of an API at prefix. All its addresses are relative, so
// that they are true below any prefix.
func describe(prefix, cookie string) (pageFile, error) {
	root := strings.TrimSuffix(relative(prefix+openapiPath, "/"), "/")
	return newPageFile(openapiPath, []byte(strings.NewReplacer(rootMark, root, cookieMark, cookie).Replace(openapi)))
}

func (h *Handler) showOpenAPI(w http.ResponseWriter, c *call) error {
	h.openapi.serve(w, c.Request)
	return nil
}
