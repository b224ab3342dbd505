package activity

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Limits, in bytes.
const (
	maxDetail = 1 << 10
	maxWord   = 256 // every other text
	maxResult = 64 << 10
	maxLine   = 92 << 10 // six bytes of JSON for each byte of text are the most; longer lines are not ours
)

// Entry is one thing that was done, or was refused, or failed.
type Entry struct {
	At      time.Time `json:"at"`      // UTC
	Who     string    `json:"who"`     // a person or a program
	Action  string    `json:"action"`  // "backup", "restore", …
	Backup  string    `json:"backup"`  // id, "" where it is about none
	Outcome string    `json:"outcome"` // "done", "failed", …
	Detail  string    `json:"detail"`  // one sentence, or ""

	Operation     string     `json:"operation,omitempty"` // the caller's id of it
	Trigger       string     `json:"trigger,omitempty"`   // of a backup
	Remote        string     `json:"remote,omitempty"`    // name of the place off this machine that it is about
	Code          string     `json:"code,omitempty"`      // of the error
	DatabaseBytes int64      `json:"database_bytes,omitempty"`
	ArchiveBytes  int64      `json:"archive_bytes,omitempty"`
	DurationMS    int64      `json:"duration_ms,omitempty"`
	Since         *time.Time `json:"since,omitempty"`    // an entry that stands for several: when the first was
	Schedule      string     `json:"schedule,omitempty"` // of a service that starts: "@every 12h0m0s", or by cron
}

// Mark says what a line is to its operation. The lines of its steps have none.
type Mark struct {
	Line    Line            `json:"line,omitempty"`
	Process string          `json:"process,omitempty"` // of a started line: which process does it
	Began   *time.Time      `json:"began,omitempty"`   // of an ended line: when the operation began
	Hint    string          `json:"hint,omitempty"`    // of an ended line with a Code: what to do
	Result  json.RawMessage `json:"result,omitempty"`  // of an ended line; left out where it is too long
	Quiet   bool            `json:"quiet,omitempty"`   // Page leaves it out: other lines say what was done
}

// Line is the place of a line in its operation.
type Line string

const (
	Started Line = "started"
	Ended   Line = "ended"
)

// Record is a line of the log.
type Record struct {
	Entry
	Mark
}

// bounded returns e with every text cut to its limit.
func (e Record) bounded() Record {
	for _, s := range []*string{&e.Who, &e.Action, &e.Backup, &e.Outcome, &e.Operation, &e.Trigger, &e.Remote, &e.Code, &e.Schedule, &e.Process} {
		*s = cut(*s, maxWord)
	}
	e.Detail, e.Hint = cut(e.Detail, maxDetail), cut(e.Hint, maxDetail)
	if len(e.Result) > maxResult {
		e.Result = nil
	}
	return e
}

// cut returns s without what is beyond limit bytes, on the border of a character. What
// is no UTF-8 becomes U+FFFD.
func cut(s string, limit int) string {
	s = strings.ToValidUTF8(s, string(utf8.RuneError))
	if len(s) <= limit {
		return s
	}
	const more = "…"
	end := limit - len(more)
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + more
}

// line returns e as it stands in the log.
func (e Record) line() ([]byte, error) { return encode(e.bounded()) }

// encode returns v as JSON, on a line of its own.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b) // ends the line
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("an entry that cannot be written: %w", err)
	}
	return b.Bytes(), nil
}

// parse reads a line; ok is false for what is no entry. Members of a newer version
// are passed over.
func parse(line []byte) (e Record, ok bool) {
	if len(line) == 0 || line[0] != '{' || json.Unmarshal(line, &e) != nil || e.At.IsZero() || e.Action == "" || e.Outcome == "" {
		return Record{}, false
	}
	e.At = e.At.UTC()
	if !writable(e.At) || e.Since != nil && !writable(*e.Since) || e.Began != nil && !writable(*e.Began) {
		return Record{}, false
	}
	return e.bounded(), true
}

// writable reports whether t, in UTC, has a year that RFC 3339 can write: one read
// with an offset may have left that range.
func writable(t time.Time) bool {
	year := t.UTC().Year()
	return year >= 0 && year <= 9999
}
