package dump

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"example.com/snapd/internal/sqlite"
)

// Row has the values of one row. Each is nil, an int64, a float64, a string or a []byte.
type Row []any

// Read returns the row that st stands at. It is a copy.
func Read(st *sqlite.Stmt, columns int) Row {
	row := make(Row, columns)
	for i := range row {
		row[i] = value(st, i)
	}
	return row
}

func value(st *sqlite.Stmt, i int) any {
	switch st.Type(i) {
	case sqlite.Integer:
		return st.Int(i)
	case sqlite.Real:
		return st.Float(i)
	case sqlite.Text:
		return st.Text(i)
	case sqlite.Blob:
		return append([]byte{}, st.Blob(i)...)
	}
	return nil
}

// Size is about how much memory the row takes, in bytes.
func (r Row) Size() (bytes int64) {
	const each = 32 // an any, and what it points to
	for _, v := range r {
		switch v := v.(type) {
		case string:
			bytes += int64(len(v))
		case []byte:
			bytes += int64(len(v))
		}
		bytes += each
	}
	return bytes
}

// maxExact is the largest integer that every reader of JSON has exactly: beyond it a double has gaps.
const maxExact = 1 << 53

// MarshalJSON writes the row as an array. A blob is {"base64":…}; an integer beyond 2^53 is a string, as is a real
// that is infinite. A real has a point or an exponent, so that it does not look like an integer. In a text that is no
// UTF-8, U+FFFD stands where it is not.
func (r Row) MarshalJSON() ([]byte, error) {
	b := []byte{'['}
	for i, v := range r {
		if i > 0 {
			b = append(b, ',')
		}
		b = AppendJSON(b, v)
	}
	return append(b, ']'), nil
}

// AppendJSON appends a value of a Row as its JSON has it.
func AppendJSON(b []byte, v any) []byte {
	switch v := v.(type) {
	case int64:
		if v > maxExact || v < -maxExact {
			return append(strconv.AppendInt(append(b, '"'), v, 10), '"')
		}
		return strconv.AppendInt(b, v, 10)
	case float64:
		if math.IsInf(v, 0) {
			return strconv.AppendQuote(b, Real(v))
		}
		return append(b, Real(v)...)
	case string:
		return appendString(b, v)
	case []byte:
		b = base64.StdEncoding.AppendEncode(append(b, `{"base64":"`...), v)
		return append(b, `"}`...)
	}
	return append(b, "null"...)
}

// appendString appends s as JSON, with all control characters escaped: what some terminals obey (U+0080 to U+009F)
// as well.
func appendString(b []byte, s string) []byte {
	var quoted bytes.Buffer
	enc := json.NewEncoder(&quoted)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string always has a form
	for _, r := range strings.TrimSuffix(quoted.String(), "\n") {
		if 0x7f <= r && r <= 0x9f {
			b = fmt.Appendf(b, "\\u%04x", r)
		} else {
			b = utf8.AppendRune(b, r)
		}
	}
	return b
}

// Real is a real number in as few digits as give it back exactly.
func Real(f float64) string {
	switch {
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	}
	format := byte('f')
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	s := strconv.FormatFloat(f, format, -1, 64)
	if !strings.ContainsAny(s, ".e") {
		s += ".0"
	}
	return s
}

// Text is a value in a table for people, or a field of CSV: a blob is x'…', NULL is null.
func Text(v any, null string) string {
	switch v := v.(type) {
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return Real(v)
	case string:
		return v
	case []byte:
		return "x'" + hex.EncodeToString(v) + "'"
	}
	return null
}
