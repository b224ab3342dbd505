package s3

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"

	"example.com/snapd/internal/store"
)

const (
	atOnce     = 4     // parts on the way
	mostParts  = 9_000 // the protocol allows 10,000
	maxPages   = 20    // of what is listed about uploads
	forsaken   = 7 * 24 * time.Hour
	abortAfter = 30 * time.Second
)

// An upload is a multipart upload of one object.
type upload struct {
	s        *S3
	name, id string
	src      io.ReaderAt
	size     int64
	part     int64                    // bytes of each but the last
	checksum bool                     // the parts have checksums
	there    map[int]minio.ObjectPart // what an earlier process has sent
}

// putParts stores an object by a multipart upload. One that a crash, a stop or a store that was busy for too long left is gone on with.
func (s *S3) putParts(ctx context.Context, name string, src io.ReaderAt, size int64) (store.Object, error) {
	const mebi = 1 << 20
	u := &upload{s: s, name: name, src: src, size: size, part: s.partSize}
	if least := (size + mostParts - 1) / mostParts; least > u.part {
		u.part = (least + mebi - 1) / mebi * mebi
	}
	if err := u.begin(ctx); err != nil {
		return store.Object{}, err
	}
	parts, err := u.send(ctx)
	var put minio.UploadInfo
	var want string
	if err == nil {
		put, want, err = u.complete(ctx, parts)
	}
	if err != nil {
		if ctx.Err() == nil && !transient(err) { // else the next one goes on
			u.abort(ctx)
		}
		return store.Object{}, err
	}
	return s.proven(ctx, name, put, want, size)
}

// begin finds an upload of this object that was not completed, or makes a new one.
func (u *upload) begin(ctx context.Context) error {
	_, sums := u.s.known.get()
	u.checksum = sums != no
	if u.resume(ctx); u.id != "" {
		return nil
	}
	for {
		options := u.s.options(false)
		if u.checksum {
			options.UserMetadata["x-amz-checksum-algorithm"] = minio.ChecksumCRC64NVME.String()
			options.UserMetadata["x-amz-checksum-type"] = minio.ChecksumFullObjectMode.String()
		}
		err := u.s.retry(ctx, "put", u.name, func(bool) (err error) {
			u.id, err = u.s.core.NewMultipartUpload(ctx, u.s.place.Bucket, u.s.place.key(u.name), options)
			return err
		})
		if err == nil && !u.checksum && sums == unknown {
			u.s.known.setChecksum(no)
		}
		if !u.checksum || !refused(err) {
			return err
		}
		u.checksum = false
	}
}

// resume looks for the newest upload of this object. On the way it removes uploads of ours that no process will complete: a store
// asks for money for their parts, and shows them nowhere. Without the right to look there the upload starts from the beginning.
func (u *upload) resume(ctx context.Context) {
	var newest time.Time
	key, marker, idMarker := u.s.place.key(u.name), "", ""
	for range maxPages {
		page, err := u.s.core.ListMultipartUploads(ctx, u.s.place.Bucket, u.s.place.key(""), marker, idMarker, "", 1000)
		if err != nil {
			return
		}
		for _, found := range page.Uploads {
			switch {
			case found.Key == key && !found.Initiated.Before(newest):
				newest, u.id = found.Initiated, found.UploadID
			case found.Key != key && store.CheckName(u.s.place.name(found.Key)) == nil && time.Since(found.Initiated) > forsaken:
				_ = u.s.core.AbortMultipartUpload(ctx, u.s.place.Bucket, found.Key, found.UploadID)
			}
		}
		marker, idMarker = page.NextKeyMarker, page.NextUploadIDMarker
		if !page.IsTruncated || marker == "" {
			break
		}
	}
	if u.id == "" {
		return
	}
	u.there = map[int]minio.ObjectPart{}
	for last := 0; ; {
		page, err := u.s.core.ListObjectParts(ctx, u.s.place.Bucket, key, u.id, last, 1000)
		if err != nil {
			u.id = ""
			return
		}
		for _, part := range page.ObjectParts {
			u.there[part.PartNumber] = part
		}
		if !page.IsTruncated || page.NextPartNumberMarker <= last {
			u.checksum = u.checksum && page.ChecksumAlgorithm == minio.ChecksumCRC64NVME.String()
			break
		}
		last = page.NextPartNumberMarker
	}
	if !u.own() {
		u.id, u.there = "", nil
	}
}

// own reports whether the first part that is there is one of this object: else another writer is sending another object of that name.
func (u *upload) own() bool {
	if len(u.there) == 0 {
		return false
	}
	first := slices.Min(slices.Collect(maps.Keys(u.there)))
	off := int64(first-1) * u.part
	if off >= u.size {
		return false
	}
	p, err := u.s.piece(u.src, off, min(u.part, u.size-off), true)
	return err == nil && u.there[first].Size == p.n && p.is(u.there[first])
}

// abort forgets the parts.
func (u *upload) abort(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, abortAfter)
	defer cancel()
	_ = u.s.core.AbortMultipartUpload(ctx, u.s.place.Bucket, u.s.place.key(u.name), u.id) // or the sweep does it
}

// send stores the parts, and returns what the store said about each.
func (u *upload) send(ctx context.Context) ([]minio.ObjectPart, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	parts := make([]minio.ObjectPart, (u.size+u.part-1)/u.part)
	var next sync.Mutex
	number := 0
	var workers sync.WaitGroup
	var once sync.Once
	var failed error
	for range min(atOnce, len(parts)) {
		workers.Go(func() {
			for ctx.Err() == nil {
				next.Lock()
				number++
				mine := number
				next.Unlock()
				if mine > len(parts) {
					return
				}
				part, err := u.one(ctx, mine)
				if err != nil {
					once.Do(func() { failed = err; cancel(err) })
					return
				}
				parts[mine-1] = part
			}
		})
	}
	workers.Wait()
	if failed == nil && ctx.Err() != nil {
		failed = u.s.wrap("put", u.name, context.Cause(ctx))
	}
	return parts, failed
}

// one stores the part of that number, unless it is there.
func (u *upload) one(ctx context.Context, number int) (minio.ObjectPart, error) {
	off := int64(number-1) * u.part
	was, there := u.there[number]
	p, err := u.s.piece(u.src, off, min(u.part, u.size-off), !u.checksum || there && was.ChecksumCRC64NVME == "")
	if err != nil {
		return minio.ObjectPart{}, u.s.wrap("put", u.name, err)
	}
	if there && was.Size == p.n && p.is(was) {
		was.ChecksumCRC64NVME = p.crc
		return was, nil
	}
	options := minio.PutObjectPartOptions{Sha256Hex: p.sha, DisableContentSha256: true}
	if u.checksum {
		options.CustomHeader = http.Header{}
		options.CustomHeader.Set(crcHeader, p.crc)
	} else {
		options.Md5Base64 = p.md5
	}
	var part minio.ObjectPart
	err = u.s.retry(ctx, "put", u.name, func(bool) error {
		reader := p.reader()
		part, err = u.s.core.PutObjectPart(ctx, u.s.place.Bucket, u.s.place.key(u.name), u.id, number, reader, p.n, options)
		return reader.or(err)
	})
	part.ChecksumCRC64NVME, part.PartNumber, part.Size = p.crc, number, p.n
	return part, err
}

// is reports whether the store has the piece as that part.
func (p piece) is(part minio.ObjectPart) bool {
	if part.ChecksumCRC64NVME != "" {
		return part.ChecksumCRC64NVME == p.crc
	}
	raw, err := base64.StdEncoding.DecodeString(p.md5)
	return err == nil && len(raw) > 0 && strings.EqualFold(part.ETag, hex.EncodeToString(raw))
}

// complete makes the object of the parts, and returns what its checksum is to be.
func (u *upload) complete(ctx context.Context, parts []minio.ObjectPart) (put minio.UploadInfo, want string, err error) {
	sum, err := minio.ChecksumCRC64NVME.FullObjectChecksum(parts)
	if err != nil {
		return put, "", u.s.wrap("put", u.name, err)
	}
	whole := piece{n: u.size, crc: sum.Encoded()}
	list := make([]minio.CompletePart, len(parts))
	for i, part := range parts {
		list[i] = minio.CompletePart{PartNumber: part.PartNumber, ETag: part.ETag}
		if u.checksum {
			list[i].ChecksumCRC64NVME = part.ChecksumCRC64NVME
		}
	}
	condition, _ := u.s.known.get()
	for conditional := condition != no; ; conditional = false {
		options := minio.PutObjectOptions{}
		if conditional {
			options.SetMatchETagExcept("*")
		}
		if u.checksum {
			options.UserMetadata = map[string]string{crcHeader: whole.crc, "x-amz-checksum-type": minio.ChecksumFullObjectMode.String()}
		}
		err = u.s.retry(ctx, "put", u.name, func(lost bool) error {
			put, err = u.s.core.CompleteMultipartUpload(ctx, u.s.place.Bucket, u.s.place.key(u.name), u.id, list, options)
			response, ok := answer(err)
			if !ok || response.StatusCode != http.StatusPreconditionFailed && response.Code != "NoSuchUpload" && response.Code != "InvalidPart" {
				return err
			}
			object, ours := u.s.ours(ctx, u.name, whole)
			switch {
			case ours && lost: // the answer to an earlier try got lost
				put, err = minio.UploadInfo{ETag: object.Version, LastModified: object.Modified}, nil
			case object.Name != "": // another writer was first
				err = minio.ErrorResponse{StatusCode: http.StatusPreconditionFailed, Code: minio.PreconditionFailed, Message: "another writer stored it meanwhile"}
			}
			return err
		})
		if conditional && refused(err) {
			continue
		}
		if err == nil && !conditional && condition == unknown {
			u.s.known.setCondition(no, "the store does not know If-None-Match: a taken name is found by looking first")
		}
		return put, whole.sum(), err
	}
}
