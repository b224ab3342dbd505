package httpapi

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"example.com/snapd/internal/message"
	"example.com/snapd/snapshot"
)

// problem is an error as RFC 9457 shows it, with a stable code and a hint of
// what to do. It is an error too, so that handlers can return it.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Code   string `json:"code"`
	Hint   string `json:"hint,omitempty"`
	// Operation is the id of the one that runs, where that is in the way.
	Operation string `json:"operation,omitempty"`

	retryAfter int // seconds; 0 for none
}

func (p *problem) Error() string { return p.Detail }

// fail makes a problem. detail is one sentence.
func fail(status int, code, detail, hint string) *problem {
	return &problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Code: code, Detail: detail, Hint: hint}
}

// invalid is a request that makes no sense.
func invalid(detail, hint string) *problem {
	return fail(http.StatusUnprocessableEntity, "invalid", detail, hint)
}

// statusOfCode maps the codes of package snapshot to HTTP statuses; any other
// is a 500.
var statusOfCode = map[string]int{
	"busy": http.StatusConflict, "stale": http.StatusConflict, "refused": http.StatusConflict,
	"corrupt": http.StatusConflict, "missing": http.StatusConflict, "no_usable_backup": http.StatusConflict, "cancelled": http.StatusConflict,
	"invalid":   http.StatusUnprocessableEntity,
	"not_found": http.StatusNotFound,
	"no_space":  http.StatusInsufficientStorage,
	"timeout":   http.StatusServiceUnavailable,
	"sql":       http.StatusUnprocessableEntity,
}

// problemOf is the problem that err is, or becomes.
func problemOf(err error) *problem {
	var p *problem
	if errors.As(err, &p) {
		return p
	}
	code := snapshot.Code(err)
	status, known := statusOfCode[code]
	if !known {
		status = http.StatusInternalServerError
	}
	return fail(status, code, clip(oneLine(err.Error())), hintOf(err))
}

// advice is for errors that carry no hint of their own, by code.
var advice = map[string]string{
	"busy":       "try again when the other one is done",
	"permission": "the server's user must be able to read and write the database and the backup directory",
	"read_only":  "make the backup directory writable for the server's user",
}

// hintOf is what can be done about err; "" where nothing is known.
func hintOf(err error) string {
	if own := snapshot.Hint(err); own != "" {
		return clip(oneLine(own))
	}
	return advice[snapshot.Code(err)]
}

// write answers with the problem.
func (p *problem) write(w http.ResponseWriter) {
	w.Header().Del("ETag")
	w.Header().Set("Content-Type", "application/problem+json")
	if p.retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(p.retryAfter))
	}
	_ = writeJSON(w, p.Status, p) // strings and numbers only: cannot fail
}

// maxText bounds, in bytes, every text of one member that an answer or a file of ours has.
const maxText = 4 << 10

// clip bounds s.
func clip(s string) string {
	if len(s) <= maxText {
		return s
	}
	const more = " …"
	return strings.ToValidUTF8(s[:maxText-len(more)], "") + more
}

// oneLine keeps joined errors, and text from files, on one line.
func oneLine(s string) string { return message.OneLine(s) }

// writeJSON answers with status and v.
func writeJSON(w http.ResponseWriter, status int, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "application/json")
	}
	raw = compress(w, status, append(raw, '\n'))
	w.WriteHeader(status)
	_, _ = w.Write(raw) // the client has gone
	return nil
}
