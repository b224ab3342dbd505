package remote

import (
	"context"
	"errors"
	"net"
	"net/url"

	"example.com/snapd/internal/store"
	"example.com/snapd/internal/store/seal"
)

// Code is the stable word for an error of a remote, "" for one of something else.
func Code(err error) string {
	for _, c := range []struct {
		is   error
		code string
	}{
		{context.Canceled, ""},
		{ErrOtherWriter, "other_writer"}, {ErrOtherPlace, "other_place"}, {ErrOlder, "older_directory"}, {seal.ErrRecipients, "recipients"},
		{store.ErrDenied, "denied"}, {store.ErrGone, "unreachable"}, {store.ErrFull, "no_space"},
	} {
		if errors.Is(err, c.is) {
			return c.code
		}
	}
	switch {
	case unreachable(err):
		return "unreachable"
	case errors.Is(err, store.ErrThrottled):
		return "throttled"
	case errors.Is(err, store.ErrMissing):
		return "missing"
	}
	return ""
}

// unreachable reports whether the network is what failed. An error of a file is none of the network's, though the system's errors look alike.
func unreachable(err error) bool {
	return errors.As(err, new(*net.OpError)) || errors.As(err, new(*net.DNSError)) || errors.As(err, new(*url.Error))
}
