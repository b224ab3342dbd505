package remote

import (
	"errors"
	"net"

	"example.com/snapd/internal/store"
	"example.com/snapd/internal/store/seal"
)

// Code is the stable word for an error of a remote, "" for one of something else.
func Code(err error) string {
	for _, c := range []struct {
		is   error
		code string
	}{
		{ErrOtherWriter, "other_writer"}, {ErrOtherPlace, "other_place"}, {seal.ErrRecipients, "recipients"},
		{store.ErrDenied, "denied"}, {store.ErrGone, "unreachable"}, {store.ErrFull, "no_space"}, {store.ErrThrottled, "throttled"},
	} {
		if errors.Is(err, c.is) {
			return c.code
		}
	}
	if errors.As(err, new(net.Error)) {
		return "unreachable"
	}
	return ""
}
