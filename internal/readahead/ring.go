// Package readahead has workers load what is read next, while what they loaded before is being used.
package readahead

import "sync"

// Ring is a sequence of values that workers load ahead of Next.
type Ring[T any] struct {
	fill    func(*T) bool
	slots   []slot[T]
	asked   int64 // values given to the workers
	given   int64 // values returned by Next
	ended   bool  // fill has returned false
	todo    chan *slot[T]
	workers sync.WaitGroup
}

// slot is where a value is loaded, again and again.
type slot[T any] struct {
	value  T
	loaded chan struct{} // one token from the worker
}

// New has workers load values. fill says which one is next, and is called by Next only; it returns false after the last.
// load is called by the workers. Values are used again, with the buffers that they have.
func New[T any](workers int, fill func(*T) bool, load func(*T)) *Ring[T] {
	r := &Ring[T]{fill: fill, slots: make([]slot[T], workers+2)}
	r.todo = make(chan *slot[T], len(r.slots))
	for i := range r.slots {
		r.slots[i].loaded = make(chan struct{}, 1)
	}
	for range workers {
		r.workers.Go(func() {
			for s := range r.todo {
				load(&s.value)
				s.loaded <- struct{}{}
			}
		})
	}
	return r
}

// Next waits for the next value, nil after the last; it is good until the call after.
func (r *Ring[T]) Next() *T {
	for !r.ended && r.asked-r.given < int64(len(r.slots)) {
		s := &r.slots[r.asked%int64(len(r.slots))]
		if r.ended = !r.fill(&s.value); !r.ended {
			r.asked++
			r.todo <- s
		}
	}
	if r.given == r.asked {
		return nil
	}
	s := &r.slots[r.given%int64(len(r.slots))]
	r.given++
	<-s.loaded
	return &s.value
}

// Stop waits for the workers; what they still had to do is finished unseen.
func (r *Ring[T]) Stop() {
	close(r.todo)
	r.workers.Wait()
}
