package httpapi

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// parseQuery reads the parameters of a request and refuses those that the route does not
// know: one that is not understood was meant to do something.
func parseQuery(raw string, known []string) (url.Values, error) {
	if len(raw) > 2048 {
		return nil, invalid("the query is too long", "")
	}
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, invalid("the query cannot be read", "")
	}
	for name, given := range values {
		if !slices.Contains(known, name) {
			hint := "this route takes none"
			if len(known) > 0 {
				hint = "known are " + strings.Join(known, ", ")
			}
			return nil, invalid(fmt.Sprintf("unknown parameter %q", brief(name)), hint)
		}
		if len(given) > 1 {
			return nil, invalid(fmt.Sprintf("parameter %q stands twice", name), "")
		}
	}
	return values, nil
}

// number reads a parameter from 1 to most; def where it is absent.
func number(values url.Values, name string, def, most int) (int, error) {
	if !values.Has(name) {
		return def, nil
	}
	n, err := strconv.Atoi(values.Get(name))
	if err != nil || n < 1 || n > most {
		return 0, invalid(fmt.Sprintf("parameter %q must be a whole number from 1 to %d", name, most), "")
	}
	return n, nil
}

// offsetOf reads how much is left out first.
func offsetOf(values url.Values) (int64, error) {
	if !values.Has("offset") {
		return 0, nil
	}
	n, err := strconv.ParseInt(values.Get("offset"), 10, 64)
	if err != nil || n < 0 {
		return 0, invalid(fmt.Sprintf(`parameter "offset" must be a whole number from 0 to %d`, int64(math.MaxInt64)), "")
	}
	return n, nil
}

// etagOf is a word that is another one for every other v.
func etagOf(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return hashOf(string(raw))
}

func hashOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:12])
}

// fresh sets the ETag of an answer that the word tag stands for, and reports whether
// the client has that one already; the answer is then 304.
func fresh(w http.ResponseWriter, r *http.Request, tag string) bool {
	w.Header().Set("ETag", `"`+tag+`"`)
	if !matches(r.Header.Values("If-None-Match"), tag) {
		return false
	}
	w.WriteHeader(http.StatusNotModified)
	return true
}

// matches reports whether tag is in a header of entity tags, or that is "*". Tags
// without quotes are taken too, as the member "etag" of a backup has none.
func matches(lines []string, tag string) bool {
	for t := range strings.SplitSeq(strings.Join(lines, ","), ",") {
		t = strings.TrimPrefix(strings.TrimSpace(t), "W/")
		if t == "*" || strings.Trim(t, `"`) == tag {
			return true
		}
	}
	return false
}
