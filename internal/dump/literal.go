package dump

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"example.com/snapd/internal/sqlitefile"
)

// Literal returns a stored value as SQL that gives exactly it in a database of encoding to, in every version of SQLite; e is the encoding
// of its text.
func Literal(v sqlitefile.Value, e, to sqlitefile.Encoding) string {
	var b strings.Builder
	writeLiteral(&b, v, e, to)
	return b.String()
}

// writer remembers its first error, or has none.
type writer interface {
	io.Writer
	io.StringWriter
}

func writeLiteral(w writer, v sqlitefile.Value, e, to sqlitefile.Encoding) {
	switch v.Kind {
	case sqlitefile.Integer:
		s := strconv.FormatInt(v.Int, 10)
		if v.Int == math.MinInt64 {
			s = "(-9223372036854775807-1)" // SQLite reads the digits before the sign
		}
		_, _ = w.WriteString(s)
	case sqlitefile.Real:
		_, _ = w.WriteString(realLiteral(v.Float))
	case sqlitefile.Text:
		writeText(w, v.Bytes, e, to)
	case sqlitefile.Blob:
		writeBlob(w, v.Bytes)
	default:
		_, _ = w.WriteString("NULL")
	}
}

// tiny is where SQLite 3.40 does not read decimals exactly any more, of any number of digits. Above it does with twenty, and
// in the middle with as few as are needed.
const tiny = 1e-270

// realLiteral is an expression whose value is f, exactly, in every version of SQLite.
func realLiteral(f float64) string {
	switch {
	case math.IsInf(f, 1):
		return "1e999"
	case math.IsInf(f, -1):
		return "-1e999"
	case f == math.Trunc(f) && math.Abs(f) < maxExact:
		return strconv.FormatFloat(f, 'f', 1, 64)
	case math.Abs(f) > 1e-5 && math.Abs(f) < maxExact:
		return Real(f)
	case math.Abs(f) >= tiny:
		return strconv.FormatFloat(f, 'e', 19, 64)
	}
	// f = m / 2^e for whole m and e; no division by a power of two rounds.
	fraction, e := math.Frexp(f)
	s := strconv.FormatFloat(fraction*(1<<53), 'f', 1, 64)
	const step = 40
	for e = 53 - e; e > 0; e -= step {
		s += fmt.Sprintf("/%d.0", int64(1)<<min(e, step))
	}
	return s
}

func writeBlob(w writer, b []byte) {
	_, _ = w.WriteString("x'")
	_, _ = hex.NewEncoder(w).Write(b)
	_, _ = w.WriteString("'")
}

// writeText writes a text so that it can be read, where a script can have it as it is: the shell takes a CR off the end of a
// line, and a zero byte ends a statement.
func writeText(w writer, b []byte, e, to sqlitefile.Encoding) {
	strange := func(r rune) bool { return unicode.IsControl(r) && r != '\t' && r != '\n' && r != '\r' }
	s := e.Text(b)
	if !utf8.ValidString(s) || strings.ContainsFunc(s, strange) || e != sqlitefile.UTF8 && !bytes.Equal(e.Encode(s), b) {
		if e != to {
			b = to.Encode(s)
		}
		_, _ = w.WriteString("CAST(")
		writeBlob(w, b)
		_, _ = w.WriteString(" AS TEXT)")
		return
	}
	quoted := strings.ReplaceAll(s, "'", "''")
	if !strings.Contains(s, "\r") {
		_, _ = w.WriteString("'" + quoted + "'")
		return
	}
	stand := `\r`
	for n := 0; strings.Contains(s, stand); n++ {
		stand = fmt.Sprintf(`(\r%d)`, n)
	}
	_, _ = w.WriteString("replace('" + strings.ReplaceAll(quoted, "\r", stand) + "','" + stand + "',char(13))")
}
