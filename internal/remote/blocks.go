package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

const (
	// blockBytes is what one request reads.
	blockBytes = 1 << 20
	// aheadBlocks are read ahead, concurrently, where reading goes on from one block to the next.
	aheadBlocks = 12
	// keptBlocks bounds the memory: what is kept, is being read, or is waited for.
	keptBlocks = 20
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
	newest int64 // the highest block of the sequence that is being read, -1 for none
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
	return &blocks{ctx: ctx, stop: stop, of: of, kept: map[int64]*block{}, newest: -1}
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

// get returns block k for who calls leave after it, and begins to read it, and others ahead, where they are not there.
func (b *blocks) get(k int64) *block {
	b.mu.Lock()
	defer b.mu.Unlock()
	ahead := k
	if k == b.newest || k == b.newest+1 {
		ahead = min(k+aheadBlocks, (b.of.Size()-1)/blockBytes)
		b.newest = k
	} else if _, kept := b.kept[k]; !kept {
		b.newest = k
	}
	for i := ahead; i > k; i-- { // the nearest one is needed longest
		b.use(i)
	}
	bl := b.use(k)
	bl.users++
	return bl
}

// use returns block k, which is begun where it is not there, and dropped after those that were used before.
func (b *blocks) use(k int64) *block {
	bl, kept := b.kept[k]
	if !kept {
		bl = b.begin(k)
	}
	b.clock++
	bl.used = b.clock
	return bl
}

// begin begins to read block k, and drops the one that was not used for the longest time where there are too many.
func (b *blocks) begin(k int64) *block {
	for len(b.kept) >= keptBlocks {
		oldest := int64(-1)
		for i, bl := range b.kept {
			if oldest < 0 || bl.used < b.kept[oldest].used {
				oldest = i
			}
		}
		b.drop(oldest)
	}
	bl := &block{ready: make(chan struct{}), users: 1}
	b.kept[k] = bl
	b.wait.Go(func() {
		data, err := b.read(k)
		b.mu.Lock()
		defer b.mu.Unlock()
		bl.data, bl.err = data, err
		if err != nil && b.kept[k] == bl { // so that the next one who asks tries again
			b.drop(k)
		}
		bl.users--
		b.recycle(bl)
		close(bl.ready)
	})
	return bl
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

func (b *blocks) read(k int64) ([]byte, error) {
	off := k * blockBytes
	data := b.buffer(min(blockBytes, b.of.Size()-off))
	n := 0
	for try := 0; ; try++ {
		body, err := b.of.Get(b.ctx, off+int64(n), int64(len(data)-n))
		if err != nil {
			return nil, err
		}
		k, err := io.ReadFull(body, data[n:])
		n += k
		err = errors.Join(err, body.Close())
		if n == len(data) {
			return data, nil
		}
		if err == nil || err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if lost(err) || try == again || b.pause(try) != nil {
			return nil, err
		}
	}
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
