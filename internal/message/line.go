package message

import (
	"log/slog"
	"strconv"
	"strings"
	"time"
)

// Line is a log line for people: the time, unless it is zero, the text, and the fields.
func Line(at time.Time, text string, fields []slog.Attr) string {
	var b strings.Builder
	if !at.IsZero() {
		b.WriteString(at.UTC().Format(time.RFC3339) + " ")
	}
	b.WriteString(OneLine(text))
	for _, f := range fields {
		v := f.Value.String()
		if t, ok := f.Value.Any().(time.Time); ok {
			v = t.UTC().Format(time.RFC3339)
		}
		if v = OneLine(v); strings.ContainsAny(v, " \"=") {
			v = strconv.Quote(v)
		}
		b.WriteString(" " + f.Key + "=" + v)
	}
	return b.String()
}
