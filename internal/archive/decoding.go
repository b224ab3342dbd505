package archive

import "sync"

// decoding is a ring of frames that workers decompress ahead of next.
type decoding struct {
	r       *Reader
	fill    func(*decodedFrame) bool // says which frame is next; false after the last
	ring    []*decodedFrame
	asked   int64 // frames given to the workers
	given   int64 // frames returned by next
	ended   bool  // fill has returned false
	todo    chan *decodedFrame
	workers sync.WaitGroup
}

type decodedFrame struct {
	frameBuffers
	id      int64
	wanted  []int64 // page numbers, for ReadPages
	digests []byte
	err     error
	done    chan struct{} // one token from the worker
}

// startDecoding decompresses the frames that fill names. It is called by next only.
func (r *Reader) startDecoding(workers int, fill func(*decodedFrame) bool) *decoding {
	workers = int(min(int64(workers), r.meta.frames()))
	p := &decoding{r: r, fill: fill, ring: make([]*decodedFrame, workers+2)}
	p.todo = make(chan *decodedFrame, len(p.ring))
	for i := range p.ring {
		p.ring[i] = &decodedFrame{done: make(chan struct{}, 1)}
	}
	for range workers {
		p.workers.Go(p.work)
	}
	return p
}

// allFrames is a fill for every frame.
func (r *Reader) allFrames() func(*decodedFrame) bool {
	next := int64(0)
	return func(f *decodedFrame) bool {
		f.id = next
		next++
		return f.id < r.meta.frames()
	}
}

func (p *decoding) work() {
	for f := range p.todo {
		image, err := f.load(p.r, f.id)
		f.err = err
		if err == nil {
			f.digests = appendPageDigests(f.digests[:0], p.r.seed, p.r.firstPage(f.id)+1, image, p.r.meta.PageSize)
		}
		f.done <- struct{}{}
	}
}

// next waits for the next frame, nil after the last; it is good until the call after.
func (p *decoding) next() *decodedFrame {
	for !p.ended && p.asked-p.given < int64(len(p.ring)) {
		f := p.ring[p.asked%int64(len(p.ring))]
		if p.ended = !p.fill(f); !p.ended {
			p.asked++
			p.todo <- f
		}
	}
	if p.given == p.asked {
		return nil
	}
	f := p.ring[p.given%int64(len(p.ring))]
	p.given++
	<-f.done
	return f
}

// stop waits for the workers; what they still had to do is finished unseen.
func (p *decoding) stop() {
	close(p.todo)
	p.workers.Wait()
}
