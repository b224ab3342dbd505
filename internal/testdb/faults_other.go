//go:build !linux || !amd64

package testdb

import (
	"errors"
	"testing"
)

// HandOverCalls is not possible here.
func HandOverCalls() error { return errors.ErrUnsupported }

// WithFaults skips the test: no system calls can be handed over here.
func WithFaults(t testing.TB, _ string, _ func(Call) Fault, _ string, _ ...string) *Child {
	t.Skip("system calls can be handed over on Linux on amd64 only")
	return nil
}
