package dump

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// literals writes values as SQL literals that give them back exactly.
type literals struct {
	w     *bufio.Writer
	order binary.AppendByteOrder // of the database's UTF-16; nil for UTF-8
}

// write writes v. The writer remembers its error.
func (l literals) write(v any) {
	switch v := v.(type) {
	case int64:
		_, _ = l.w.WriteString(strconv.FormatInt(v, 10))
	case float64:
		_, _ = l.w.WriteString(realLiteral(v))
	case string:
		l.text(v)
	case []byte:
		l.blob(v)
	default:
		_, _ = l.w.WriteString("NULL")
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

func (l literals) blob(b []byte) {
	_, _ = l.w.WriteString("x'")
	_, _ = hex.NewEncoder(l.w).Write(b)
	_ = l.w.WriteByte('\'')
}

// text writes a text so that it can be read, where a script can have it as it is: the shell takes a CR off the end of a
// line, and a zero byte ends a statement.
func (l literals) text(s string) {
	strange := func(r rune) bool { return unicode.IsControl(r) && r != '\t' && r != '\n' && r != '\r' }
	if !utf8.ValidString(s) || strings.ContainsFunc(s, strange) {
		_, _ = l.w.WriteString("CAST(")
		l.blob(l.encode(s))
		_, _ = l.w.WriteString(" AS TEXT)")
		return
	}
	quoted := strings.ReplaceAll(s, "'", "''")
	if !strings.Contains(s, "\r") {
		_, _ = fmt.Fprintf(l.w, "'%s'", quoted)
		return
	}
	stand := `\r`
	for n := 0; strings.Contains(s, stand); n++ {
		stand = fmt.Sprintf(`(\r%d)`, n)
	}
	_, _ = fmt.Fprintf(l.w, "replace('%s','%s',char(13))", strings.ReplaceAll(quoted, "\r", stand), stand)
}

// encode returns the bytes of a text as the database has them.
func (l literals) encode(s string) []byte {
	if l.order == nil {
		return []byte(s)
	}
	var b []byte
	for _, unit := range utf16.Encode([]rune(s)) {
		b = l.order.AppendUint16(b, unit)
	}
	return b
}
