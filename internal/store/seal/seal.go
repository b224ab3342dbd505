package seal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"sync"

	"filippo.io/age"

	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/store"
)

// Suffix is what the names of sealed objects end with, in the store.
const Suffix = ".age"

// inMemory is the most content that is encrypted in memory; more goes to a private file first.
const inMemory = 4 << 20

// inAdvance is how much is encrypted before the first of it is sent: what fits in one request is whole then.
const inAdvance = 16 << 20

// Store seals what is put into another store. Names are without [Suffix] on this side, and with it on that one; objects without it
// are not seen. Size, Version and Checksum of an Object are those of the sealed object, for that is what the store can be asked
// about; the ranges of Get are those of the content.
type Store struct {
	inner   store.Store
	to      Recipients
	ids     Identities
	scratch string
}

var _ store.Store = (*Store)(nil)

// New returns the store around inner. Without recipients nothing can be put, and without identities nothing can be read.
// Encrypted content of more than 4 MiB is kept in the directory scratch, "" for the system's, until inner has it.
func New(inner store.Store, to Recipients, ids Identities, scratch string) *Store {
	return &Store{inner: inner, to: to, ids: ids, scratch: scratch}
}

// Put encrypts the content and stores it. Inner stores read their source as often as they like, and encrypting again gives
// other bytes: so they read a private copy of the encrypted content, which has no name where the system allows that. A large one they read while
// it is written.
func (s *Store) Put(ctx context.Context, name string, src io.ReaderAt, size int64) (store.Object, error) {
	if len(s.to.keys) == 0 {
		return store.Object{}, fmt.Errorf("encrypt %s: %w: there is none", name, ErrRecipients)
	}
	src, leave := store.Source(ctx, src) // what cannot be read is no failure of the store
	defer leave()
	if size <= inMemory {
		var sealed bytes.Buffer
		sealed.Grow(int(size) + maxHeader)
		w, err := age.Encrypt(&sealed, s.to.keys...)
		if err == nil {
			err = encrypt(ctx, w, src, size)
		}
		if err != nil {
			return store.Object{}, fmt.Errorf("encrypt %s: %w", name, err)
		}
		return s.put(ctx, name, bytes.NewReader(sealed.Bytes()), int64(sealed.Len()))
	}
	o, err := s.putLarge(ctx, name, src, size)
	if err != nil {
		err = fmt.Errorf("encrypt %s: %w", name, err)
	}
	return o, err
}

func (s *Store) putLarge(ctx context.Context, name string, src io.ReaderAt, size int64) (store.Object, error) {
	file, err := durable.Scratch(s.scratch, "sealed")
	if err != nil {
		return store.Object{}, err
	}
	defer file.Close() // nothing in it is needed any more
	file.Unlink()
	if err := durable.Preflight(s.scratch, size); err != nil {
		return store.Object{}, err
	}
	sealed := newGrowing(file)
	w, err := age.Encrypt(sealed, s.to.keys...)
	if err != nil {
		return store.Object{}, err
	}
	total := sealed.bytes + size + (size+chunkBytes-1)/chunkBytes*overhead // what is written so far is before the first chunk
	ctx, stop := context.WithCancel(ctx)
	var encrypting sync.WaitGroup
	defer encrypting.Wait()
	defer stop()
	encrypting.Go(func() { sealed.end(encrypt(ctx, w, src, size)) })
	if err := sealed.wait(min(total, inAdvance)); err != nil {
		return store.Object{}, err
	}
	return s.put(ctx, name, sealed, total)
}

func (s *Store) put(ctx context.Context, name string, sealed io.ReaderAt, size int64) (store.Object, error) {
	o, err := s.inner.Put(ctx, name+Suffix, sealed, size)
	o.Name = name
	return o, err
}

// encrypt writes the content to what age encrypts.
func encrypt(ctx context.Context, w io.WriteCloser, src io.ReaderAt, size int64) error {
	buf := make([]byte, min(size, 1<<20))
	for off := int64(0); off < size; {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		n, err := src.ReadAt(buf[:min(int64(len(buf)), size-off)], off)
		if _, err := w.Write(buf[:n]); err != nil {
			return err
		}
		switch off += int64(n); {
		case off == size || err == nil:
		case err == io.EOF:
			return store.ShortSource(off, size)
		default:
			return err
		}
	}
	return w.Close()
}

// Get decrypts a range of the content. Errors, in addition to those of the inner store: ErrNoIdentity, ErrDamaged.
func (s *Store) Get(ctx context.Context, name, version string, off, n int64) (io.ReadCloser, error) {
	o, err := s.inner.Stat(ctx, name+Suffix)
	if err != nil {
		return nil, err
	}
	if version != "" && version != o.Version {
		return nil, fmt.Errorf("decrypt %s: %w", name, store.ErrChanged)
	}
	object, err := Open(ctx, s.inner, o, s.ids)
	if errors.Is(err, ErrNoIdentity) && len(s.to.names) > 0 {
		err = fmt.Errorf("%w; the recipients that are configured: %s", err, brief(s.to.names))
	}
	if err != nil {
		return nil, fmt.Errorf("decrypt %s: %w", name, err)
	}
	return object.Get(ctx, off, n)
}

// Stat returns what the inner store knows about the sealed object.
func (s *Store) Stat(ctx context.Context, name string) (store.Object, error) {
	o, err := s.inner.Stat(ctx, name+Suffix)
	o.Name = name
	return o, err
}

// List returns the sealed objects, in the order of their names in the inner store.
func (s *Store) List(ctx context.Context, prefix, after string) iter.Seq2[store.Object, error] {
	return func(yield func(store.Object, error) bool) {
		for o, err := range s.inner.List(ctx, prefix, after) {
			name, sealed := strings.CutSuffix(o.Name, Suffix)
			if err == nil && (!sealed || name <= after || !strings.HasPrefix(name, prefix)) {
				continue
			}
			o.Name = name
			if !yield(o, err) {
				return
			}
		}
	}
}

// Abilities are the inner store's.
func (s *Store) Abilities() store.Abilities { return s.inner.Abilities() }

// Delete removes the sealed object.
func (s *Store) Delete(ctx context.Context, name string) error {
	return s.inner.Delete(ctx, name+Suffix)
}

// String is the place.
func (s *Store) String() string { return s.inner.String() }
