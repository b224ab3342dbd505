package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/minio/minio-go/v7"
)

// A body reads a range of one version of an object. A connection that breaks is made again, from where it broke.
type body struct {
	s       *S3
	ctx     context.Context
	name    string
	version string
	off     int64 // the next byte
	end     int64 // where to stop; -1 for the object's end, until that is known
	size    int64 // of the object
	r       io.ReadCloser
}

// open asks for what is left of the range.
func (b *body) open() error {
	var options minio.GetObjectOptions
	if b.version != "" {
		if err := options.SetMatchETag(b.version); err != nil {
			return err
		}
	}
	ranged := b.off > 0 || b.end >= 0
	switch {
	case b.end >= 0:
		options.Set("Range", fmt.Sprintf("bytes=%d-%d", b.off, b.end-1))
	case ranged:
		options.Set("Range", fmt.Sprintf("bytes=%d-", b.off))
	}
	r, info, header, err := b.s.core.GetObject(b.ctx, b.s.place.Bucket, b.s.place.key(b.name), options)
	if err != nil {
		return err
	}
	size, err := b.covers(info, header, ranged)
	if err == nil && b.version != "" && info.ETag != b.version {
		err = minio.ErrorResponse{StatusCode: http.StatusPreconditionFailed, Code: minio.PreconditionFailed, Message: "the object has another ETag"}
	}
	if err != nil {
		return errors.Join(err, r.Close())
	}
	b.r, b.version, b.size = r, info.ETag, size
	if b.end < 0 {
		b.end = size
	}
	return nil
}

// covers returns the size of the whole object, from an answer that must begin where the range does.
func (b *body) covers(info minio.ObjectInfo, header http.Header, ranged bool) (int64, error) {
	if !ranged {
		return info.Size, nil
	}
	span, ok := strings.CutPrefix(header.Get("Content-Range"), "bytes ")
	if !ok {
		if b.off == 0 { // the whole object where its beginning was asked for
			return info.Size, nil
		}
		return 0, errRange
	}
	span, total, _ := strings.Cut(span, "/")
	from, _, _ := strings.Cut(span, "-")
	size, err := strconv.ParseInt(total, 10, 64)
	if err != nil || from != strconv.FormatInt(b.off, 10) {
		return 0, errRange
	}
	return size, nil
}

func (b *body) Read(p []byte) (int, error) {
	if err := context.Cause(b.ctx); err != nil {
		return 0, err
	}
	until := b.end
	if b.off < b.end && b.size < b.end {
		until = max(b.size, b.off)
	}
	if b.off >= until {
		if b.off < b.end {
			return 0, io.ErrUnexpectedEOF
		}
		return 0, io.EOF
	}
	if len(p) == 0 {
		return 0, nil
	}
	if n, _ := b.read(p, until); n > 0 { // what is wrong after them shows itself again
		return n, nil
	}
	var n int
	err := b.s.retry(b.ctx, "get", b.name, func(bool) error {
		if b.r == nil {
			if err := b.open(); err != nil {
				return err
			}
		}
		var err error
		n, err = b.read(p, until)
		if n > 0 {
			return nil
		}
		return err
	})
	return n, err
}

// read reads from the connection that there is, and closes it when it fails.
func (b *body) read(p []byte, until int64) (int, error) {
	if b.r == nil {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := b.r.Read(p[:min(int64(len(p)), until-b.off)])
	b.off += int64(n)
	if err == nil && n == 0 {
		err = io.ErrNoProgress
	}
	if err == nil || n > 0 && b.off == until {
		return n, nil
	}
	b.r.Close()
	b.r = nil
	return n, io.ErrUnexpectedEOF
}

func (b *body) Close() error {
	if b.r == nil {
		return nil
	}
	r := b.r
	b.r = nil
	return r.Close()
}
