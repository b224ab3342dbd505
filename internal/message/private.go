package message

import (
	"errors"
	"strings"
)

// Private is an error whose text has what is in rows of a database: it is for who asked. In logs, events and records it is said in
// the words of public.
func Private(err error, public string) error { return &private{err, public} }

type private struct {
	error
	public string
}

func (e *private) Unwrap() error { return e.error }

// Public is err, in whose text all that is Private is said in public words.
func Public(err error) error {
	parts := privates(err, nil)
	if len(parts) == 0 {
		return err
	}
	whole := err.Error()
	text := whole
	for _, p := range parts {
		from := p.Error()
		if !strings.Contains(whole, from) { // it was said in another way
			return &publicError{parts[0].public, err}
		}
		text = strings.ReplaceAll(text, from, p.public)
	}
	return &publicError{text, err}
}

// publicError says less than the error that it is.
type publicError struct {
	text string
	err  error
}

func (e *publicError) Error() string { return e.text }
func (e *publicError) Unwrap() error { return e.err }

// privates are the Private errors in err, without those in others.
func privates(err error, found []*private) []*private {
	switch e := err.(type) {
	case nil:
	case *private:
		found = append(found, e)
	case *publicError: // said already
	case interface{ Unwrap() []error }:
		for _, part := range e.Unwrap() {
			found = privates(part, found)
		}
	default:
		found = privates(errors.Unwrap(err), found)
	}
	return found
}
