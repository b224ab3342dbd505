package seal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"filippo.io/age"

	"example.com/snapd/internal/store"
)

// What a sealed object can be, if it is not readable. Any other error says nothing about it.
var (
	// ErrNoIdentity: none of the identities opens the object, or none was given.
	ErrNoIdentity = errors.New("the copy is sealed for other keys")
	// ErrDamaged: the bytes are not what was sealed.
	ErrDamaged = errors.New("the sealed copy is damaged")
)

const (
	chunkBytes    = 64 << 10 // of content
	overhead      = 16       // that a chunk has on top
	storedBytes   = chunkBytes + overhead
	nonceBytes    = 16       // between the header and the first chunk
	maxHeader     = 64 << 10 // maxKeys recipients need less
	boundOfChunks = 1 << 40  // of a size
)

// An Object is a sealed object, open for reading. Get may be called concurrently.
type Object struct {
	inner  store.Store
	stored store.Object // under its name in the inner store
	key    age.Identity // of this object alone
	size   int64        // of the content
	start  int64        // of the first chunk
	head   []byte       // what is before it
	tail   []byte       // the last chunk
}

// Open reads of a sealed object what is needed to decrypt any part: the header, and the last chunk, which proves the
// length. stored is what the inner store's Stat or List says about it, with its name there. The error does not name it.
func Open(ctx context.Context, inner store.Store, stored store.Object, ids Identities) (*Object, error) {
	o := &Object{inner: inner, stored: stored}
	if stored.Size <= nonceBytes || stored.Size > boundOfChunks {
		return nil, fmt.Errorf("%w: it has %d bytes", ErrDamaged, stored.Size)
	}
	beginning, err := o.fetch(ctx, 0, min(stored.Size, maxHeader))
	if err != nil {
		return nil, err
	}
	header, err := age.ExtractHeader(bytes.NewReader(beginning))
	if err != nil {
		return nil, fmt.Errorf("%w: it does not begin as an object that age encrypted: %w", ErrDamaged, err)
	}
	if len(ids.keys) == 0 {
		return nil, fmt.Errorf("%w: name the file with the secret key, by --identity", ErrNoIdentity)
	}
	fileKey, err := age.DecryptHeader(header, ids.keys...)
	if err != nil {
		return nil, classify(err)
	}
	o.key = age.NewInjectedFileKeyIdentity(fileKey)
	o.start = int64(len(header) + nonceBytes)
	chunks := (stored.Size - o.start + storedBytes - 1) / storedBytes
	last := o.start + (chunks-1)*storedBytes
	if chunks < 1 || o.start > int64(len(beginning)) {
		return nil, fmt.Errorf("%w: it ends after its header", ErrDamaged)
	}
	o.head = beginning[:o.start]
	if int64(len(beginning)) == stored.Size {
		o.tail = beginning[last:]
	} else if o.tail, err = o.fetch(ctx, last, stored.Size-last); err != nil {
		return nil, err
	}
	_, o.size, err = o.decrypt(&stretch{o: o, ctx: ctx})
	return o, err
}

// fetch reads a part of the object as it is stored.
func (o *Object) fetch(ctx context.Context, off, n int64) ([]byte, error) {
	r, err := o.inner.Get(ctx, o.stored.Name, o.stored.Version, off, n)
	if err != nil {
		return nil, err
	}
	b := make([]byte, n)
	_, err = io.ReadFull(r, b)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return b, errors.Join(err, r.Close())
}

// decrypt opens the content over what src reads of the stored object. An error of src's is returned as it is.
func (o *Object) decrypt(src *stretch) (io.ReaderAt, int64, error) {
	r, size, err := age.DecryptReaderAt(src, o.stored.Size, o.key)
	return r, size, src.cause(err)
}

// Size is how many bytes the content has.
func (o *Object) Size() int64 { return o.size }

// Get reads n bytes of the content from offset off, as a Store's does.
func (o *Object) Get(ctx context.Context, off, n int64) (io.ReadCloser, error) {
	if off < 0 {
		return nil, fmt.Errorf("decrypt %s: offset %d", o.stored.Name, off)
	}
	rest := max(o.size-off, 0)
	short := n > rest
	if n < 0 || short {
		n = rest
	}
	if n == 0 {
		return &content{short: short}, nil
	}
	last := (off + n - 1) / chunkBytes
	src := &stretch{o: o, ctx: ctx, end: min(o.start+(last+1)*storedBytes, o.stored.Size)}
	plain, _, err := o.decrypt(src)
	if err != nil {
		return nil, fmt.Errorf("decrypt %s: %w", o.stored.Name, err)
	}
	return &content{src: src, plain: io.NewSectionReader(plain, off, n), short: short}, nil
}

// content is what Get reads.
type content struct {
	src   *stretch
	plain io.Reader // nil for nothing
	short bool      // more was asked for than there is
}

func (c *content) Read(p []byte) (n int, err error) {
	err = io.EOF
	if c.plain != nil {
		n, err = c.plain.Read(p)
	}
	if err == io.EOF {
		if c.short {
			err = io.ErrUnexpectedEOF
		}
		return n, err
	}
	if err != nil {
		err = fmt.Errorf("decrypt %s: %w", c.src.o.stored.Name, c.src.cause(err))
	}
	return n, err
}

func (c *content) Close() error {
	if c.src == nil {
		return nil
	}
	return c.src.close()
}

// stretch reads the stored object for age: header and last chunk from memory, the chunks in between by one Get that goes on
// from one to the next.
type stretch struct {
	o   *Object
	ctx context.Context
	end int64 // of what is needed

	mu     sync.Mutex
	body   io.ReadCloser // nil before the first chunk
	at     int64         // where body is
	failed error         // the first one of the store's
}

// ReadAt is called with the header, and then with whole chunks in ascending order.
func (s *stretch) ReadAt(p []byte, off int64) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if off < s.o.start {
		return bytes.NewReader(s.o.head).ReadAt(p, off)
	}
	if tail := s.o.stored.Size - int64(len(s.o.tail)); off >= tail {
		return bytes.NewReader(s.o.tail).ReadAt(p, off-tail)
	}
	if s.body == nil || s.at != off {
		if err := s.seek(off); err != nil {
			s.failed = err
			return 0, err
		}
	}
	n, err := io.ReadFull(s.body, p)
	s.at += int64(n)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	s.failed = err
	return n, err
}

func (s *stretch) seek(off int64) error {
	if s.body != nil {
		if err := s.body.Close(); err != nil {
			return err
		}
		s.body = nil
	}
	body, err := s.o.inner.Get(s.ctx, s.o.stored.Name, s.o.stored.Version, off, s.end-off)
	s.body, s.at = body, off
	return err
}

func (s *stretch) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.body == nil {
		return nil
	}
	body := s.body
	s.body = nil
	return body.Close()
}

// cause is the error of the store where there was one: age's is about the bytes that it got.
func (s *stretch) cause(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil || s.failed != nil {
		return s.failed
	}
	return classify(err)
}

// classify distinguishes a wrong key from damage, in an error of age's.
func classify(err error) error {
	var none *age.NoIdentityMatchError
	if errors.As(err, &none) {
		return fmt.Errorf("%w: the identity is none of its %d, or its header is damaged", ErrNoIdentity, len(none.StanzaTypes))
	}
	return fmt.Errorf("%w: %w", ErrDamaged, err)
}
