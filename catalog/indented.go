package catalog

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// AppendIndented appends e's public form, as encoding/json writes it with that prefix and
// indent and without HTML's escapes: what a list of ten thousand backups is printed with,
// in a tenth of the time.
func (e *Entry) AppendIndented(b []byte, prefix, indent string) []byte {
	pad := "\n" + prefix + indent
	deeper, sep := pad+indent, ","+pad
	b = e.appendHead(append(b, '{'), pad, sep)
	v := &e.Verification
	b = append(append(append(b, sep...), `"verification": {`...), deeper...)
	b = appendText(append(b, `"state": `...), string(v.State))
	b = appendText(append(append(append(b, ','), deeper...), `"level": `...), v.Level)
	b = appendTime(append(append(append(b, ','), deeper...), `"at": `...), v.At)
	b = appendText(append(append(append(b, ','), deeper...), `"detail": `...), v.Detail)
	b = append(append(b, pad...), '}')
	b = strconv.AppendBool(append(append(b, sep...), `"pinned": `...), e.Pinned)
	b = appendText(append(append(b, sep...), `"note": `...), e.Note)
	b = strconv.AppendInt(append(append(b, sep...), `"duration_ms": `...), e.DurationMS, 10)
	return append(append(append(b, '\n'), prefix...), '}')
}

// appendHead appends the members before the verification.
func (e *Entry) appendHead(b []byte, pad, sep string) []byte {
	b = appendText(append(append(b, pad...), `"id": `...), e.ID)
	b = appendText(append(append(b, sep...), `"file": `...), e.File)
	b = strconv.AppendUint(append(append(b, sep...), `"seq": `...), e.Seq, 10)
	b = appendText(append(append(b, sep...), `"kind": `...), string(e.Kind))
	b = appendText(append(append(b, sep...), `"trigger": `...), string(e.Trigger))
	b = appendTime(append(append(b, sep...), `"created_at": `...), &e.CreatedAt)
	b = strconv.AppendInt(append(append(b, sep...), `"database_bytes": `...), e.DatabaseBytes, 10)
	b = strconv.AppendInt(append(append(b, sep...), `"archive_bytes": `...), e.ArchiveBytes, 10)
	b = strconv.AppendInt(append(append(b, sep...), `"page_size": `...), int64(e.PageSize), 10)
	b = strconv.AppendInt(append(append(b, sep...), `"page_count": `...), e.PageCount, 10)
	return appendText(append(append(b, sep...), `"image_blake3": `...), e.ImageBLAKE3)
}

// appendText is appendString without HTML's escapes.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return appendQuoted(b, s)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}

func appendQuoted(b []byte, s string) []byte {
	var quoted bytes.Buffer
	enc := json.NewEncoder(&quoted)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil { // cannot be: every string has a JSON form
		return append(b, `""`...)
	}
	return append(b, bytes.TrimSuffix(quoted.Bytes(), []byte("\n"))...)
}
