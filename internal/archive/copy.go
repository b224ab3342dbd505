package archive

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"runtime"
)

// CopyOptions: zero values are defaults.
type CopyOptions struct {
	Workers  int                        // decompressing goroutines; 0 is GOMAXPROCS
	Progress func(doneImageBytes int64) // called on the caller's goroutine after every frame
}

func (o CopyOptions) workers() int {
	if o.Workers > 0 {
		return o.Workers
	}
	return runtime.GOMAXPROCS(0)
}

// CopyTo writes the image to w in order, and proves every digest on the way:
// each frame's stored bytes or checksum, and the digests of its pages, before it is written, the
// image's BLAKE3 at the end. What reached w is only proven when the error is
// nil. Errors: ErrDamaged with frame and pages, ErrTruncated, w's, or the one of
// reading. It holds Workers+2 frames.
func (r *Reader) CopyTo(ctx context.Context, w io.Writer, o CopyOptions) error {
	return r.copyTo(ctx, w, o, r.decodeStored)
}

// copyTo is CopyTo with another way to decode frames, given the list of their digests.
func (r *Reader) copyTo(ctx context.Context, w io.Writer, o CopyOptions, by func(list []byte) func(*decodedFrame) error) error {
	image := startHashing()
	defer image.stop()
	err := r.eachFrame(ctx, o, by, func(frame []byte) error {
		image.begin(frame)
		n, err := w.Write(frame)
		image.wait()
		if err != nil {
			return fmt.Errorf("copy image: %w", err)
		} else if n < len(frame) {
			return fmt.Errorf("copy image: %w", io.ErrShortWrite)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if got := hex.EncodeToString(image.h.Sum(nil)); got != r.meta.ImageBLAKE3 {
		return fmt.Errorf("%w: image: BLAKE3 is %s, recorded %s", ErrDamaged, got, r.meta.ImageBLAKE3)
	}
	return nil
}

// Frames calls fn with the image of every frame in order, its pages proven by their digests; it
// is good until fn returns. Errors: as for CopyTo, and fn's.
func (r *Reader) Frames(ctx context.Context, o CopyOptions, fn func(image []byte) error) error {
	return r.eachFrame(ctx, o, r.decodeStored, fn)
}

func (r *Reader) eachFrame(ctx context.Context, o CopyOptions, by func(list []byte) func(*decodedFrame) error, fn func(image []byte) error) error {
	list, err := r.frameDigests()
	if err != nil { // every byte counts
		return err
	}
	p := r.startDecoding(o.workers(), r.allFrames(), by(list))
	defer p.Stop()
	digests := r.digests()
	for f := p.Next(); f != nil; f = p.Next() {
		if err := context.Cause(ctx); err != nil {
			return fmt.Errorf("copy image: %w", err)
		}
		if f.err != nil {
			return f.err
		}
		if err := r.comparePages(digests, f.id, f.digests); err != nil {
			return err
		}
		if err := fn(f.image); err != nil {
			return err
		}
		if o.Progress != nil {
			o.Progress(f.id*int64(r.meta.FrameBytes) + int64(len(f.image)))
		}
	}
	return digests.finish(r.info.Sum)
}

// hashing takes the image's digest on a goroutine of its own, while the frame is written:
// one after the other takes longer than decompressing it.
type hashing struct {
	h    hash.Hash
	todo chan []byte
	done chan struct{}
}

func startHashing() *hashing {
	// There is room in done: after a panic of the writer no goroutine waits.
	h := &hashing{h: NewImageHash(), todo: make(chan []byte), done: make(chan struct{}, 1)}
	go func() {
		for p := range h.todo {
			h.h.Write(p)
			h.done <- struct{}{}
		}
	}()
	return h
}

func (h *hashing) begin(p []byte) { h.todo <- p }
func (h *hashing) wait()          { <-h.done }
func (h *hashing) stop()          { close(h.todo) }

// Verify proves every byte of the archive: what Open and CopyTo prove, with
// the image going nowhere, and the checksum of every frame.
func (r *Reader) Verify(ctx context.Context, o CopyOptions) error {
	return r.copyTo(ctx, io.Discard, o, func([]byte) func(*decodedFrame) error { return r.decode })
}

// PageDigests calls fn with the stored digest of every page in order, pgno
// from 1, without decompressing anything. When it returns an error, or fn
// does, digests handed out so far may not be the archive's.
func (r *Reader) PageDigests(ctx context.Context, fn func(pgno int64, d Digest) error) error {
	digests := r.digests()
	for pgno := int64(1); pgno <= r.meta.PageCount; {
		if err := context.Cause(ctx); err != nil {
			return fmt.Errorf("read page digests: %w", err)
		}
		b, err := digests.Next(digestsPerFrame)
		if err != nil {
			return err
		}
		for ; len(b) > 0; b, pgno = b[digestBytes:], pgno+1 {
			if err := fn(pgno, Digest(b)); err != nil {
				return err
			}
		}
	}
	return digests.finish(r.info.Sum)
}

// comparePages compares the digests made from frame i with the stored ones.
func (r *Reader) comparePages(stored DigestSource, i int64, made []byte) error {
	pgno := r.firstPage(i) + 1
	for len(made) > 0 {
		want, err := stored.Next(len(made) / digestBytes)
		if err != nil {
			return err
		}
		if !bytes.Equal(made[:len(want)], want) {
			for bytes.Equal(made[:digestBytes], want[:digestBytes]) {
				made, want, pgno = made[digestBytes:], want[digestBytes:], pgno+1
			}
			return fmt.Errorf("%w: %s: digest of page %d", ErrDamaged, r.where(i), pgno)
		}
		made = made[len(want):]
		pgno += int64(len(want) / digestBytes)
	}
	return nil
}
