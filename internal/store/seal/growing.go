package seal

import (
	"io"
	"sync"
)

// growing is a file that is read while it is written, front to back: a read waits until its bytes are there.
type growing struct {
	file interface {
		io.Writer
		io.ReaderAt
	}

	mu    sync.Mutex // guards what follows
	grew  sync.Cond
	bytes int64
	ended bool
	err   error // why it is not written to its end
}

func newGrowing(file interface {
	io.Writer
	io.ReaderAt
}) *growing {
	g := &growing{file: file}
	g.grew.L = &g.mu
	return g
}

// Write writes what comes next.
func (g *growing) Write(p []byte) (int, error) {
	n, err := g.file.Write(p)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.bytes += int64(n)
	g.grew.Broadcast()
	return n, err
}

// end says that no more comes, and why: nil for the end of the content.
func (g *growing) end(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ended, g.err = true, err
	g.grew.Broadcast()
}

// ReadAt reads as io.ReaderAt says.
func (g *growing) ReadAt(p []byte, off int64) (int, error) {
	if err := g.wait(off + int64(len(p))); err != nil {
		return 0, err
	}
	return g.file.ReadAt(p, off)
}

// wait waits for the first n bytes, or for the end.
func (g *growing) wait(n int64) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.bytes < n && !g.ended {
		g.grew.Wait()
	}
	return g.err
}
