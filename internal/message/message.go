// Package message forms the texts that people read: errors with advice, on one line.
package message

import (
	"errors"
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

// HintOf returns the advice that err carries, or "".
func HintOf(err error) string {
	var advised interface {
		error
		Hint() string
	}
	if errors.As(err, &advised) {
		return advised.Hint()
	}
	return ""
}

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
