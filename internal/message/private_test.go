package message

import (
	"errors"
	"fmt"
	"io"
	"testing"
)

// Lost: what is in rows, to the readers of logs.
func TestPublicSaysNothingPrivate(t *testing.T) {
	t.Parallel()
	key := Private(fmt.Errorf("row 'secret': %w", io.EOF), "a row")
	for want, err := range map[string]error{
		"plan: a row; try": fmt.Errorf("plan: %w; try", key), "a row": fmt.Errorf("other words: %w", hiding{key}), "x\na row": errors.Join(errors.New("x"), WithHint(key, "h")),
		"a row, a row": Public(fmt.Errorf("%w, %w", key, key)), "plain": errors.New("plain"), "again: a row": fmt.Errorf("again: %w", Public(key)),
	} {
		got := Public(err)
		if got.Error() != want || want != "plain" && !errors.Is(got, io.EOF) {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if Public(nil) != nil || HintOf(Public(WithHint(key, "h"))) != "h" {
		t.Error("nil, or a hint")
	}
}

// hiding has a text of its own.
type hiding struct{ error }

func (hiding) Error() string   { return "the \"secret\"" }
func (h hiding) Unwrap() error { return h.error }
