package catalogfile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"example.com/snapd/catalog"
)

const (
	// maxSeq keeps numbers exact in every JSON reader (RFC 8259 §6).
	maxSeq = 1<<53 - 1
	// maxClaim bounds the numbers that archives and damaged texts may claim: half of all are left
	// for the backups to come, however large the numbers in the directory are.
	maxClaim = 1 << 52

	maxNote   = 64 << 10 // bytes
	maxDetail = 4 << 10
	maxWord   = 128 // bytes of a kind, trigger, level, point, remote, proof
	maxSource = 64 << 10
	maxCopies = 64
)

// normalise brings e into the form in which it is stored and read back.
func normalise(e *catalog.Entry) {
	e.CreatedAt = e.CreatedAt.UTC()
	for _, at := range []**time.Time{&e.Verification.At, &e.Timeline.At} {
		if *at != nil && (*at).Location() != time.UTC {
			utc := (*at).UTC()
			*at = &utc
		}
	}
	e.Note = strings.ToValidUTF8(e.Note, "\uFFFD")
	e.Verification.Detail = cut(strings.ToValidUTF8(e.Verification.Detail, "\uFFFD"), maxDetail)
	if e.Verification.State == "" {
		e.Verification.State = catalog.Unverified
	}
	if len(e.Source) == 0 || string(e.Source) == "null" {
		e.Source = nil
	}
}

// compactSource brings Source onto one line, as the layout of the file demands.
func compactSource(e *catalog.Entry) error {
	if e.Source == nil {
		return nil
	}
	var one bytes.Buffer
	if err := json.Compact(&one, e.Source); err != nil {
		return fmt.Errorf("entry %.80q: source: %w", e.ID, err)
	}
	if !utf8.Valid(one.Bytes()) {
		return fmt.Errorf("entry %.80q: source is not UTF-8", e.ID)
	}
	e.Source = one.Bytes()
	return nil
}

// cut shortens s to at most n bytes, at a rune's boundary.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// validate returns an error if e is impossible: the limits for writing are
// the same as for reading.
func validateEntry(e *catalog.Entry) error {
	v := e.Verification
	switch {
	case !validID(e.ID):
		return fmt.Errorf("entry %.80q: not a backup id", e.ID)
	case !isFileOf(e.File, e.ID):
		return fmt.Errorf("entry %q: file %.80q is not %q", e.ID, e.File, fileOf(e.ID))
	case e.Seq < 1 || e.Seq > maxSeq:
		return fmt.Errorf("entry %q: seq %d out of range", e.ID, e.Seq)
	case e.Kind != catalog.Auto && e.Kind != catalog.Manual:
		return fmt.Errorf("entry %q: kind %.20q", e.ID, e.Kind)
	case v.State != catalog.Unverified && v.State != catalog.Verified && v.State != catalog.Failed:
		return fmt.Errorf("entry %q: verification state %.20q", e.ID, v.State)
	case e.Timeline.Number > maxClaim || e.Timeline.Began().Year() < 0 || e.Timeline.Began().Year() > 9999:
		return fmt.Errorf("entry %q: timeline %d of %s out of range", e.ID, e.Timeline.Number, e.Timeline.Began())
	case e.DatabaseBytes < 0 || e.ArchiveBytes < 0 || e.PageCount < 0 || e.DurationMS < 0:
		return fmt.Errorf("entry %q: a negative size", e.ID)
	case e.PageSize < 0 || e.PageSize > 65536:
		return fmt.Errorf("entry %q: page size %d", e.ID, e.PageSize)
	case e.CreatedAt.Year() < 0 || e.CreatedAt.Year() > 9999, v.At != nil && (v.At.Year() < 0 || v.At.Year() > 9999):
		return fmt.Errorf("entry %q: a year that RFC 3339 cannot write", e.ID)
	}
	return validateText(e)
}

func validateText(e *catalog.Entry) error {
	words := []string{string(e.Trigger), string(e.Timeline.Cause), e.ImageBLAKE3, e.Verification.Level, e.Point}
	if len(e.Copies) > maxCopies {
		return fmt.Errorf("entry %q: more than %d copies", e.ID, maxCopies)
	}
	for _, c := range e.Copies {
		if at := c.At.UTC(); at.Year() < 0 || at.Year() > 9999 {
			return fmt.Errorf("entry %q: a copy of a year that RFC 3339 cannot write", e.ID)
		}
		words = append(words, c.Remote, string(c.State), c.Proof)
	}
	for _, s := range words {
		if len(s) > maxWord || !utf8.ValidString(s) {
			return fmt.Errorf("entry %q: %.20q… is longer than %d bytes, or not text", e.ID, s, maxWord)
		}
	}
	switch {
	case e.Base != "" && !validID(e.Base):
		return fmt.Errorf("entry %q: base %.80q is not a backup id", e.ID, e.Base)
	case len(e.Note) > maxNote:
		return fmt.Errorf("entry %q: the note is longer than %d bytes", e.ID, maxNote)
	case len(e.Source) > maxSource:
		return fmt.Errorf("entry %q: the source fingerprint is longer than %d bytes", e.ID, maxSource)
	}
	return nil
}

// CheckEntry reports why no catalog can have the entry, or nil.
func CheckEntry(e catalog.Entry) error { return validateEntry(&e) }
