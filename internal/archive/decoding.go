package archive

import "sync"

// decoding is a ring of frames that workers decompress ahead of next.
type decoding struct {
	r       *Reader
	fill    func(*decodedFrame) bool  // says which frame is next; false after the last
	load    func(*decodedFrame) error // called by the workers
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

// startDecoding has workers load the frames that fill names. fill is called by next only.
func (r *Reader) startDecoding(workers int, fill func(*decodedFrame) bool, load func(*decodedFrame) error) *decoding {
	workers = int(min(int64(workers), r.meta.frames()))
	p := &decoding{r: r, fill: fill, load: load, ring: make([]*decodedFrame, workers+2)}
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
		f.err = p.load(f)
		f.done <- struct{}{}
	}
}

// decode loads f, and makes the digests of its pages.
func (r *Reader) decode(f *decodedFrame) error {
	err := f.read(r, f.id)
	if err == nil {
		err = f.decompress(r)
	}
	return err
}

// decompress decompresses what was read, and makes the digests of its pages.
func (f *decodedFrame) decompress(r *Reader) error {
	image, err := f.decode(r, f.id)
	if err == nil {
		f.digests = appendPageDigests(f.digests[:0], r.seed, r.firstPage(f.id)+1, image, r.meta.PageSize)
	}
	return err
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
