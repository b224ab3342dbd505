package httpapi

import (
	"bytes"
	"compress/gzip"
	"embed"
	"fmt"
	"html"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
)

//go:embed static
var static embed.FS

const (
	indexFile = "index.html"
	// apiMark stands in the index where the page looks for the API.
	apiMark = "%API%"
)

// fileTypes are the kinds of files that the page may have. They are named here
// because the machine's own table is not reliable.
var fileTypes = map[string]string{
	".html":        "text/html; charset=utf-8",
	".css":         "text/css; charset=utf-8",
	".js":          "text/javascript; charset=utf-8",
	".mjs":         "text/javascript; charset=utf-8",
	".json":        "application/json",
	".svg":         "image/svg+xml",
	".png":         "image/png",
	".ico":         "image/x-icon",
	".txt":         "text/plain; charset=utf-8",
	".webmanifest": "application/manifest+json",
	".woff2":       "font/woff2",
}

// page is the administrators' page: files without any data in them, which every client
// may read. It is made once; nothing of a request but its path is looked up in it.
type page struct {
	prefix string // its path, as the handler sees it
	files  map[string]pageFile
}

type pageFile struct {
	kind         string
	plain, small []byte // small: gzip, nil where that saves nothing
	tag          string // of the plain bytes, without quotes
}

// newPage reads the files of dir for a page at prefix. api is where the page finds the API.
func newPage(dir fs.FS, prefix, api string) (*page, error) {
	p := &page{prefix: prefix, files: make(map[string]pageFile)}
	err := fs.WalkDir(dir, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := fs.ReadFile(dir, name)
		if err != nil {
			return err
		}
		if name == indexFile {
			raw = bytes.ReplaceAll(raw, []byte(apiMark), []byte(html.EscapeString(api)))
		}
		p.files[name], err = newPageFile(name, raw)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("page: %w", err)
	}
	if index, ok := p.files[indexFile]; ok {
		p.files[""] = index
	}
	return p, nil
}

func newPageFile(name string, raw []byte) (pageFile, error) {
	kind, known := fileTypes[path.Ext(name)]
	if !known {
		return pageFile{}, fmt.Errorf("%s is of no known kind", name)
	}
	f := pageFile{kind: kind, plain: raw, tag: hashOf(string(raw))}
	small, err := gzipped(raw, gzip.BestCompression)
	if len(small) < len(raw) {
		f.small = small
	}
	return f, err
}

// servePage answers for the page's files, and reports whether the path is theirs.
func (h *Handler) servePage(w http.ResponseWriter, r *http.Request) bool {
	name, below := strings.CutPrefix(r.URL.Path, h.o.PagePrefix)
	if !below && r.URL.Path+"/" != h.o.PagePrefix && r.URL.Path != "/" && r.URL.Path != "" {
		return false
	}
	f, known := h.page.files[name]
	if below && !known {
		return false
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD, OPTIONS")
		if r.Method == http.MethodOptions {
			w.WriteHeader(http.StatusNoContent)
		} else {
			h.wrongMethod(w, r)
		}
		return true
	}
	if !below {
		w.Header().Set("Location", h.page.from(r))
		w.WriteHeader(http.StatusTemporaryRedirect)
		return true
	}
	f.serve(w, r)
	return true
}

// from returns the page's address as seen from the request: a relative one, because a proxy or
// a host may have taken a prefix off the path. A path without anything left has its last part
// in the request line.
func (p *page) from(r *http.Request) string {
	if r.URL.Path != "" {
		return relative(r.URL.Path, p.prefix)
	}
	came, err := url.ParseRequestURI(r.RequestURI)
	if err != nil {
		return "." + p.prefix
	}
	return "./" + path.Base(came.EscapedPath()) + p.prefix
}

// documentHeaders are those that browsers heed on documents only, and so on no script and no style.
var documentHeaders = []string{"Content-Security-Policy", "Cross-Origin-Opener-Policy", "Permissions-Policy"}

func (f pageFile) serve(w http.ResponseWriter, r *http.Request) {
	body, tag, coding := f.plain, f.tag, ""
	header := w.Header()
	if f.small != nil {
		header.Set("Vary", "Accept-Encoding")
		if acceptsGzip(r) {
			body, tag, coding = f.small, f.tag+"-gzip", "gzip"
		}
	}
	// Cached, but revalidated each time: a new version of the program is seen at once.
	header.Set("Cache-Control", "no-cache")
	if fresh(w, r, tag) {
		return
	}
	if coding != "" {
		header.Set("Content-Encoding", coding)
	}
	header.Set("Content-Type", f.kind)
	if f.kind == fileTypes[".js"] || f.kind == fileTypes[".css"] {
		for _, name := range documentHeaders {
			header.Del(name) // with them, the page's many files are a seventh larger
		}
	}
	header.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(body) // the client has gone
}

// acceptsGzip understands what browsers and curl send; in doubt it is no.
func acceptsGzip(r *http.Request) bool {
	for _, value := range r.Header.Values("Accept-Encoding") {
		for one := range strings.SplitSeq(value, ",") {
			coding, weight, weighted := strings.Cut(one, ";")
			if !strings.EqualFold(strings.TrimSpace(coding), "gzip") {
				continue
			}
			q, err := strconv.ParseFloat(strings.TrimPrefix(strings.ReplaceAll(weight, " ", ""), "q="), 64)
			return !weighted || err == nil && q > 0
		}
	}
	return false
}

// relative is how a document at the path from refers to the path to, both as the
// handler sees them: it stays true below any prefix.
func relative(from, to string) string {
	up := strings.Repeat("../", strings.Count(strings.TrimPrefix(from, "/"), "/"))
	if ref := up + strings.TrimPrefix(to, "/"); ref != "" {
		return ref
	}
	return "."
}
