// Package s3 keeps copies in object storage that speaks the protocol of Amazon S3.
//
// An object of up to one part is stored by a single request, a larger one by a multipart upload, which goes on where it was
// after a crash. Both ask the store to refuse a taken name (If-None-Match: *). What a store can do is found out by the first
// objects that are stored there, and degraded step by step: see abilities.go.
package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"os"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"example.com/snapd/internal/store"
)

// Options are what a URL does not say.
type Options struct {
	// Env looks up AWS_ACCESS_KEY_ID and the like; nil is the process's environment.
	Env func(name string) string
	// Retrying hears of each failure that is tried again, and when.
	Retrying func(err error, wait time.Duration)
	// Patience is how long that is done without a success; 0 is until the context ends.
	Patience time.Duration
	// Limit is for what is sent; nil for none.
	Limit *store.Limiter

	// For tests; the zero values are what is right for a store far away.
	PartSize int64         // the least size of a part, and the most of an object without parts
	PageSize int           // how many names one request lists
	Wait     time.Duration // before the first retry
	Silence  time.Duration // after which a connection counts as broken
}

const defaultPart = 16 << 20

// S3 is a bucket, or a part of one, as a store.
type S3 struct {
	place    Place
	core     minio.Core
	partSize int64
	pageSize int
	silence  time.Duration // after which what does not move counts as broken
	again    store.Retry
	known    abilities
}

var _ store.Store = (*S3)(nil)

// Open returns the store at place. It makes no request.
func Open(place Place, options Options) (*S3, error) {
	env := options.Env
	if env == nil {
		env = os.Getenv
	}
	if options.Silence == 0 {
		options.Silence = store.Silence
	}
	transport, err := transport(place.CAFile, options.Silence, options.Limit)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", place, err)
	}
	region := place.Region
	if region == "" {
		region = env("AWS_REGION")
	}
	if region == "" && place.Endpoint != amazon {
		region = "us-east-1" // what stores take that have none
	}
	lookup := map[string]minio.BucketLookupType{"path": minio.BucketLookupPath, "virtual": minio.BucketLookupDNS}[place.Style]
	core, err := minio.NewCore(place.Endpoint, &minio.Options{
		Creds: credentials.New(&chain{env: env}), Secure: !place.Plain, Transport: transport, Region: region, BucketLookup: lookup, MaxRetries: 1,
	})
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", place, err)
	}
	core.SetAppInfo("snapd", "1")
	s := &S3{place: place, core: *core, partSize: options.PartSize, pageSize: options.PageSize, silence: options.Silence, again: store.Retry{Heard: options.Retrying, Patience: options.Patience, First: options.Wait}}
	if s.partSize == 0 {
		s.partSize = defaultPart
	}
	if s.pageSize == 0 {
		s.pageSize = 1000
	}
	return s, nil
}

// String is the URL of the place.
func (s *S3) String() string { return s.place.String() }

// Stat implements [store.Store].
func (s *S3) Stat(ctx context.Context, name string) (store.Object, error) {
	if err := store.CheckName(name); err != nil {
		return store.Object{}, err
	}
	return s.stat(ctx, "stat", name)
}

func (s *S3) stat(ctx context.Context, op, name string) (object store.Object, err error) {
	err = s.retry(ctx, op, name, func(bool) error {
		ask := s.known.askForChecksums()
		info, err := s.core.StatObject(ctx, s.place.Bucket, s.place.key(name), minio.StatObjectOptions{Checksum: ask})
		if ask && refused(err) {
			info, err = s.core.StatObject(ctx, s.place.Bucket, s.place.key(name), minio.StatObjectOptions{})
			if !refused(err) {
				s.known.setUnasked()
			}
		}
		if err != nil {
			return s.gone(ctx, err)
		}
		object = objectOf(name, info)
		return nil
	})
	return object, err
}

// gone finds out what a 404 without a text means, which is all that an answer to HEAD has: no object, or no bucket.
func (s *S3) gone(ctx context.Context, err error) error {
	if response, ok := answer(err); !ok || response.StatusCode != http.StatusNotFound || s.known.bucketSeen() {
		return err
	}
	there, errBucket := s.core.BucketExists(ctx, s.place.Bucket)
	if errBucket == nil && !there {
		return minio.ErrorResponse{Code: minio.NoSuchBucket, StatusCode: http.StatusNotFound, Message: "there is no such bucket"}
	}
	if errBucket == nil {
		s.known.sawBucket()
	}
	return err // without the right to look at the bucket, the answer is about the object
}

func objectOf(name string, info minio.ObjectInfo) store.Object {
	object := store.Object{Name: name, Size: info.Size, Modified: info.LastModified, Version: info.ETag}
	if info.ChecksumMode != minio.ChecksumCompositeMode.String() { // one of the parts' checksums says nothing about the whole
		object.Checksum = checksum(info.ChecksumCRC64NVME, info.ChecksumSHA256)
	}
	return object
}

// Delete implements [store.Store]. The store itself does not say whether there was something to delete.
func (s *S3) Delete(ctx context.Context, name string) error {
	if err := store.CheckName(name); err != nil {
		return err
	}
	if _, err := s.stat(ctx, "delete", name); err != nil {
		return err
	}
	return s.retry(ctx, "delete", name, func(bool) error {
		return s.core.RemoveObject(ctx, s.place.Bucket, s.place.key(name), minio.RemoveObjectOptions{})
	})
}

// List implements [store.Store].
func (s *S3) List(ctx context.Context, prefix, after string) iter.Seq2[store.Object, error] {
	return func(yield func(store.Object, error) bool) {
		last, enough := after, false
		err := s.retry(ctx, "list", prefix, func(bool) error {
			options := minio.ListObjectsOptions{Prefix: s.place.key(prefix), Recursive: true, MaxKeys: s.pageSize}
			if last != "" {
				options.StartAfter = s.place.key(last)
			}
			ctx, cancel := context.WithCancelCause(ctx)
			defer cancel(nil)
			// Pages without names that have one after them are all that can go on for ever unseen.
			stalled := time.AfterFunc(s.silence, func() { cancel(errEndless) })
			defer stalled.Stop()
			before, others := "", 0
			for info := range s.core.ListObjectsIter(ctx, s.place.Bucket, options) {
				stalled.Reset(s.silence)
				if err := context.Cause(ctx); err != nil {
					return err
				}
				if info.Err != nil {
					return info.Err
				}
				if before != "" && info.Key <= before {
					return fmt.Errorf("%w: %.200q after %.200q", errDisorder, info.Key, before)
				}
				before = info.Key
				name := s.place.name(info.Key)
				if store.CheckName(name) != nil {
					if others++; others > maxOthers {
						return fmt.Errorf("%w: of other programs alone there are more than %d names", errEndless, maxOthers)
					}
					continue // another program's
				}
				if name <= last {
					continue // a store that does not know start-after
				}
				last = name
				stalled.Stop() // the caller may take its time
				if enough = !yield(objectOf(name, info), nil); enough {
					return nil
				}
				stalled.Reset(s.silence)
			}
			return context.Cause(ctx) // minio's list just stops then, as if it were whole
		})
		if err != nil && !enough {
			yield(store.Object{}, err)
		}
	}
}

// What a list that cannot be used is. Both are wrong for good, and not tried again.
var (
	errEndless  = errors.New("the store's list does not end")
	errDisorder = errors.New("the store's list is not in order")
)

// maxOthers bounds the names of other programs below the prefix.
const maxOthers = 10 << 20

// Get implements [store.Store].
func (s *S3) Get(ctx context.Context, name, version string, off, n int64) (io.ReadCloser, error) {
	if err := store.CheckGet(name, off); err != nil {
		return nil, err
	}
	b := &body{s: s, ctx: ctx, name: name, version: version, off: off, end: -1}
	if n >= 0 {
		b.end = off + n
	}
	if n == 0 {
		return b, s.check(ctx, b)
	}
	err := s.retry(ctx, "get", name, func(bool) error { return s.gone(ctx, b.open()) })
	if response, ok := answer(err); ok && response.StatusCode == http.StatusRequestedRangeNotSatisfiable {
		b.size = off // nothing is there from off on
		if n < 0 {
			b.end = off
		}
		err = s.check(ctx, b)
	}
	if err != nil {
		return nil, err
	}
	return b, nil
}

// check is for a Get that reads nothing: the object must be there all the same, and be the one that was asked for.
func (s *S3) check(ctx context.Context, b *body) error {
	object, err := s.stat(ctx, "get", b.name)
	if err == nil && b.version != "" && object.Version != b.version {
		err = s.wrap("get", b.name, store.ErrChanged)
	}
	return err
}

// errRange: the store answered with other bytes than were asked for.
var errRange = errors.New("the store does not answer with the range that was asked for")
