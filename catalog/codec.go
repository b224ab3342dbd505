package catalog

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"

	jsonx "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// The text of catalog.json is one JSON object; each backup stands on a line of
// its own, and no newline follows the last brace:
//
//	{"version":1,"next_seq":3,"state":{…},"backups":[
//	{"id":…},
//	{"id":…}
//	]}
//
// So every shorter text is visibly damaged, and what a damaged one still knows
// can be told line by line (salvage).
const (
	version    = 1
	maxCatalog = 256 << 20 // bytes of catalog.json
	maxState   = 1 << 20   // bytes of the state in it
)

// stored is the form of a document in catalog.json.
type stored struct {
	Version *int64         `json:"version"`
	NextSeq uint64         `json:"next_seq"`
	State   jsontext.Value `json:"state"`
	Backups *storedEntries `json:"backups"`
}

// storedEntries checks each entry as it is read, so that a hostile text cannot
// make millions of empty ones.
type storedEntries []Entry

func (l *storedEntries) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	tok, err := dec.ReadToken()
	if err != nil {
		return err
	}
	if tok.Kind() != '[' {
		return errors.New("backups is not a list")
	}
	*l = storedEntries{}
	for dec.PeekKind() != ']' {
		var e Entry
		if err := jsonx.UnmarshalDecode(dec, &e); err != nil {
			return err
		}
		e.normalise()
		if err := e.validate(); err != nil {
			return err
		}
		*l = append(*l, e)
	}
	_, err = dec.ReadToken()
	return err
}

// decode reads catalog.json's text. The error is ErrVersion or ErrDamaged.
func decode(text []byte) (*document, error) {
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, fmt.Errorf("%w: it is empty", ErrDamaged)
	}
	// The version decides how the rest is to be read, so it is looked at first.
	if v, ok := peekVersion(text); ok && v > version {
		return nil, fmt.Errorf("%w (%d, this program reads %d): upgrade this program", ErrVersion, v, version)
	}
	var s stored
	if err := jsonx.Unmarshal(text, &s); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	switch {
	case s.Version == nil || *s.Version != version:
		return nil, fmt.Errorf("%w: no valid version", ErrDamaged)
	case s.Backups == nil:
		return nil, fmt.Errorf("%w: no list of backups", ErrDamaged)
	case s.NextSeq < 1:
		return nil, fmt.Errorf("%w: next_seq is missing", ErrDamaged)
	case len(s.State) > maxState:
		return nil, fmt.Errorf("%w: the state is longer than %d bytes", ErrDamaged, maxState)
	}
	d := &document{nextSeq: s.NextSeq, entries: *s.Backups}
	if len(s.State) > 0 {
		if err := jsonx.Unmarshal(s.State, &d.state); err != nil {
			return nil, fmt.Errorf("%w: state: %w", ErrDamaged, err)
		}
	}
	if err := d.validate(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return d, nil
}

// peekVersion finds the version among the first members, without reading on.
func peekVersion(text []byte) (int64, bool) {
	dec := jsontext.NewDecoder(bytes.NewReader(text[:min(len(text), 4096)]))
	if tok, err := dec.ReadToken(); err != nil || tok.Kind() != '{' {
		return 0, false
	}
	for {
		name, err := dec.ReadToken()
		if err != nil || name.Kind() != '"' {
			return 0, false
		}
		if name.String() != "version" {
			if err := dec.SkipValue(); err != nil {
				return 0, false
			}
			continue
		}
		val, err := dec.ReadValue()
		if err != nil {
			return 0, false
		}
		v, err := strconv.ParseInt(string(val), 10, 64)
		return v, err == nil
	}
}

// encode writes the text for d.
func encode(d *document) ([]byte, error) {
	if err := d.validate(); err != nil {
		return nil, err
	}
	state, err := jsonx.Marshal(d.state, jsontext.AllowInvalidUTF8(true), jsonx.Deterministic(true))
	if err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	if len(state) > maxState {
		return nil, fmt.Errorf("state is longer than %d bytes", maxState)
	}
	buf := bytes.NewBuffer(make([]byte, 0, 1024+len(state)+1024*len(d.entries)))
	fmt.Fprintf(buf, `{"version":%d,"next_seq":%d,"state":%s,"backups":[`, version, d.nextSeq, state)
	for i := range d.entries {
		if i > 0 {
			buf.WriteByte(',')
		}
		buf.WriteByte('\n')
		if err := jsonx.MarshalWrite(buf, &d.entries[i]); err != nil {
			return nil, fmt.Errorf("entry %q: %w", d.entries[i].ID, err)
		}
	}
	buf.WriteString("\n]}")
	if buf.Len() > maxCatalog {
		return nil, fmt.Errorf("catalog would be %d bytes, more than %d: delete backups", buf.Len(), maxCatalog)
	}
	return buf.Bytes(), nil
}

var nextSeqMember = regexp.MustCompile(`"next_seq":\s*([0-9]{1,16})[,}\s]`)

// salvage collects what a damaged text still tells line by line: entries, for
// their pins and notes, and the highest number seen. It is a hint, no more: the
// entries themselves come from the archives.
func salvage(r io.Reader) *document {
	d := newDocument()
	seen := make(map[string]struct{})
	text, err := io.ReadAll(io.LimitReader(r, maxCatalog))
	if err != nil {
		return d // what cannot be read cannot help; the archives have the rest
	}
	if m := nextSeqMember.FindSubmatch(text[:min(len(text), 4096)]); m != nil {
		if n, err := strconv.ParseUint(string(m[1]), 10, 64); err == nil && n <= maxSeq {
			d.nextSeq = max(d.nextSeq, n)
		}
	}
	for line := range bytes.Lines(text) {
		line = bytes.TrimRight(bytes.TrimSpace(line), ",")
		if len(line) == 0 || line[0] != '{' || !json.Valid(line) {
			continue
		}
		var e Entry
		if jsonx.Unmarshal(line, &e) != nil {
			continue
		}
		e.normalise()
		if _, twice := seen[e.ID]; twice || e.validate() != nil {
			continue
		}
		seen[e.ID] = struct{}{}
		d.entries = append(d.entries, e)
		d.nextSeq = max(d.nextSeq, min(e.Seq+1, maxSeq))
	}
	return d
}
