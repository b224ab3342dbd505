package changes

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"example.com/snapd/internal/archive"
)

// ReadPages calls fn with pages that the log has, each proven by its digest, in the order of their places: a
// part is decompressed once, and several are concurrently. page is good until fn returns. Progress
// is not called.
func (m *Map) ReadPages(ctx context.Context, pgnos []uint32, o archive.CopyOptions, fn func(pgno int64, page []byte) error) error {
	sorted := slices.Clone(pgnos)
	slices.SortFunc(sorted, func(a, b uint32) int {
		x, y := m.places[a], m.places[b]
		return cmp.Or(cmp.Compare(x.part, y.part), cmp.Compare(x.index, y.index))
	})
	workers := o.Workers
	if workers == 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	r := m.startReading(workers, sorted)
	defer r.stop()
	size := m.segments[0].head.PageSize
	for j := r.next(); j != nil; j = r.next() {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("read the change log: %w", err)
		}
		if j.err != nil {
			return j.err
		}
		for _, pgno := range j.pages {
			if err := fn(int64(pgno), j.content[int(m.places[pgno].index)*size:][:size]); err != nil {
				return err
			}
		}
	}
	return nil
}

// reading is a ring of parts that workers decompress ahead of next.
type reading struct {
	m       *Map
	left    []uint32 // pages whose parts nobody was asked for, by place
	ring    []*partJob
	asked   int
	given   int
	todo    chan *partJob
	workers sync.WaitGroup
}

// partJob is a part, and the pages that are wanted of it.
type partJob struct {
	pages   []uint32
	buffers partBuffers
	content []byte
	err     error
	done    chan struct{} // one token from the worker
}

func (m *Map) startReading(workers int, pages []uint32) *reading {
	r := &reading{m: m, left: pages, ring: make([]*partJob, workers+2)}
	r.todo = make(chan *partJob, len(r.ring))
	for i := range r.ring {
		r.ring[i] = &partJob{done: make(chan struct{}, 1)}
	}
	for range workers {
		r.workers.Go(func() {
			for j := range r.todo {
				j.content, j.err = m.load(j.pages, &j.buffers)
				j.done <- struct{}{}
			}
		})
	}
	return r
}

// next waits for the next part, nil after the last; it is good until the call after.
func (r *reading) next() *partJob {
	for len(r.left) > 0 && r.asked-r.given < len(r.ring) {
		first, n := r.m.places[r.left[0]].part, 1
		for n < len(r.left) && r.m.places[r.left[n]].part == first {
			n++
		}
		j := r.ring[r.asked%len(r.ring)]
		j.pages, r.left = r.left[:n], r.left[n:]
		r.asked++
		r.todo <- j
	}
	if r.given == r.asked {
		return nil
	}
	j := r.ring[r.given%len(r.ring)]
	r.given++
	<-j.done
	return j
}

// stop waits for the workers; what they still had to do is finished unseen.
func (r *reading) stop() {
	close(r.todo)
	r.workers.Wait()
}

// load decompresses the part of the pages, and proves those.
func (m *Map) load(pages []uint32, b *partBuffers) ([]byte, error) {
	content, err := m.content(m.places[pages[0]].part, b)
	if err != nil {
		return nil, err
	}
	for _, pgno := range pages {
		if err := m.prove(pgno, content); err != nil {
			return nil, err
		}
	}
	return content, nil
}
