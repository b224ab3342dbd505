// Package message forms the texts that people read: errors with advice, on one line.
package message

import (
	"strings"
	"unicode"
)

// WithHint adds to err what its reader can do. The hint is the result's method Hint.
func WithHint(err error, hint string) error { return &hinted{err, hint} }

type hinted struct {
	error
	hint string
}

func (e *hinted) Unwrap() error { return e.error }

// Hint returns the advice.
func (e *hinted) Hint() string { return e.hint }

// OneLine puts joined errors, and text from files, on one line: "; " takes the place of a
// line break, a blank that of any other control character.
func OneLine(s string) string {
	var lines []string
	for line := range strings.Lines(s) {
		line = strings.TrimSpace(strings.Map(func(r rune) rune {
			if unicode.IsControl(r) {
				return ' '
			}
			return r
		}, line))
		if line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "; ")
}
