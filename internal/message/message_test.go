package message

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"
)

// If this fails, the advice is lost where the error is wrapped, or hides its cause.
func TestWithHint(t *testing.T) {
	err := fmt.Errorf("outer: %w", WithHint(fmt.Errorf("open x: %w", fs.ErrNotExist), "make x"))
	var h interface{ Hint() string }
	if !errors.As(err, &h) || h.Hint() != "make x" {
		t.Errorf("the advice of %v is lost", err)
	}
	if !errors.Is(err, fs.ErrNotExist) || err.Error() != "outer: open x: "+fs.ErrNotExist.Error() {
		t.Errorf("the cause of %v is hidden", err)
	}
}

// If this fails, a file's name writes lines of its own into a log.
func TestOneLine(t *testing.T) {
	for in, want := range map[string]string{
		"":                              "",
		" \n\r\n":                       "",
		"a  b":                          "a  b", // a file may have such a name
		"a\nb\r\n\n\tc\x00\x7fd\u0085 ": "a; b; c  d",
	} {
		if got := OneLine(in); got != want {
			t.Errorf("OneLine(%q) = %q, want %q", in, got, want)
		}
	}
}
