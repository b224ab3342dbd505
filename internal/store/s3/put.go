package s3

import (
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"

	"example.com/snapd/internal/store"
)

// The headers by which a store is asked to compare.
var crcHeader = minio.ChecksumCRC64NVME.Key()

// learnSize is the most bytes of an object that is sent twice, to see whether a store refuses the second time.
const learnSize = 1 << 20

// Put implements [store.Store].
func (s *S3) Put(ctx context.Context, name string, src io.ReaderAt, size int64) (store.Object, error) {
	if err := store.CheckPut(name, size); err != nil {
		return store.Object{}, err
	}
	source, leave := store.Source(ctx, src)
	defer leave() // the connection of a request that failed may still read
	// A large object is not sent for nothing, and a store that may not refuse is asked first.
	if condition, _ := s.known.get(); condition != yes || size > s.partSize {
		if _, err := s.stat(ctx, "put", name); err == nil {
			return store.Object{}, s.wrap("put", name, store.ErrExists)
		} else if response, ok := answer(err); !ok || response.Code != minio.NoSuchKey {
			return store.Object{}, err
		}
	}
	if size > s.partSize {
		return s.putParts(ctx, name, source, size)
	}
	return s.putWhole(ctx, name, source, size)
}

// A piece is a range of the source, with its digests.
type piece struct {
	src    io.ReaderAt
	off, n int64
	crc    string // base64
	sha    string // hexadecimal, where it is signed
	md5    string // base64, where the store takes no other checksum
}

// piece reads a range to know its digests. A source that does not have it is found out before anything is sent.
func (s *S3) piece(src io.ReaderAt, off, n int64, withMD5 bool) (piece, error) {
	p := piece{src: src, off: off, n: n}
	crc, sha, sum := minio.ChecksumCRC64NVME.Hasher(), hash.Hash(nil), hash.Hash(nil)
	writers := []io.Writer{crc}
	if s.place.signs() {
		sha = sha256.New()
		writers = append(writers, sha)
	}
	if withMD5 {
		sum = md5.New() // not for safety: what these stores compare
		writers = append(writers, sum)
	}
	read, err := io.CopyBuffer(io.MultiWriter(writers...), struct{ io.Reader }{io.NewSectionReader(src, off, n)}, make([]byte, max(1, min(n, 256<<10))))
	if err == nil && read < n {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return piece{}, fmt.Errorf("after %d bytes: %w", off+read, err)
	}
	p.crc = base64.StdEncoding.EncodeToString(crc.Sum(nil))
	if sha != nil {
		p.sha = hex.EncodeToString(sha.Sum(nil))
	}
	if sum != nil {
		p.md5 = base64.StdEncoding.EncodeToString(sum.Sum(nil))
	}
	return p, nil
}

// sum is the checksum of the piece in the form of store.Object.
func (p piece) sum() string { return checksum(p.crc, "") }

// reader reads the piece again, and remembers why it could not: what comes out of an HTTP client has lost it.
func (p piece) reader() *again { return &again{r: io.NewSectionReader(p.src, p.off, p.n)} }

type again struct {
	r   *io.SectionReader
	mu  sync.Mutex
	err error
}

func (a *again) Read(b []byte) (int, error) {
	n, err := a.r.Read(b)
	if err != nil && err != io.EOF {
		a.mu.Lock()
		a.err = err
		a.mu.Unlock()
	}
	return n, err
}

// or returns why the source failed, or else err.
func (a *again) or(err error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil && a.err != nil {
		return a.err
	}
	return err
}

// A form is the way in which an object is asked to be stored.
type form struct{ condition, checksum bool }

// forms returns those to try, as far as is known: the best one first.
func (s *S3) forms() (forms []form) {
	condition, sums := s.known.get()
	for _, f := range []form{{true, true}, {false, true}, {true, false}, {false, false}} {
		if (f.condition && condition == no) || (!f.condition && condition == yes) || (f.checksum && sums == no) || (!f.checksum && sums == yes) {
			continue
		}
		forms = append(forms, f)
	}
	return forms
}

// putWhole stores an object by one request.
func (s *S3) putWhole(ctx context.Context, name string, src io.ReaderAt, size int64) (store.Object, error) {
	_, sums := s.known.get()
	p, err := s.piece(src, 0, size, sums != yes)
	if err != nil {
		return store.Object{}, s.wrap("put", name, err)
	}
	var first error
	for _, form := range s.forms() {
		put, err := s.send(ctx, name, p, form)
		if first == nil {
			first = err
		}
		if refused(err) {
			continue
		}
		if err != nil {
			return store.Object{}, err
		}
		if !form.condition {
			if condition, _ := s.known.get(); condition == unknown {
				s.known.setCondition(no, "the store does not know If-None-Match: a taken name is found by looking first")
			}
		} else if condition, _ := s.known.get(); condition == unknown && size <= learnSize {
			s.learn(ctx, name, p, form)
		}
		if !form.checksum {
			s.known.setChecksum(no)
		}
		return s.proven(ctx, name, put, p.sum(), size)
	}
	return store.Object{}, first
}

// send makes the request of putWhole.
func (s *S3) send(ctx context.Context, name string, p piece, form form) (put minio.UploadInfo, err error) {
	options, sum := s.options(form.condition), p.md5
	if form.checksum {
		options.UserMetadata[crcHeader], sum = p.crc, ""
	}
	err = s.retry(ctx, "put", name, func(lost bool) error {
		reader := p.reader()
		put, err = s.core.PutObject(ctx, s.place.Bucket, s.place.key(name), reader, p.n, sum, p.sha, options)
		if response, ok := answer(err); ok && response.StatusCode == http.StatusPreconditionFailed && lost {
			if object, ours := s.ours(ctx, name, p); ours { // the answer to an earlier try got lost
				put, err = minio.UploadInfo{ETag: object.Version, Size: object.Size}, nil
			}
		}
		return reader.or(err)
	})
	return put, err
}

// options are those of an object's first request.
func (s *S3) options(condition bool) minio.PutObjectOptions {
	options := minio.PutObjectOptions{DisableContentSha256: true, UserMetadata: map[string]string{}}
	if condition {
		options.SetMatchETagExcept("*")
	}
	if s.place.LockDays > 0 {
		options.Mode = map[string]minio.RetentionMode{"governance": minio.Governance, "compliance": minio.Compliance}[s.place.LockMode]
		options.RetainUntilDate = time.Now().UTC().Add(time.Duration(s.place.LockDays) * 24 * time.Hour)
	}
	return options
}

// ours reports whether the object that has the name is the piece.
func (s *S3) ours(ctx context.Context, name string, p piece) (store.Object, bool) {
	object, err := s.stat(ctx, "put", name)
	if err != nil || object.Size != p.n {
		return object, false
	}
	raw, err := base64.StdEncoding.DecodeString(p.md5)
	if object.Checksum == "" { // the ETag is that of a single request
		return object, err == nil && len(raw) > 0 && object.Version == hex.EncodeToString(raw)
	}
	return object, object.Checksum == p.sum()
}

// learn sends an object that was stored again: a store that keeps to the condition refuses it, one that does not has the same
// bytes as before.
func (s *S3) learn(ctx context.Context, name string, p piece, form form) {
	options := s.options(true)
	sum := p.md5
	if form.checksum {
		options.UserMetadata[crcHeader], sum = p.crc, ""
	}
	_, err := s.core.PutObject(ctx, s.place.Bucket, s.place.key(name), p.reader(), p.n, sum, p.sha, options)
	response, ok := answer(err)
	switch {
	case err == nil:
		s.known.setCondition(no, "the store ignores If-None-Match: a taken name is found by looking first")
	case ok && response.StatusCode == http.StatusPreconditionFailed:
		s.known.setCondition(yes, "")
	}
}

// proven compares the store's checksum of what was stored with want.
func (s *S3) proven(ctx context.Context, name string, put minio.UploadInfo, want string, size int64) (store.Object, error) {
	object := store.Object{Name: name, Size: size, Modified: put.LastModified, Version: put.ETag, Checksum: checksum(put.ChecksumCRC64NVME, "")}
	_, sums := s.known.get()
	if object.Checksum == "" && sums != no {
		found, err := s.stat(ctx, "put", name)
		if err != nil {
			return store.Object{}, err
		}
		object = found
	}
	if object.Checksum != "" && object.Checksum != want || object.Size != size {
		err := fmt.Errorf("put %s: the store has %d bytes with %s, sent were %d with %s", s.place.key(name), object.Size, object.Checksum, size, want)
		return store.Object{}, errors.Join(err, s.core.RemoveObject(ctx, s.place.Bucket, s.place.key(name), minio.RemoveObjectOptions{}))
	}
	if sums == unknown {
		sums = no
		if object.Checksum != "" {
			sums = yes
		}
		s.known.setChecksum(sums)
	}
	if object.Modified.IsZero() {
		object.Modified = time.Now() // by the store's clock it is about that
	}
	return object, nil
}
