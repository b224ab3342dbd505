package httpapi

import (
	"errors"
	"io"
	"net/http"
	"runtime/debug"
	"time"
)

// contentPolicy lets the page use what this server sends, and nothing else.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// setSecurity sets the headers that every answer has.
func setSecurity(header http.Header) {
	header.Set("Content-Security-Policy", contentPolicy)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	header.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
	// The page's files say otherwise for themselves.
	header.Set("Cache-Control", "no-store")
}

// chain is what every request passes before it is routed.
func (h *Handler) chain(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w := &responseWriter{ResponseWriter: rw, head: r.Method == http.MethodHead, get: r.Method == http.MethodGet, gzip: acceptsGzip(r)}
		defer h.recovered(w, r)
		connOf(r).work(1)
		defer connOf(r).work(-1)
		setSecurity(w.Header())
		if h.closing.Load() {
			w.Header().Set("Connection", "close")
			h.answerError(w, fail(http.StatusServiceUnavailable, "unavailable", "the server is closing down", "try again when it is back"))
			return
		}
		if err := h.hosts.check(r); err != nil {
			h.answerError(w, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// recovered keeps a panic in one handler from ending the process, which has a
// database to look after. Where the answer has begun the connection is cut, so
// that no client takes a part for the whole: net/http does that for a handler that panics
// with ErrAbortHandler, and has no other way.
func (h *Handler) recovered(w *responseWriter, r *http.Request) {
	v := recover()
	if v == nil {
		return
	}
	if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(v)
	}
	h.log.Error("panic in a handler", "method", r.Method, "path", r.URL.Path, "panic", v, "stack", string(debug.Stack()))
	if w.begun {
		panic(http.ErrAbortHandler)
	}
	for name := range w.Header() {
		if name != "Allow" {
			w.Header().Del(name)
		}
	}
	setSecurity(w.Header())
	fail(http.StatusInternalServerError, "failed", "an error of this program; its log has the details", "").write(w)
}

// responseWriter knows whether the answer has begun, and sends no body for HEAD.
type responseWriter struct {
	http.ResponseWriter
	head, get bool // the request's method
	gzip      bool // who asked takes it
	begun     bool
}

// Unwrap is for http.ResponseController.
func (w *responseWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *responseWriter) WriteHeader(status int) {
	w.begun = w.begun || status >= http.StatusOK
	w.ResponseWriter.WriteHeader(status)
}

func (w *responseWriter) Write(p []byte) (int, error) {
	w.begun = true
	if w.head {
		return len(p), nil
	}
	return w.ResponseWriter.Write(p)
}

// ReadFrom lets files be sent by the kernel where the server below can.
func (w *responseWriter) ReadFrom(r io.Reader) (int64, error) {
	w.begun = true
	if w.head {
		return io.Copy(io.Discard, r)
	}
	return io.Copy(w.ResponseWriter, r)
}

// streamPiece is how many bytes of a file are one write: a client that takes fewer
// in the time of limits.stream is disconnected.
const streamPiece = 256 << 10

// streamWriter gives every write its own deadline: an answer of any length
// reaches a client that reads it, and a client that does not holds nothing for long. The server
// takes the last deadline off before it reads the next request.
type streamWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration
}

func newStreamWriter(w http.ResponseWriter, timeout time.Duration) *streamWriter {
	s := &streamWriter{ResponseWriter: w, control: http.NewResponseController(w), timeout: timeout}
	s.extend()
	return s
}

func (s *streamWriter) extend() {
	// Where a host's own writer knows no deadlines there are none.
	_ = s.control.SetWriteDeadline(time.Now().Add(s.timeout))
}

// Unwrap is for http.ResponseController.
func (s *streamWriter) Unwrap() http.ResponseWriter { return s.ResponseWriter }

func (s *streamWriter) Write(p []byte) (int, error) {
	s.extend()
	return s.ResponseWriter.Write(p)
}

// ReadFrom sends a file piece by piece.
func (s *streamWriter) ReadFrom(r io.Reader) (total int64, err error) {
	for {
		s.extend()
		n, err := io.CopyN(s.ResponseWriter, r, streamPiece)
		total += n
		if errors.Is(err, io.EOF) {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}
