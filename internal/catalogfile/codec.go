package catalogfile

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"example.com/snapd/catalog"
)

// The text of catalog.json is one JSON object; each backup stands on a line of
// its own, and no newline follows the last brace:
//
//	{"version":1,"next_seq":3,"state":{…},"backups":[
//	{"id":…},
//	{"id":…}
//	],"sum":"0123abcd"}
//
// So every shorter text is visibly damaged, what a damaged one still knows can
// be told line by line (salvage), and one that we wrote ourselves can be read
// without a general JSON parser (canonical.go). Any other layout of the same
// JSON is read as well.
const (
	version    = 1
	maxCatalog = 256 << 20 // bytes of catalog.json
	maxState   = 1 << 20   // bytes of the state in it

	// maxLine is more than an entry's line can have: a note and a source at
	// their limits, escaped, and the rest.
	maxLine = 6*maxNote + maxSource + 64<<10
)

// stored is the form of a document in catalog.json.
type stored struct {
	Version *int64          `json:"version"`
	NextSeq uint64          `json:"next_seq"`
	State   json.RawMessage `json:"state"`
	Backups json.RawMessage `json:"backups"`
	Sum     string          `json:"sum"` // sum.go
}

// decode reads catalog.json's text, whose memory the document shares. The error is
// ErrVersion or ErrDamaged.
func decode(text string) (*document, error) {
	if strings.TrimSpace(text) == "" {
		return nil, fmt.Errorf("%w: it is empty", ErrDamaged)
	}
	body, sum := cutSum(text)
	var d *document
	ok := false
	if sum == "" || sumFits(sum, body) {
		d, ok = decodeCanonical(body)
	}
	if !ok {
		// The version decides how the rest is to be read, so it is looked at first.
		if v, ok := peekVersion(text[:min(len(text), 64<<10)]); ok && v > version {
			if versionDamaged(body, sum) {
				return nil, fmt.Errorf("%w: the version's number", ErrDamaged)
			}
			return nil, newerVersion(v)
		}
		var err error
		if d, err = decodeOther(text, body); errors.Is(err, ErrVersion) {
			return nil, err
		} else if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
		}
	} else if err := d.validate(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return d, nil
}

// decodeOther reads a text that is not as we wrote it. It has to mean what its sum is of.
func decodeOther(text, body string) (*document, error) {
	d, sum, err := decodeAny([]byte(text))
	if err != nil {
		return nil, err
	}
	if err := d.validate(); err != nil {
		return nil, err
	}
	if sum != "" && !sumFits(sum, body) && !d.means(sum) {
		return nil, errors.New("its checksum is wrong")
	}
	return d, nil
}

func newerVersion(v int64) error {
	return fmt.Errorf("%w (%d, this program reads %d): upgrade this program", ErrVersion, v, version)
}

// decodeAny reads any JSON that means a catalog, and the sum that it claims.
func decodeAny(text []byte) (*document, string, error) {
	if !utf8.Valid(text) {
		return nil, "", errors.New("it is not UTF-8 text")
	}
	// A newer version may give every other member another type.
	var only struct {
		Version *int64 `json:"version"`
	}
	if err := json.Unmarshal(text, &only); err == nil && only.Version != nil && *only.Version > version {
		return nil, "", newerVersion(*only.Version)
	}
	var s stored
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, "", err
	}
	switch {
	case s.Version == nil || *s.Version != version:
		return nil, "", errors.New("no valid version")
	case s.NextSeq < 1:
		return nil, "", errors.New("next_seq is missing")
	}
	state, err := decodeState(s.State)
	if err != nil {
		return nil, "", err
	}
	entries, err := decodeEntries(s.Backups)
	if err != nil {
		return nil, "", err
	}
	return &document{nextSeq: s.NextSeq, state: state, entries: entries}, s.Sum, nil
}

func decodeState(text []byte) (s catalog.State, err error) {
	if len(text) > maxState {
		return s, fmt.Errorf("the state is longer than %d bytes", maxState)
	}
	if len(text) == 0 {
		return s, nil
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return s, fmt.Errorf("state: %w", err)
	}
	restores := []*catalog.RestoreOutcome{s.LastRestore}
	if s.Restoring != nil {
		restores = append(restores, &s.Restoring.RestoreOutcome)
	}
	for _, r := range restores {
		if r == nil {
			continue
		}
		if r.At = r.At.UTC(); r.At.Year() < 0 || r.At.Year() > 9999 {
			return s, errors.New("state: a year that RFC 3339 cannot write")
		}
	}
	return s, nil
}

// decodeEntries checks each entry as it is read, so that a hostile text cannot
// make millions of empty ones.
func decodeEntries(text []byte) ([]catalog.Entry, error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	if tok, err := dec.Token(); err != nil || tok != json.Delim('[') {
		return nil, errors.New("no list of backups")
	}
	var entries []catalog.Entry
	for dec.More() {
		var e catalog.Entry
		if err := dec.Decode(&e); err != nil {
			return nil, err
		}
		normalise(&e)
		if err := compactSource(&e); err != nil {
			return nil, err
		}
		if err := validateEntry(&e); err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// peekVersion finds the version among the first members of a text that begins with head.
func peekVersion(head string) (int64, bool) {
	dec := json.NewDecoder(strings.NewReader(head))
	if tok, err := dec.Token(); err != nil || tok != json.Delim('{') {
		return 0, false
	}
	for {
		name, err := dec.Token()
		if _, ok := name.(string); err != nil || !ok {
			return 0, false
		}
		var val json.RawMessage
		if err := dec.Decode(&val); err != nil {
			return 0, false
		}
		if name == "version" {
			v, err := strconv.ParseInt(string(val), 10, 64)
			return v, err == nil
		}
	}
}

// encode writes the text for d.
func encode(d *document) ([]byte, error) {
	if err := d.validate(); err != nil {
		return nil, err
	}
	state, err := json.Marshal(d.state)
	if err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	if len(state) > maxState {
		return nil, fmt.Errorf("state is longer than %d bytes", maxState)
	}
	text := make([]byte, 0, 1024+len(state)+800*len(d.entries))
	text = fmt.Appendf(text, canonicalHead+"%d"+canonicalState+"%s"+canonicalBackups, d.nextSeq, state)
	for i := range d.entries {
		if i > 0 {
			text = append(text, ',')
		}
		text = append(text, '\n')
		text = appendEntry(text, &d.entries[i])
	}
	text = appendSum(append(text, canonicalEnd...))
	if len(text) > maxCatalog {
		return nil, fmt.Errorf("catalog would be %d bytes, more than %d: delete backups", len(text), maxCatalog)
	}
	return text, nil
}

var nextSeqMember = regexp.MustCompile(`"next_seq":\s*([0-9]{1,16})[,}\s]`)

// salvage collects what a damaged text still tells line by line: entries, for
// their pins and notes, and the highest number seen. It is a hint, no more: the
// entries themselves come from the archives. It holds one line at a time.
func salvage(text io.Reader) *document {
	d := newDocument()
	seen := make(map[string]struct{})
	lines := bufio.NewReaderSize(io.LimitReader(text, maxCatalog), maxLine)
	cutOff := false // the line is longer than maxLine: none of ours
	for first := true; ; first = false {
		line, more, err := lines.ReadLine()
		if err != nil {
			return d // at the end, or what cannot be read cannot help: the archives have the rest
		}
		if first {
			d.salvageNextSeq(line)
		}
		if whole := !more && !cutOff; whole {
			d.salvageEntry(line, seen)
		}
		cutOff = more
	}
}

func (d *document) salvageNextSeq(line []byte) {
	m := nextSeqMember.FindSubmatch(line)
	if m == nil {
		return
	}
	if n, err := strconv.ParseUint(string(m[1]), 10, 64); err == nil && n <= maxSeq {
		d.nextSeq = max(d.nextSeq, n)
	}
}

func (d *document) salvageEntry(line []byte, seen map[string]struct{}) {
	line = bytes.TrimRight(bytes.TrimSpace(line), ",")
	if len(line) == 0 || line[0] != '{' {
		return
	}
	var e catalog.Entry
	if json.Unmarshal(line, &e) != nil {
		return
	}
	normalise(&e)
	if _, twice := seen[e.ID]; twice || validateEntry(&e) != nil {
		return
	}
	// The damage may be in this very line, and no pin may be lost to it.
	e.Pinned = !bytes.Contains(line, []byte(`"pinned":false`))
	seen[e.ID] = struct{}{}
	d.entries = append(d.entries, e)
	d.nextSeq = max(d.nextSeq, min(e.Seq+1, maxSeq))
}
