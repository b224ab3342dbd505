package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
)

// Source returns src for an implementation of Put: reading it ends with the error of ctx once that ended, and what src itself
// returns is marked, so that [IsSource] distinguishes a file that could not be read from a store that failed. After leave src is not read, and
// leave waits for those who do: a request that was given up may still run.
func Source(ctx context.Context, src io.ReaderAt) (source io.ReaderAt, leave func()) {
	s := &guarded{src: src, ctx: ctx}
	return s, s.leave
}

// IsSource reports whether err came from the source of a Put, or from its context, and not from the store.
func IsSource(err error) bool {
	var source *sourceError
	return errors.As(err, &source)
}

type guarded struct {
	src  io.ReaderAt
	ctx  context.Context
	mu   sync.RWMutex
	left bool
}

type sourceError struct{ err error }

func (e *sourceError) Error() string { return "read the source: " + e.err.Error() }
func (e *sourceError) Unwrap() error { return e.err }

func (s *guarded) ReadAt(p []byte, off int64) (int, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := context.Cause(s.ctx); err != nil {
		return 0, &sourceError{err}
	}
	if s.left {
		return 0, &sourceError{io.ErrClosedPipe}
	}
	n, err := s.src.ReadAt(p, off)
	if err != nil && err != io.EOF && !IsSource(err) {
		err = &sourceError{err}
	}
	return n, err
}

func (s *guarded) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left = true
}

// ShortSource is the error for a source that ended after n of size bytes.
func ShortSource(n, size int64) error {
	return &sourceError{fmt.Errorf("it ends after %d of %d bytes: %w", n, size, io.ErrUnexpectedEOF)}
}
