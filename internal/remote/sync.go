package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"example.com/snapd/internal/store"
)

// A person may ask for what a sender does by itself. The round that begins then lists the store, seals what was just captured
// and sends what is missing, however lately the remote failed; how it ends is the answer.

// moveEvery is how often the one who asked hears how far it is.
const moveEvery = 200 * time.Millisecond

// errOver: the sender has ended.
var errOver = errors.New("the service that sends is ending")

// ask is a call of Sync that waits for its answer.
type ask struct{ answer chan error }

// Sync has the sender send what is missing now, and waits for the end of that. moved hears how many bytes of how many are sent, now
// and then; it may be nil. Where ctx ends first, the sender goes on.
func (s *Sender) Sync(ctx context.Context, moved func(done, total int64)) error {
	return s.wait(ctx, s.ask(), moved)
}

// Once is Sync where no sender is at work.
func Once(ctx context.Context, o Options, moved func(done, total int64)) error {
	s := New(o)
	s.next = ""
	a := s.ask()
	run, cancel := context.WithCancel(ctx)
	over := make(chan struct{})
	go func() {
		defer close(over)
		s.Run(run, nil)
	}()
	err := s.wait(ctx, a, moved)
	cancel()
	select {
	case <-over:
	case <-time.After(hungPatience): // a store that never answers is left behind
		s.abandoned.Store(true)
	}
	return err
}

// ask wakes the sender for a round.
func (s *Sender) ask() *ask {
	a := &ask{answer: make(chan error, 1)}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over != nil {
		a.answer <- s.over
		return a
	}
	s.asks = append(s.asks, a)
	select {
	case s.asked <- struct{}{}:
	default:
	}
	return a
}

func (s *Sender) wait(ctx context.Context, a *ask, moved func(done, total int64)) error {
	tick := time.NewTicker(moveEvery)
	defer tick.Stop()
	for {
		select {
		case err := <-a.answer:
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
			if p := s.moving.Load(); p != nil && moved != nil {
				moved(p.now())
			}
		}
	}
}

// takeAsks are those for the round that begins now.
func (s *Sender) takeAsks() (asks []*ask) {
	s.mu.Lock()
	defer s.mu.Unlock()
	asks, s.asks = s.asks, nil
	return asks
}

// prepare has the round begin as one that was asked for: what is known of the store is looked up again, and captures do not wait.
func (s *Sender) prepare() {
	s.place = nil
	s.captured = s.o.Now().Add(-pace)
}

// answer says how the round ended. Where nothing was wrong with the remote, what could not be read here is.
func (s *Sender) answer(asks []*ask, err error) {
	if err == nil && s.unsent != nil {
		err = fmt.Errorf("not everything was sent to remote %s: %w", s.o.Name, s.unsent)
	}
	for _, a := range asks {
		a.answer <- err
	}
}

// end answers those who ask from now on.
func (s *Sender) end(err error) {
	s.mu.Lock()
	s.over = err
	s.mu.Unlock()
	for _, a := range s.takeAsks() {
		a.answer <- err
	}
}

// movement is how far a round is with what it sends, in bytes.
type movement struct {
	done, total int64        // before the present object; as planned
	size        int64        // of that object
	sent        atomic.Int64 // of it, as far as its store has read it, where a place counts that
}

func (m *movement) now() (done, total int64) { return m.done + min(m.sent.Load(), m.size), m.total }

type countingKey struct{}

// counting is ctx, under which what a store reads of an object is counted. It may be nil.
func (m *movement) counting(ctx context.Context) context.Context {
	if m == nil {
		return ctx
	}
	return context.WithValue(ctx, countingKey{}, &m.sent)
}

// count has the place count what its store reads of an object. What seals around it comes later.
func (p *Place) count() { p.Store = counted{p.Store} }

// counted is a store that counts what was read of an object that is put.
type counted struct{ store.Store }

func (c counted) Put(ctx context.Context, name string, src io.ReaderAt, size int64) (store.Object, error) {
	if sent, ok := ctx.Value(countingKey{}).(*atomic.Int64); ok {
		sent.Store(0)
		src = &watched{src, sent}
	}
	return c.Store.Put(ctx, name, src, size)
}

// watched remembers how far it was read: in parts, by several at once, and some of it again.
type watched struct {
	io.ReaderAt
	far *atomic.Int64
}

func (w *watched) ReadAt(p []byte, off int64) (int, error) {
	n, err := w.ReaderAt.ReadAt(p, off)
	for far := w.far.Load(); far < off+int64(n) && !w.far.CompareAndSwap(far, off+int64(n)); far = w.far.Load() {
	}
	return n, err
}
