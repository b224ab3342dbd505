package sftp

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/pkg/sftp"

	"example.com/snapd/internal/store"
)

// window is how much is asked for at once: the library makes as many requests of it as a packet's size wants, all on their way
// at the same time.
const window = 1 << 20

// Get implements [store.Store].
func (s *SFTP) Get(ctx context.Context, name, version string, off, n int64) (io.ReadCloser, error) {
	if err := store.CheckGet(name, off); err != nil {
		return nil, err
	}
	if version != "" {
		return nil, s.wrap("get", name, store.ErrChanged) // no object here has one
	}
	b := &body{s: s, ctx: ctx, name: name, off: off}
	var err error
	if b.file, err = do(ctx, s, "get", name, func(now *session, _ bool) (file, error) { return b.open(now) }); err != nil {
		return nil, err
	}
	if n < 0 {
		n = max(0, b.size-off)
	}
	b.end = off + n
	return store.Exactly(ctx, b, n), nil
}

// A body reads a range of a file, a window at a time. A connection that breaks is made again, and the file opened there must be
// the one that was read before, as far as its size and time show.
type body struct {
	s        *SFTP
	ctx      context.Context
	name     string
	off, end int64 // the next byte that is asked for, and where to stop
	file
	buf  []byte
	rest []byte // of buf, not yet delivered
}

// A file is one that is open on a connection.
type file struct {
	now      *session
	f        *sftp.File
	size     int64
	modified time.Time
	read     int // bytes, by the last call
}

func (b *body) open(now *session) (file, error) {
	info, err := b.s.lstat(now, b.name)
	if err != nil {
		return file{}, err
	}
	if b.f != nil && (info.Size() != b.size || !info.ModTime().Equal(b.modified)) {
		return file{}, store.ErrChanged
	}
	f, err := now.Open(b.s.path(b.name))
	return file{now: now, f: f, size: info.Size(), modified: info.ModTime()}, err
}

func (b *body) Read(p []byte) (int, error) {
	if len(b.rest) == 0 {
		if err := b.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

// fill reads the next window. What it changes of b it changes after the call returned: one that was given up may still run.
func (b *body) fill() error {
	until := min(b.end, b.size)
	if b.off >= until {
		return io.EOF
	}
	if b.buf == nil {
		b.buf = make([]byte, min(window, until-b.off))
	}
	want := b.buf[:min(int64(len(b.buf)), until-b.off)]
	got, err := do(b.ctx, b.s, "get", b.name, func(now *session, _ bool) (f file, err error) {
		f = b.file
		if f.now != now {
			if f, err = b.open(now); err != nil {
				return f, err
			}
		}
		f.read, err = f.f.ReadAt(want, b.off)
		if f.read > 0 {
			return f, nil
		}
		if err == io.EOF {
			return f, fmt.Errorf("the file ends at %d of %d bytes", b.off, b.size)
		}
		return f, err
	})
	if err != nil {
		return err
	}
	b.file, b.rest = got, want[:got.read]
	b.off += int64(got.read)
	return nil
}

// Close cannot lose anything: the file was read.
func (b *body) Close() error {
	_ = b.f.Close()
	return nil
}
