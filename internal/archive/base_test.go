package archive

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"testing"

	"example.com/snapd/internal/testdb"
)

// written makes an archive of image, and proves it by ReadBack and by Verify.
func written(t *testing.T, image []byte, o WriterOptions) (*Writer, []byte) {
	t.Helper()
	var b bytes.Buffer
	w, err := NewWriter(&b, o)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	if _, err := w.Write(image); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Finish(testFacts); err != nil {
		t.Fatal(err)
	}
	if err := w.ReadBack(t.Context(), bytes.NewReader(b.Bytes()), CopyOptions{}); err != nil {
		t.Fatalf("read back: %v", err)
	}
	var out bytes.Buffer
	if err := open(t, b.Bytes()).CopyTo(t.Context(), &out, CopyOptions{}); err != nil || !bytes.Equal(out.Bytes(), image) {
		t.Fatalf("%v, %d bytes of %d", err, out.Len(), len(image))
	}
	return w, b.Bytes()
}

// renewed are the frames that are not the base's.
func renewed(w *Writer) (list []int) {
	for i, reused := range w.reused {
		if !reused {
			list = append(list, i)
		}
	}
	return list
}

// An archive with a base is what it would be without, byte for byte: frames of the same pages
// are copied, all others compressed, wherever the image ends.
func TestBase(t *testing.T) {
	const size, frame = 4096, 16 * 4096
	image := crmImage(10*frame+3*size, size, 1)
	fresh := WriterOptions{PageSize: size, FrameBytes: frame, Workers: 3, Seed: 3}
	stored, _ := pack(t, image, fresh)
	changed := bytes.Clone(image)
	changed[0]++
	changed[5*frame-1]++
	changed[10*frame+2*size]++
	for name, c := range map[string]struct {
		image   []byte
		renewed []int
	}{
		"the same":    {image, nil},
		"changed":     {changed, []int{0, 4, 10}},
		"shorter":     {image[:9*frame+size], []int{9}},
		"longer":      {append(bytes.Clone(image), image[:2*frame]...), []int{10, 11, 12}},
		"of one page": {image[:size], []int{0}},
	} {
		o := fresh
		o.Base = open(t, stored)
		w, got := written(t, c.image, o)
		if list := renewed(w); !slices.Equal(list, c.renewed) || w.BaseError() != nil {
			t.Errorf("%s: compressed %v, not %v; %v", name, list, c.renewed, w.BaseError())
		}
		if want, _ := pack(t, c.image, fresh); !bytes.Equal(got, want) {
			t.Errorf("%s: another archive than without a base", name)
		}
		// It is a base as good as the first one.
		o.Base = open(t, got)
		if w, _ := written(t, c.image, o); len(renewed(w)) != 0 {
			t.Errorf("%s: of a base that has one, %v are compressed", name, renewed(w))
		}
	}
}

// What does not fit is no base, and no damage.
func TestUnlikeBase(t *testing.T) {
	const size, frame = 4096, 16 * 4096
	image := crmImage(4*frame, size, 1)
	o := WriterOptions{PageSize: size, FrameBytes: frame, Seed: 3}
	version2, err := Open("testdata/v2" + Ext)
	if err != nil {
		t.Fatal(err)
	}
	defer version2.Close()
	for name, change := range map[string]func(*WriterOptions){
		"other frames":  func(o *WriterOptions) { o.FrameBytes = 2 * frame },
		"another seed":  func(o *WriterOptions) { o.Seed = 4 },
		"another level": func(o *WriterOptions) { o.Level = Better },
		"other pages":   func(o *WriterOptions) { o.PageSize = 2 * size },
	} {
		other := o
		change(&other)
		stored, _ := pack(t, image, other)
		with := o
		with.Base = open(t, stored)
		if w, _ := written(t, image, with); w.Reused() != 0 || w.BaseError() != nil {
			t.Errorf("%s: %d frames reused, %v", name, w.Reused(), w.BaseError())
		}
	}
	// Its frames are the same, by their page digests; there is no proof of the stored bytes.
	nine := make([]byte, version2.Info().ImageBytes)
	if _, err := version2.ReadAt(nine, 0); err != nil {
		t.Fatal(err)
	}
	with := WriterOptions{PageSize: 512, FrameBytes: 2048, Seed: version2.Seed(), Base: version2}
	if w, _ := written(t, nine, with); w.Reused() != 0 || w.BaseError() != nil {
		t.Errorf("version 2: %d frames reused, %v", w.Reused(), w.BaseError())
	}
}

// If this fails, a bit that rotted in one backup is in the next one, which counts as proven.
func TestRottenBase(t *testing.T) {
	const size, frame = 512, 4 * 512
	image := crmImage(4*frame, size, 1)
	o := WriterOptions{PageSize: size, FrameBytes: frame, Workers: 1}
	stored, _ := pack(t, image, o)
	data, every := int(open(t, stored).offsets[4]), testdb.Sampled(101)
	for bit := 0; bit < 8*len(stored); bit += every {
		bad := bytes.Clone(stored)
		bad[bit/8] ^= 1 << (bit % 8)
		base, err := NewReader(bytes.NewReader(bad), int64(len(bad)))
		if err != nil {
			continue // it cannot be opened
		}
		o.Base = base
		w, got := written(t, image, o)
		if !bytes.Equal(got, stored) {
			t.Fatalf("byte %d, bit %d: another archive", bit/8, bit%8)
		}
		if bit < 8*data && (!errors.Is(w.BaseError(), ErrDamaged) || w.Reused() != 3) {
			t.Errorf("byte %d, bit %d: %d frames reused, %v", bit/8, bit%8, w.Reused(), w.BaseError())
		}
	}
}

// rotting gives other bits from its so manieth read on.
type rotting struct {
	io.ReaderAt
	left atomic.Int64
	err  error // given instead, where it is set
}

func (r *rotting) ReadAt(p []byte, off int64) (int, error) {
	n, err := r.ReaderAt.ReadAt(p, off)
	if r.left.Add(-1) < 0 && n > 0 {
		if r.err != nil {
			return 0, r.err
		}
		p[n/2] ^= 1
	}
	return n, err
}

// If this fails, a base that rots, or becomes unreadable, while frames are copied costs the
// backup, or is copied as it is.
func TestBaseThatRotsMeanwhile(t *testing.T) {
	const size, frame = 512, 4 * 512
	image := crmImage(6*frame, size, 1)
	o := WriterOptions{PageSize: size, FrameBytes: frame, Workers: 2}
	stored, _ := pack(t, image, o)
	for _, fault := range []error{nil, io.ErrClosedPipe} {
		reused := -1
		for reads := int64(0); reused < 6; reads++ {
			base := open(t, stored)
			source := &rotting{ReaderAt: base.r, err: fault}
			source.left.Store(reads)
			base.r, o.Base = source, base
			w, got := written(t, image, o)
			if !bytes.Equal(got, stored) {
				t.Fatalf("%v after %d reads: another archive", fault, reads)
			}
			// Rotten page digests are like those of other pages: then nothing is found, or later.
			if fault != nil && w.Reused() < 6 && w.BaseError() == nil {
				t.Errorf("%v after %d reads: %d frames reused, without a word", fault, reads, w.Reused())
			}
			reused = w.Reused()
			if reads > 100 {
				t.Fatalf("%d reads, and still %d frames reused", reads, reused)
			}
		}
	}
}

// If this fails, a write that went wrong gives an archive that counts as proven, for the reason
// that its base was.
func TestReadBackFindsEveryFlippedBit(t *testing.T) {
	const size, frame = 512, 4 * 512
	image := crmImage(4*frame, size, 1)
	o := WriterOptions{PageSize: size, FrameBytes: frame, Workers: 1}
	stored, _ := pack(t, image, o)
	o.Base = open(t, stored)
	changed := bytes.Clone(image)
	changed[frame]++
	w, got := written(t, changed, o)
	if list := renewed(w); !slices.Equal(list, []int{1}) {
		t.Fatalf("frames %v are compressed", list)
	}
	every := testdb.Sampled(7)
	for bit := 0; bit < 8*len(got); bit += every {
		got[bit/8] ^= 1 << (bit % 8)
		if err := w.ReadBack(t.Context(), bytes.NewReader(got), CopyOptions{Workers: 1}); err == nil || !isVerdict(err) {
			t.Errorf("byte %d of %d, bit %d: %v", bit/8, len(got), bit%8, err)
		}
		got[bit/8] ^= 1 << (bit % 8)
	}
	for n := range len(got) / every {
		n *= every
		if err := w.ReadBack(t.Context(), bytes.NewReader(got[:n]), CopyOptions{Workers: 1}); !errors.Is(err, ErrTruncated) {
			t.Errorf("cut to %d of %d bytes: %v", n, len(got), err)
		}
	}
	// The base itself is a sound archive, and not what was written.
	if err := w.ReadBack(t.Context(), bytes.NewReader(stored), CopyOptions{}); err == nil {
		t.Error("another archive is read back")
	}
	if err := w.ReadBack(t.Context(), &rotting{ReaderAt: bytes.NewReader(got), err: io.ErrClosedPipe}, CopyOptions{}); !errors.Is(err, io.ErrClosedPipe) || isVerdict(err) {
		t.Error(fmt.Errorf("what cannot be read: %w", err))
	}
}

// copyBase makes an archive of o.Base's image by CopyBase.
func copyBase(t *testing.T, o WriterOptions) (*Writer, []byte, error) {
	t.Helper()
	var b bytes.Buffer
	w, err := NewWriter(&b, o)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	if err := w.CopyBase(t.Context(), nil); err != nil {
		return w, nil, err
	}
	if _, err := w.Finish(testFacts); err != nil {
		t.Fatal(err)
	}
	return w, b.Bytes(), w.ReadBack(t.Context(), bytes.NewReader(b.Bytes()), CopyOptions{})
}

// Lost: a copy of a backup that is another one than the image's, or of one that has rotted.
func TestCopyBase(t *testing.T) {
	const size, frame = 512, 4 * 512
	for _, pages := range []int{1, 4, 19} {
		o := WriterOptions{PageSize: size, FrameBytes: frame, Workers: 1}
		stored, _ := pack(t, crmImage(pages*size, size, 1), o)
		o.Base = open(t, stored)
		if _, got, err := copyBase(t, o); err != nil || !bytes.Equal(got, stored) {
			t.Errorf("%d pages: %v, another archive", pages, err)
		}
		for _, change := range []func(*WriterOptions){func(o *WriterOptions) { o.Seed = 4 }, func(o *WriterOptions) { o.Level = Best }, func(o *WriterOptions) { o.Base = nil }} {
			other := o
			change(&other)
			if w, _, err := copyBase(t, other); !errors.Is(err, errUnlike) || w.BaseError() != nil {
				t.Errorf("%d pages: of another kind: %v, %v", pages, err, w.BaseError())
			}
		}
		every := testdb.Sampled(5)
		for bit := 0; bit < 8*len(stored); bit += every {
			bad := bytes.Clone(stored)
			bad[bit/8] ^= 1 << (bit % 8)
			base, err := NewReader(bytes.NewReader(bad), int64(len(bad)))
			if err != nil {
				continue
			}
			o.Base = base
			w, _, err := copyBase(t, o)
			if !errors.Is(err, ErrDamaged) || !errors.Is(w.BaseError(), ErrDamaged) {
				t.Fatalf("byte %d, bit %d: %v, %v", bit/8, bit%8, err, w.BaseError())
			}
		}
	}
}
