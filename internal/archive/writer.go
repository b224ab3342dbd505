package archive

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"

	"github.com/klauspost/compress/zstd"
	"github.com/zeebo/blake3"

	"example.com/snapd/internal/seekable"
)

// Level is how hard the writer compresses. The zero value is the fastest.
type Level int

// The levels correspond roughly to zstd -1, -3, -8 and -11.
const (
	Fastest Level = iota
	Default
	Better
	Best
)

// WriterOptions: zero values are defaults, except for PageSize.
type WriterOptions struct {
	PageSize   int    // bytes, a power of two 512…65536; 0 for an image without pages
	FrameBytes int    // image bytes in a frame, rounded down to whole pages; 0 is 1 MiB, at most 16 MiB
	Level      Level  // Fastest
	Workers    int    // compressing goroutines; 0 is GOMAXPROCS
	ScratchDir string // for the page digests of images over 256 MiB or so; "" is the system's

	// Seed of the page digests: the one of the archives that this one is to be compared with.
	Seed Seed
	// Base is a proven archive of a similar image with the same Seed, open until Finish or
	// Abort. A frame whose page digests equal the base's is copied from it instead of
	// compressed, where its stored bytes still have the digest that they had when they were
	// proven; see ReadBack.
	Base *Reader
}

// Writer makes an archive from an image that is written in order. It is for
// one goroutine, and calls the destination's Write from another one, between
// the first Write and the return of Finish or Abort. It holds Workers+2 frames.
type Writer struct {
	dst io.Writer
	o   WriterOptions

	current *frameJob // being filled by Write; nil when none
	total   int64     // image bytes taken by Write
	frames  int64     // submitted
	started bool
	whole   bool // the image is: nothing is written any more
	ended   bool // Finish or Abort was called

	free    chan *frameJob // Write takes, sequence gives back
	todo    chan *frameJob // to the workers
	ordered chan *frameJob // to sequence, in image order
	running sync.WaitGroup // workers and sequence; ended by stop

	mu  sync.Mutex // guards err
	err error      // the first one; sticky

	base *base // nil where there is none that can be used

	// Owned by sequence while it runs, then by Finish and ReadBack.
	imageHash    *blake3.Hasher
	imageBLAKE3  string // of an image that was not read; else imageHash's
	spool        *digestSpool
	sizes        []uint32 // compressed, of every data frame
	frameDigests []byte   // of every data frame
	reused       []bool   // data frames that are the base's
	written      int64    // bytes to dst
	info         Info     // set by Finish
}

// frameJob is a frame on its way through a worker to sequence.
type frameJob struct {
	id         int64
	image      []byte
	compressed []byte
	digests    []byte
	stored     Digest        // of compressed
	reused     bool          // compressed is the base's
	done       chan struct{} // one token from the worker
}

var errEnded = errors.New("write to archive after its end")

// NewWriter checks the options; it touches nothing and starts no goroutine.
func NewWriter(w io.Writer, o WriterOptions) (*Writer, error) {
	if o.PageSize != 0 && !validPageSize(o.PageSize) {
		return nil, fmt.Errorf("new archive: page size %d is not a power of two from 512 to 65536", o.PageSize)
	}
	if o.FrameBytes <= 0 {
		o.FrameBytes = DefaultFrameBytes
	}
	if o.FrameBytes > seekable.MaxFrameBytes {
		return nil, fmt.Errorf("new archive: %w: frames of %d bytes, at most %d", ErrLimit, o.FrameBytes, seekable.MaxFrameBytes)
	}
	if o.PageSize > 0 {
		o.FrameBytes = max(o.FrameBytes/o.PageSize, 1) * o.PageSize
	}
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.Level < Fastest || o.Level > Best {
		return nil, fmt.Errorf("new archive: unknown compression level %d", o.Level)
	}
	return &Writer{
		dst:       w,
		o:         o,
		imageHash: blake3.New(),
		spool:     newDigestSpool(o.ScratchDir),
	}, nil
}

// Write takes the image's next bytes, in chunks of any size. An error is that
// of an earlier frame, and final.
func (w *Writer) Write(p []byte) (int, error) {
	if w.ended || w.whole {
		return 0, errEnded
	}
	if len(p) > 0 && w.o.PageSize == 0 {
		return 0, errors.New("write image: an archive without a page size takes no bytes")
	}
	n := 0
	for n < len(p) {
		if err := w.failure(); err != nil {
			return n, err
		}
		if w.current == nil {
			if err := w.start(); err != nil {
				return n, err
			}
			w.current = <-w.free // sequence always gives back, also after an error
		}
		f := w.current
		take := min(len(p)-n, w.o.FrameBytes-len(f.image))
		f.image = append(f.image, p[n:n+take]...)
		n += take
		w.total += int64(take)
		if len(f.image) == w.o.FrameBytes {
			w.submit()
		}
	}
	return n, nil
}

// submit never blocks: both channels have room for every job there is.
func (w *Writer) submit() {
	f := w.current
	w.current = nil
	f.id = w.frames
	w.frames++
	w.ordered <- f
	w.todo <- f
}

// start makes the encoders and goroutines when the first byte comes.
func (w *Writer) start() error {
	if w.started {
		return nil
	}
	encoders := make([]*zstd.Encoder, w.o.Workers)
	for i := range encoders {
		e, err := newEncoder(w.o)
		if err != nil {
			return w.fail(fmt.Errorf("new archive: %w", err))
		}
		encoders[i] = e
	}
	w.openBase()
	inFlight := w.o.Workers + 2
	w.free = make(chan *frameJob, inFlight)
	w.todo = make(chan *frameJob, inFlight)
	w.ordered = make(chan *frameJob, inFlight)
	for range inFlight {
		w.free <- &frameJob{image: make([]byte, 0, w.o.FrameBytes), compressed: make([]byte, 0, w.o.FrameBytes/2), done: make(chan struct{}, 1)}
	}
	w.started = true
	for _, e := range encoders {
		w.running.Go(func() { w.compress(e) })
	}
	w.running.Go(w.sequence)
	return nil
}

func newEncoder(o WriterOptions) (*zstd.Encoder, error) {
	level := [...]zstd.EncoderLevel{
		Fastest: zstd.SpeedFastest,
		Default: zstd.SpeedDefault,
		Better:  zstd.SpeedBetterCompression,
		Best:    zstd.SpeedBestCompression,
	}[o.Level]
	return seekable.NewEncoder(level, o.FrameBytes)
}

func (w *Writer) compress(e *zstd.Encoder) {
	for f := range w.todo {
		first := f.id*int64(w.o.FrameBytes/w.o.PageSize) + 1
		whole := f.image[:len(f.image)/w.o.PageSize*w.o.PageSize]
		f.digests = appendPageDigests(f.digests[:0], w.o.Seed, first, whole, w.o.PageSize)
		if f.reused = w.base != nil && len(whole) == len(f.image) && w.base.reuse(f); !f.reused {
			f.compressed = e.EncodeAll(f.image, f.compressed[:0])
			f.stored = frameDigest(w.o.Seed, f.id, f.compressed)
		}
		f.done <- struct{}{}
	}
}

// sequence writes frames in order. After an error it only recycles them, so
// that Write never waits for ever.
func (w *Writer) sequence() {
	for f := range w.ordered {
		<-f.done
		if w.failure() == nil {
			if err := w.writeFrame(f); err != nil {
				w.fail(err)
			}
		}
		f.image = f.image[:0]
		w.free <- f
	}
}

func (w *Writer) writeFrame(f *frameJob) error {
	if len(w.sizes) >= maxFrames {
		return fmt.Errorf("write archive: %w: more than %d frames", ErrLimit, maxFrames)
	}
	if err := w.put(f.compressed); err != nil {
		return err
	}
	w.imageHash.Write(f.image) // of nothing in CopyBase
	w.sizes = append(w.sizes, uint32(len(f.compressed)))
	w.frameDigests = append(w.frameDigests, f.stored[:]...)
	w.reused = append(w.reused, f.reused)
	return w.spool.add(f.digests)
}

func (w *Writer) put(b []byte) error {
	n, err := w.dst.Write(b)
	w.written += int64(n)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	if err != nil {
		return fmt.Errorf("write archive at byte %d: %w", w.written, err)
	}
	return nil
}

// fail keeps the first error and returns it.
func (w *Writer) fail(err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = err
	}
	return w.err
}

func (w *Writer) failure() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// drain submits the last frame, and ends the goroutines after it.
func (w *Writer) drain() {
	if w.current != nil && len(w.current.image) > 0 {
		w.submit()
	}
	w.whole = true
	w.end()
}

// stop ends the goroutines after the frames that were submitted.
func (w *Writer) stop() {
	w.ended = true
	w.end()
}

func (w *Writer) end() {
	if w.started {
		close(w.todo)
		close(w.ordered)
		w.running.Wait()
		w.started = false
	}
	w.current, w.free = nil, nil
}

// Abort ends the goroutines and drops the scratch file; what was written to
// the destination stays there. It does nothing after Finish, and so may be
// deferred.
func (w *Writer) Abort() {
	if w.ended {
		return
	}
	w.stop()
	w.fail(errEnded)
	// The scratch file has no name any more where that is possible; elsewhere
	// Sweep finds it.
	_ = w.spool.close()
}
