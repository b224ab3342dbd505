package inspect

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/pages"
)

// Live shows the committed state of the database at path, pinned until Close: what is committed later is not in it. The
// database is not changed. In the rollback-journal modes writers wait until Close. Locks are waited for as long as wait. Errors: those of
// livedb.Begin.
func Live(ctx context.Context, path, scratch string, wait time.Duration) (*Image, error) {
	begin, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	s, err := pages.Begin(begin, path, livedb.Options{ScratchDir: scratch, AvoidReadMark0: true})
	if err != nil {
		return nil, err
	}
	p := &livePages{info: s.Info(), page: make([]byte, s.Info().PageSize)}
	if p.info.PageCount > 0 {
		if p.read, p.end, err = s.Pages(); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	i, err := New(p, p.info.Bytes(), time.Now(), nil)
	if err != nil {
		p.close()
		return nil, errors.Join(err, s.Close())
	}
	i.closes = func() error {
		p.close()
		return s.Close()
	}
	return i, nil
}

// livePages reads a pinned state by page. A transaction belongs to one goroutine at a time.
type livePages struct {
	info livedb.Info
	read func(pgno uint32, page []byte) error
	end  func()

	mu   sync.Mutex // guards what follows, and read
	page []byte
	pgno int64 // that is in page; 0 for none
}

// ReadAt reads from the image.
func (p *livePages) ReadAt(b []byte, off int64) (n int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for n < len(b) {
		at := off + int64(n)
		if at >= p.info.Bytes() {
			return n, io.EOF
		}
		if pgno := at/int64(p.info.PageSize) + 1; pgno != p.pgno {
			p.pgno = 0
			if err := p.read(uint32(pgno), p.page); err != nil {
				return n, err
			}
			p.pgno = pgno
		}
		n += copy(b[n:], p.page[at%int64(p.info.PageSize):])
	}
	return n, nil
}

// close ends the reading. The transaction is the caller's.
func (p *livePages) close() {
	if p.end != nil {
		p.end()
	}
}
