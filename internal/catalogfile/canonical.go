package catalogfile

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"example.com/snapd/catalog"
)

// The catalog is read at the start of every command and written at the end of
// every backup. With 10,000 backups encoding/json takes 40 ms for the one and
// 18 ms for the other; writing and reading our own fixed layout takes a fraction.
// A text in any other form is left to encoding/json, and a fuzz test holds the
// two to the same meaning.
const (
	canonicalHead    = `{"version":1,"next_seq":`
	canonicalState   = `,"state":`
	canonicalBackups = `,"backups":[`
	canonicalEnd     = "\n]" // then the sum
)

// appendEntry appends e's line, as json.Marshal would write it.
func appendEntry(b []byte, e *catalog.Entry) []byte {
	b = appendString(append(b, `{"id":`...), e.ID)
	b = appendString(append(b, `,"file":`...), e.File)
	b = strconv.AppendUint(append(b, `,"seq":`...), e.Seq, 10)
	b = appendString(append(b, `,"kind":`...), string(e.Kind))
	b = appendString(append(b, `,"trigger":`...), string(e.Trigger))
	b = appendTime(append(b, `,"created_at":`...), &e.CreatedAt)
	b = strconv.AppendInt(append(b, `,"database_bytes":`...), e.DatabaseBytes, 10)
	b = strconv.AppendInt(append(b, `,"archive_bytes":`...), e.ArchiveBytes, 10)
	b = strconv.AppendInt(append(b, `,"page_size":`...), int64(e.PageSize), 10)
	b = strconv.AppendInt(append(b, `,"page_count":`...), e.PageCount, 10)
	b = appendString(append(b, `,"image_blake3":`...), e.ImageBLAKE3)
	b = appendString(append(b, `,"verification":{"state":`...), string(e.Verification.State))
	b = appendString(append(b, `,"level":`...), e.Verification.Level)
	b = appendTime(append(b, `,"at":`...), e.Verification.At)
	b = appendString(append(b, `,"detail":`...), e.Verification.Detail)
	b = strconv.AppendBool(append(b, `},"pinned":`...), e.Pinned)
	b = appendString(append(b, `,"note":`...), e.Note)
	b = strconv.AppendInt(append(b, `,"duration_ms":`...), e.DurationMS, 10)
	if len(e.Source) > 0 {
		b = append(append(b, `,"source":`...), e.Source...)
	}
	return append(b, '}')
}

func appendString(b []byte, s string) []byte {
	if plain(s) {
		return append(append(append(b, '"'), s...), '"')
	}
	quoted, err := json.Marshal(s)
	if err != nil { // cannot be: every string has a JSON form
		return append(b, `""`...)
	}
	return append(b, quoted...)
}

// plain tells strings that stand in JSON as they are.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			return false
		}
	}
	return true
}

func appendTime(b []byte, t *time.Time) []byte {
	if t == nil {
		return append(b, "null"...)
	}
	b = t.AppendFormat(append(b, '"'), time.RFC3339Nano)
	return append(b, '"')
}

// decodeCanonical reads a text that encode wrote, up to its sum; ok is false for any other.
// The entries share text's memory.
func decodeCanonical(text string) (d *document, ok bool) {
	head, rest, found := strings.Cut(text, "\n")
	if !found {
		return nil, false
	}
	r := reader{rest: head, ok: true}
	r.skip(canonicalHead)
	d = &document{nextSeq: uint64(r.integer())}
	r.skip(canonicalState)
	state, found := strings.CutSuffix(r.rest, canonicalBackups)
	if !r.ok || !found || d.nextSeq < 1 || state == "" || !utf8.ValidString(state) {
		return nil, false
	}
	var err error
	if d.state, err = decodeState([]byte(state)); err != nil {
		return nil, false
	}
	if rest == canonicalEnd[1:] {
		return d, true
	}
	if rest, found = strings.CutSuffix(rest, canonicalEnd); !found {
		return nil, false
	}
	if d.entries, ok = decodeLines(rest); !ok {
		return nil, false
	}
	return d, true
}

// decodeLines reads the entries' lines, with a comma at the end of each but the last.
func decodeLines(lines string) (entries []catalog.Entry, ok bool) {
	n := strings.Count(lines, "\n") + 1
	if n > len(lines)/minLine {
		return nil, false
	}
	r := reader{ok: true, times: make([]time.Time, 0, n)}
	entries = make([]catalog.Entry, n)
	for i := range entries {
		e := &entries[i]
		r.rest, lines, _ = strings.Cut(lines, "\n")
		if i < n-1 {
			if r.rest, ok = strings.CutSuffix(r.rest, ","); !ok {
				return nil, false
			}
		}
		r.entry(e)
		if !r.ok {
			return nil, false
		}
		normalise(e)
		if validateEntry(e) != nil {
			return nil, false
		}
	}
	return entries, true
}

// reader takes a line apart; once ok is false it stays so. It is used for all lines:
// what entries point to, it takes from few large pieces of memory.
type reader struct {
	rest string
	ok   bool

	times   []time.Time // room for one of each entry
	sources []byte      // room for more
}

// minLine is less than any entry's line has, in bytes, and about the memory that an
// Entry takes: what stands on fewer is not worth making room for.
const minLine = 256

// sourceRoom is how much memory is taken at once for what Source holds.
const sourceRoom = maxSource

func (r *reader) entry(e *catalog.Entry) {
	r.skip(`{"id":`)
	e.ID = r.text()
	r.skip(`,"file":`)
	e.File = r.text()
	r.skip(`,"seq":`)
	e.Seq = uint64(r.integer())
	r.skip(`,"kind":`)
	e.Kind = catalog.Kind(r.text())
	r.skip(`,"trigger":`)
	e.Trigger = catalog.Trigger(r.text())
	r.skip(`,"created_at":`)
	if created, null := r.time(); !null {
		e.CreatedAt = created
	} else {
		r.ok = false
	}
	r.skip(`,"database_bytes":`)
	e.DatabaseBytes = r.integer()
	r.skip(`,"archive_bytes":`)
	e.ArchiveBytes = r.integer()
	r.skip(`,"page_size":`)
	e.PageSize = int(min(r.integer(), 1<<30))
	r.skip(`,"page_count":`)
	e.PageCount = r.integer()
	r.skip(`,"image_blake3":`)
	e.ImageBLAKE3 = r.text()
	r.verification(&e.Verification)
	r.skip(`,"pinned":`)
	e.Pinned = r.boolean()
	r.skip(`,"note":`)
	e.Note = r.text()
	r.skip(`,"duration_ms":`)
	e.DurationMS = r.integer()
	r.source(e)
}

func (r *reader) verification(v *catalog.Verification) {
	r.skip(`,"verification":{"state":`)
	v.State = catalog.VerifyState(r.text())
	r.skip(`,"level":`)
	v.Level = r.text()
	r.skip(`,"at":`)
	if at, null := r.time(); !null {
		r.times = append(r.times, at)
		v.At = &r.times[len(r.times)-1]
	}
	r.skip(`,"detail":`)
	v.Detail = r.text()
	r.skip(`}`)
}

// source takes the rest of the line.
func (r *reader) source(e *catalog.Entry) {
	if !r.ok || r.rest == "}" {
		return
	}
	r.skip(`,"source":`)
	raw, found := strings.CutSuffix(r.rest, "}")
	if !r.ok || !found {
		r.ok = false
		return
	}
	if len(raw) > cap(r.sources)-len(r.sources) {
		r.sources = make([]byte, 0, max(sourceRoom, len(raw)))
	}
	from := len(r.sources)
	r.sources = append(r.sources, raw...)
	e.Source = r.sources[from:len(r.sources):len(r.sources)]
	r.ok = utf8.Valid(e.Source) && json.Valid(e.Source)
}

func (r *reader) skip(lit string) {
	rest, found := strings.CutPrefix(r.rest, lit)
	r.rest, r.ok = rest, r.ok && found
}

// integer reads one without sign, leading zeros, or more than 18 digits.
func (r *reader) integer() (n int64) {
	i := 0
	for i < len(r.rest) && r.rest[i] >= '0' && r.rest[i] <= '9' && i < 18 {
		n = 10*n + int64(r.rest[i]-'0')
		i++
	}
	if i == 0 || i > 1 && r.rest[0] == '0' {
		r.ok = false
	}
	r.rest = r.rest[i:]
	return n
}

// text reads a string.
func (r *reader) text() string {
	if len(r.rest) == 0 || r.rest[0] != '"' {
		r.ok = false
		return ""
	}
	ascii := true
	for i := 1; i < len(r.rest); i++ {
		switch c := r.rest[i]; {
		case c == '"':
			s := r.rest[1:i]
			r.rest = r.rest[i+1:]
			r.ok = r.ok && (ascii || utf8.ValidString(s))
			return s
		case c == '\\':
			return r.escaped()
		case c < ' ':
			r.ok = false
			return ""
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	r.ok = false
	return ""
}

// escaped reads a string in which something is escaped.
func (r *reader) escaped() (s string) {
	for i := 1; i < len(r.rest); i++ {
		switch r.rest[i] {
		case '\\':
			i++
		case '"':
			quoted := r.rest[:i+1]
			r.rest = r.rest[i+1:]
			r.ok = r.ok && utf8.ValidString(quoted) && json.Unmarshal([]byte(quoted), &s) == nil
			return s
		}
	}
	r.ok = false
	return ""
}

// time reads a time, or null.
func (r *reader) time() (t time.Time, null bool) {
	if rest, found := strings.CutPrefix(r.rest, "null"); found {
		r.rest = rest
		return t, true
	}
	if err := t.UnmarshalText([]byte(r.text())); err != nil {
		r.ok = false
	}
	return t, false
}

func (r *reader) boolean() bool {
	if rest, found := strings.CutPrefix(r.rest, "true"); found {
		r.rest = rest
		return true
	}
	r.skip("false")
	return false
}
