package catalogfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"example.com/snapd/catalog"
)

// catalog.json is one JSON object. Each backup is on a line of its own, and no
// newline follows the last brace:
//
//	{"version":1,"next_seq":3,"state":{…},"backups":[
//	{"id":…},                                          one catalog.Entry a line, ordered by seq
//	{"id":…}
//	],"sum":"0123abcd"}                                CRC-32C of all text before ,"sum" (sum.go)
//
// So every shorter text is visibly damaged, and a damaged text still gives the
// entries of its intact lines (salvage.go). Any other layout of the same JSON is
// read as well. Unknown members are ignored; a change of meaning needs a new version.
const (
	version    = 1
	maxCatalog = 256 << 20 // bytes of catalog.json
	maxState   = 1 << 20   // bytes of the state in it
)

// head is what catalog.json holds before the backups.
type head struct {
	Version int64         `json:"version"`
	NextSeq uint64        `json:"next_seq"`
	State   catalog.State `json:"state"`
}

// encode returns the text for d.
func encode(d *document) ([]byte, error) {
	if err := d.validate(); err != nil {
		return nil, err
	}
	first, err := json.Marshal(head{version, d.nextSeq, d.state})
	if err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	if len(first) > maxState {
		return nil, fmt.Errorf("state is longer than %d bytes", maxState)
	}
	var text bytes.Buffer
	text.Grow(len(first) + 800*len(d.entries) + 1024)
	text.Write(bytes.TrimSuffix(first, []byte("}")))
	text.WriteString(`,"backups":[`)
	lines := json.NewEncoder(&text)
	text.WriteByte('\n')
	for i := range d.entries {
		if i > 0 {
			text.Truncate(text.Len() - 1) // the comma goes before the newline that Encode ends with
			text.WriteString(",\n")
		}
		if err := lines.Encode(&d.entries[i]); err != nil {
			return nil, fmt.Errorf("entry %q: %w", d.entries[i].ID, err)
		}
	}
	text.WriteByte(']')
	text.Write(sumOf(text.Bytes()))
	if text.Len() > maxCatalog {
		return nil, fmt.Errorf("catalog would be %d bytes, more than %d: delete backups", text.Len(), maxCatalog)
	}
	return text.Bytes(), nil
}

// decode reads catalog.json's text. The error is ErrVersion or ErrDamaged.
func decode(text []byte) (*document, error) {
	damaged := func(err error) error { return fmt.Errorf("%w: %w", ErrDamaged, err) }
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, damaged(errors.New("it is empty"))
	}
	// The version decides how the rest is to be read.
	v, err := readVersion(text)
	switch {
	case err != nil:
		return nil, damaged(err)
	case v > version && versionDamaged(text):
		return nil, damaged(errors.New("the version's number"))
	case v > version:
		return nil, fmt.Errorf("%w (%d, this program reads %d): upgrade this program", ErrVersion, v, version)
	case v < version:
		return nil, damaged(fmt.Errorf("version %d", v))
	case !utf8.Valid(text):
		return nil, damaged(errors.New("it is not UTF-8 text"))
	}
	d, sum, err := decodeMembers(text)
	if err == nil {
		err = d.validate()
	}
	if err != nil {
		return nil, damaged(err)
	}
	if sum != "" && !sumFits(text) && !d.means(sum) {
		return nil, damaged(errors.New("its checksum is wrong"))
	}
	return d, nil
}

// readVersion returns the version that text names, wherever it stands among the members
// and everything after it.
func readVersion(text []byte) (v int64, err error) {
	err = members(text, func(name string, dec *json.Decoder) error {
		if name != "version" {
			var skipped json.RawMessage
			return dec.Decode(&skipped)
		}
		if err := dec.Decode(&v); err != nil {
			return err
		}
		return errStop
	})
	switch {
	case errors.Is(err, errStop):
		return v, nil
	case err == nil:
		err = errors.New("it has no version")
	}
	return 0, err
}

// decodeMembers reads a text of this version, and the sum that it names.
func decodeMembers(text []byte) (d *document, sum string, err error) {
	d = &document{}
	listed := false
	err = members(text, func(name string, dec *json.Decoder) error {
		switch name {
		case "next_seq":
			return dec.Decode(&d.nextSeq)
		case "sum":
			return dec.Decode(&sum)
		case "state":
			var raw json.RawMessage
			if err := dec.Decode(&raw); err != nil {
				return err
			}
			d.state, err = decodeState(raw)
			return err
		case "backups":
			listed = true
			d.entries, err = decodeEntries(dec)
			return err
		}
		var unknown json.RawMessage
		return dec.Decode(&unknown)
	})
	switch {
	case err != nil:
		return nil, "", err
	case d.nextSeq < 1:
		return nil, "", errors.New("next_seq is missing")
	case !listed:
		return nil, "", errors.New("no list of backups")
	}
	return d, sum, nil
}

// errStop ends members early.
var errStop = errors.New("stop")

// members calls read for each member of the one object that text is, to decode its
// value.
func members(text []byte, read func(name string, dec *json.Decoder) error) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	if tok, err := dec.Token(); err != nil || tok != json.Delim('{') {
		return errors.New("it is no JSON object")
	}
	for dec.More() {
		tok, err := dec.Token()
		if err != nil {
			return err
		}
		name, _ := tok.(string)
		if err := read(name, dec); err != nil {
			return err
		}
	}
	if _, err := dec.Token(); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the JSON object")
	}
	return nil
}

func decodeState(text []byte) (s catalog.State, err error) {
	if len(text) > maxState {
		return s, fmt.Errorf("the state is longer than %d bytes", maxState)
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return s, fmt.Errorf("state: %w", err)
	}
	var times []*time.Time
	if s.LastRestore != nil {
		times = append(times, &s.LastRestore.At)
	}
	if s.Restoring != nil {
		times = append(times, &s.Restoring.At)
		if s.Restoring.Rows != nil {
			times = append(times, &s.Restoring.Rows.At)
		}
	}
	if s.LastRows != nil {
		times = append(times, &s.LastRows.At)
	}
	if s.Gone != nil {
		times = append(times, &s.Gone.At)
	}
	if s.Timeline != nil {
		if s.Timeline.Number > maxClaim {
			return s, errors.New("state: timeline out of range")
		}
		if s.Timeline.At != nil {
			times = append(times, s.Timeline.At)
		}
	}
	for _, t := range s.Began {
		if t.At != nil {
			times = append(times, t.At)
		}
	}
	for i := range s.Anchors {
		times = append(times, &s.Anchors[i].At)
	}
	if s.CapturesStopped != nil {
		times = append(times, &s.CapturesStopped.At)
	}
	for _, at := range times {
		if *at = at.UTC(); at.Year() < 0 || at.Year() > 9999 {
			return s, errors.New("state: a year that RFC 3339 cannot write")
		}
	}
	return s, nil
}

// decodeEntries checks each entry as it is read, so that an untrusted text cannot
// make millions of empty ones.
func decodeEntries(dec *json.Decoder) ([]catalog.Entry, error) {
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
	_, err := dec.Token()
	return entries, err
}
