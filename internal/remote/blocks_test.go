package remote

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
)

// text is a content in memory.
type text struct {
	data   []byte
	gets   atomic.Int64
	asked  atomic.Int64 // bytes
	before func(off int64) error
	cut    func(try int64) bool
}

func (t *text) Size() int64 { return int64(len(t.data)) }

func (t *text) Get(_ context.Context, off, n int64) (io.ReadCloser, error) {
	try := t.gets.Add(1)
	t.asked.Add(n)
	if t.before != nil {
		if err := t.before(off); err != nil {
			return nil, err
		}
	}
	if t.cut != nil && t.cut(try) {
		n /= 2
	}
	return io.NopCloser(bytes.NewReader(t.data[off:][:n])), nil
}

func noise(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{}).Read(b)
	return b
}

// Lost: bytes of another place, or a request more for each of them.
func TestBlocks(t *testing.T) {
	t.Parallel()
	of := &text{data: noise(40*blockBytes + 1000)}
	b := newBlocks(t.Context(), of)
	defer b.Close()
	whole := make([]byte, of.Size())
	var err error
	for at := 0; at < len(whole) && err == nil; {
		n := min(300_000, len(whole)-at)
		n, err = b.ReadAt(whole[at:][:n], int64(at))
		at += n
	}
	if err != nil || !bytes.Equal(whole, of.data) {
		t.Fatalf("read in order: %d bytes, %v", len(whole), err)
	}
	if n, size := of.gets.Load(), of.asked.Load(); n > 12 || size != of.Size() {
		t.Errorf("41 blocks in order took %d requests for %d of %d bytes", n, size, of.Size())
	}
	var readers sync.WaitGroup
	for i := range 6 {
		readers.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(i)))
			for range 50 {
				off := random.Int64N(of.Size())
				p := make([]byte, random.IntN(2*blockBytes))
				n, err := b.ReadAt(p, off)
				want := of.data[off:]
				if short := len(p) > len(want); short != (err == io.EOF) || err != nil && err != io.EOF || !bytes.Equal(p[:n], want[:min(len(p), len(want))]) {
					t.Errorf("%d bytes at %d: %d, %v", len(p), off, n, err)
				}
				if b.mu.Lock(); len(b.kept) > keptBlocks {
					t.Errorf("%d blocks are kept", len(b.kept))
				}
				b.mu.Unlock()
			}
		})
	}
	readers.Wait()
}

// Lost: a failure that is taken for the content, or that stays after the store has recovered.
func TestBlocksThatFail(t *testing.T) {
	t.Parallel()
	of := &text{data: noise(3 * blockBytes)}
	down := errors.New("down")
	var failing atomic.Bool
	failing.Store(true)
	of.before = func(off int64) error {
		if off == blockBytes && failing.Load() {
			return down
		}
		return nil
	}
	b := newBlocks(t.Context(), of)
	defer b.Close()
	p := make([]byte, 10)
	if _, err := b.ReadAt(p, blockBytes+5); !errors.Is(err, down) {
		t.Errorf("a store that is down: %v", err)
	}
	failing.Store(false)
	if _, err := b.ReadAt(p, blockBytes+5); err != nil || !bytes.Equal(p, of.data[blockBytes+5:][:10]) {
		t.Errorf("after it: %v", err)
	}

	b.Close() // it may be reading ahead
	of.gets.Store(0)
	of.cut = func(try int64) bool { return try < 2 } // a body that breaks off once
	b = newBlocks(t.Context(), of)
	if _, err := b.ReadAt(p, 2*blockBytes+5); err != nil || !bytes.Equal(p, of.data[2*blockBytes+5:][:10]) {
		t.Errorf("after a body that broke off: %v", err)
	}
	b.Close()

	hang := make(chan struct{})
	of.before = func(int64) error { <-hang; return down }
	ctx, cancel := context.WithCancel(t.Context())
	b = newBlocks(ctx, of)
	cancel()
	if _, err := b.ReadAt(p, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	close(hang)
	b.Close()
}
