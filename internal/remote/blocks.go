package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"
)

const (
	blockBytes = 1 << 20
	// requestBlocks is what one request reads where reading goes on from one block to the next: for a store a request costs as much as a megabyte.
	requestBlocks = 4
	// aheadBlocks are read ahead, by several requests at once.
	aheadBlocks = 12
	// keptBlocks bounds the memory: what is kept, is being read, or is waited for.
	keptBlocks = 18
	// none is no block, and none that comes before one.
	none = -2
)

// content is an object as it can be read: a sealed one decrypted.
type content interface {
	Size() int64
	Get(ctx context.Context, off, n int64) (io.ReadCloser, error)
}

// blocks is the io.ReaderAt of a content: it reads whole blocks, some of them ahead, and keeps those that were used last.
// It is safe for concurrent use.
type blocks struct {
	ctx  context.Context
	stop context.CancelFunc
	of   content
	wait sync.WaitGroup

	mu     sync.Mutex
	kept   map[int64]*block
	free   [][]byte // of blocks that were dropped
	clock  int64
	newest int64 // the highest block of the sequence that is being read, or none
	begun  int64 // the first one after those of it that are begun
}

type block struct {
	ready chan struct{} // closed when data and err are set
	data  []byte
	err   error
	used  int64 // clock when it was asked for last

	users   int // who reads it, or reads from it
	dropped bool
}

func newBlocks(ctx context.Context, of content) *blocks {
	ctx, stop := context.WithCancel(ctx)
	return &blocks{ctx: ctx, stop: stop, of: of, kept: map[int64]*block{}, newest: none}
}

// Close ends what is being read.
func (b *blocks) Close() error {
	b.stop()
	b.wait.Wait()
	return nil
}

// ReadAt reads as io.ReaderAt says.
func (b *blocks) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, fmt.Errorf("read at %d", off)
	}
	for n < len(p) {
		at := off + int64(n)
		if at >= b.of.Size() {
			return n, io.EOF
		}
		k := at / blockBytes
		bl := b.get(k)
		select {
		case <-bl.ready:
		case <-b.ctx.Done():
			b.leave(bl)
			return n, context.Cause(b.ctx)
		}
		if err = bl.err; err == nil {
			n += copy(p[n:], bl.data[at-k*blockBytes:])
		}
		b.leave(bl)
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// leave ends the use of a block. The memory of one that was dropped is used again after the last one.
func (b *blocks) leave(bl *block) {
	b.mu.Lock()
	defer b.mu.Unlock()
	bl.users--
	b.recycle(bl)
}

// recycle is called with the lock.
func (b *blocks) recycle(bl *block) {
	if bl.dropped && bl.users == 0 && bl.data != nil {
		b.free = append(b.free, bl.data[:0])
		bl.data = nil
	}
}

// get returns block k for who calls leave after it. Where it is not there it is begun, and where reading goes on, those after it.
func (b *blocks) get(k int64) *block {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, kept := b.kept[k]
	switch {
	case k == b.newest+1:
		b.newest = k
		b.readAhead(k)
	case !kept && k != b.newest: // a second read of a block is not yet a sequence
		b.newest, b.begun = k, k+1
	}
	bl, kept := b.kept[k]
	if !kept {
		bl = b.begin(k, 1)
	}
	b.touch(bl)
	bl.users++
	return bl
}

// readAhead begins the blocks from k on that are not begun, a request's at a time.
func (b *blocks) readAhead(k int64) {
	last := (b.of.Size() - 1) / blockBytes
	for b.begun = max(b.begun, k); b.begun <= last && b.begun+requestBlocks <= k+1+aheadBlocks; {
		n := int64(0)
		for b.begun+n <= last && n < requestBlocks && b.kept[b.begun+n] == nil {
			n++
		}
		if n > 0 {
			b.begin(b.begun, n)
		}
		b.begun += max(n, 1)
	}
	for i := b.begun - 1; i > k; i-- { // the nearest one is needed longest
		if bl := b.kept[i]; bl != nil {
			b.touch(bl)
		}
	}
}

// touch has a block dropped after those that were used before.
func (b *blocks) touch(bl *block) {
	b.clock++
	bl.used = b.clock
}

// begin begins to read n blocks from k on by one request, and drops those that were not used for the longest time where there are too
// many. It returns the first.
func (b *blocks) begin(k, n int64) *block {
	for int64(len(b.kept))+n > keptBlocks {
		oldest := int64(-1)
		for i, bl := range b.kept {
			if oldest < 0 || bl.used < b.kept[oldest].used {
				oldest = i
			}
		}
		b.drop(oldest)
	}
	begun := make([]*block, n)
	for i := range begun {
		begun[i] = &block{ready: make(chan struct{}), users: 1}
		b.touch(begun[i])
		b.kept[k+int64(i)] = begun[i]
	}
	b.wait.Go(func() { b.read(k, begun) })
	return begun[0]
}

// drop is called with the lock.
func (b *blocks) drop(k int64) {
	bl := b.kept[k]
	delete(b.kept, k)
	bl.dropped = true
	b.recycle(bl)
}

// buffer returns n bytes, of a block that was dropped where there is one.
func (b *blocks) buffer(n int64) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := len(b.free) - 1; i >= 0 {
		data := b.free[i]
		b.free = b.free[:i]
		return data[:n]
	}
	return make([]byte, n, min(blockBytes, b.of.Size()))
}

// again is how often a body that breaks off is gone on with; stores repeat requests that fail by themselves.
const again = 5

// read reads blocks that follow each other, from k on. Each is ready when it is there.
func (b *blocks) read(k int64, begun []*block) {
	r := request{b: b, off: k * blockBytes, end: min((k+int64(len(begun)))*blockBytes, b.of.Size())}
	defer r.close()
	var failed error
	for i, bl := range begun {
		var data []byte
		if failed == nil && b.wanted(begun[i:]) {
			data = b.buffer(min(blockBytes, r.end-r.off))
			failed = r.fill(data)
		} else if failed == nil {
			failed = errDropped
		}
		b.finish(k+int64(i), bl, data, failed)
	}
}

// errDropped: no one waits for the block.
var errDropped = errors.New("it is not needed any more")

// wanted reports whether any of the blocks is kept, or waited for.
func (b *blocks) wanted(all []*block) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.ContainsFunc(all, func(bl *block) bool { return !bl.dropped || bl.users > 1 })
}

// finish has a block ready, with its data or with the reason why there is none.
func (b *blocks) finish(k int64, bl *block, data []byte, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	bl.data, bl.err = data, err
	if err != nil && b.kept[k] == bl { // so that the next one who asks tries again
		b.drop(k)
	}
	bl.users--
	b.recycle(bl)
	close(bl.ready)
}

// request reads a range, by one Get as long as that does not break off.
type request struct {
	b        *blocks
	off, end int64 // what is left of it
	body     io.ReadCloser
}

func (r *request) fill(data []byte) error {
	n := 0
	for try := 0; ; try++ {
		if r.body == nil {
			body, err := r.b.of.Get(r.b.ctx, r.off, r.end-r.off)
			if err != nil {
				return err
			}
			r.body = body
		}
		k, err := io.ReadFull(r.body, data[n:])
		n += k
		r.off += int64(k)
		if n == len(data) {
			return nil
		}
		err = errors.Join(err, r.close())
		if err == nil || err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if lost(err) || try == again || r.b.pause(try) != nil {
			return err
		}
	}
}

func (r *request) close() error {
	if r.body == nil {
		return nil
	}
	body := r.body
	r.body = nil
	return body.Close()
}

// pause waits before the next try, the first time not.
func (b *blocks) pause(try int) error {
	if try == 0 {
		return context.Cause(b.ctx)
	}
	select {
	case <-time.After(100 * time.Millisecond << try):
		return nil
	case <-b.ctx.Done():
		return context.Cause(b.ctx)
	}
}
