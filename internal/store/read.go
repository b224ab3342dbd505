package store

import (
	"context"
	"errors"
	"io"
)

// Exactly returns a reader of the n bytes that r begins with, which ends with io.ErrUnexpectedEOF when r has fewer, and with
// the error of ctx once that ended. Closing it closes r.
func Exactly(ctx context.Context, r io.ReadCloser, n int64) io.ReadCloser {
	return &exact{ctx: ctx, r: r, left: n}
}

type exact struct {
	ctx  context.Context
	r    io.ReadCloser
	left int64
}

func (e *exact) Read(p []byte) (int, error) {
	if err := context.Cause(e.ctx); err != nil {
		return 0, err
	}
	if e.left <= 0 {
		return 0, io.EOF
	}
	n, err := e.r.Read(p[:min(int64(len(p)), e.left)])
	e.left -= int64(n)
	switch {
	case e.left == 0 && (err == nil || errors.Is(err, io.ErrUnexpectedEOF)):
		err = io.EOF
	case e.left > 0 && errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (e *exact) Close() error { return e.r.Close() }
