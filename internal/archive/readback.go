package archive

import (
	"bytes"
	"context"
	"fmt"
	"io"
)

// ReadBack proves the archive that was written, once Finish has returned, by all bytes of in,
// where it is stored. What was compressed is decompressed and compared by page digests, or,
// where no frame is the base's, by Verify. A frame of the base is compared by its frame digest:
// these bytes have been decompressed before, and gave the same pages. Errors: as of Open and Verify.
func (w *Writer) ReadBack(ctx context.Context, in io.ReaderAt, o CopyOptions) error {
	r, err := NewReader(in, w.info.ArchiveBytes)
	if err != nil {
		return err
	}
	if got, want := r.Info(), w.info; got.ImageBLAKE3 != want.ImageBLAKE3 || got.Sum != want.Sum {
		return fmt.Errorf("%w: image digest %s, wrote %s", ErrDamaged, got.ImageBLAKE3, want.ImageBLAKE3)
	}
	if w.Reused() == 0 {
		return r.Verify(ctx, o)
	}
	if err := r.ProveDigests(); err != nil {
		return err
	}
	if list, err := r.frameDigests(); err != nil {
		return err
	} else if !bytes.Equal(list, w.frameDigests) {
		return fmt.Errorf("%w: frame digests are not those that were written", ErrDamaged)
	}
	p := r.startDecoding(o.workers(), r.allFrames(), func(f *decodedFrame) error {
		if err := f.read(r, f.id); err != nil {
			return err
		}
		if err := r.compareFrame(w.frameDigests, f.id, frameDigest(r.seed, f.id, f.compressed)); err != nil || w.reused[f.id] {
			return err
		}
		return f.decompress(r)
	})
	defer p.Stop()
	for f := p.Next(); f != nil; f = p.Next() {
		if err := context.Cause(ctx); err != nil {
			return fmt.Errorf("read back: %w", err)
		}
		if f.err != nil {
			return f.err
		}
		if !w.reused[f.id] {
			if err := r.comparePages(r.digestsOf(f.id), f.id, f.digests); err != nil {
				return err
			}
		}
		if o.Progress != nil {
			o.Progress(f.id*int64(r.meta.FrameBytes) + r.meta.frameImageBytes(f.id))
		}
	}
	return nil
}

// Reused returns how many frames are the base's.
func (w *Writer) Reused() (n int) {
	for _, reused := range w.reused {
		if reused {
			n++
		}
	}
	return n
}
