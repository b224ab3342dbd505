package remote

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"syscall"
	"testing"

	"example.com/snapd/internal/store"
	"example.com/snapd/internal/store/seal"
)

// Lost: what a script or a person does about a remote that fails, where the word for it is another's.
func TestCode(t *testing.T) {
	t.Parallel()
	dial := &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	for _, c := range []struct {
		err  error
		want string
	}{
		{store.ErrDenied, "denied"},
		{store.ErrGone, "unreachable"},
		{store.ErrFull, "no_space"},
		{store.ErrThrottled, "throttled"},
		{store.ErrMissing, "missing"},
		{ErrOtherWriter, "other_writer"},
		{ErrOtherPlace, "other_place"},
		{ErrOlder, "older_directory"},
		{fmt.Errorf("%w: %w", seal.ErrRecipients, fs.ErrNotExist), "recipients"},
		{&url.Error{Op: "Put", URL: "https://s3.example.com", Err: dial}, "unreachable"},
		{fmt.Errorf("%w: %w", store.ErrThrottled, dial), "unreachable"}, // a server with SFTP
		{&net.DNSError{Err: "no such host", Name: "s3.example.com"}, "unreachable"},
		{&url.Error{Op: "Put", URL: "https://s3.example.com", Err: context.Canceled}, ""},
		{&fs.PathError{Op: "open", Path: "remotes/offsite.json", Err: syscall.EACCES}, ""},
		{syscall.EIO, ""},
		{errors.New("something else"), ""},
	} {
		if got := Code(fmt.Errorf("send to remote offsite: %w", c.err)); got != c.want {
			t.Errorf("%v: %q, want %q", c.err, got, c.want)
		}
	}
}
