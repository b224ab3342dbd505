package archive

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

// An archive with a base is what it would be without: frames of the same pages are
// copied, all others compressed, wherever the image ends.
func TestBase(t *testing.T) {
	const size, frame = 4096, 16 * 4096
	image := crmImage(10*frame+3*size, size, 1)
	// Harder compressed, so that the sizes show which frames were copied.
	stored, _ := pack(t, image, WriterOptions{PageSize: size, FrameBytes: frame, Level: Better, Seed: 3})
	fresh := WriterOptions{PageSize: size, FrameBytes: frame, Workers: 3, Seed: 3}
	changed := bytes.Clone(image)
	changed[0]++
	changed[5*frame-1]++
	changed[10*frame+2*size]++
	for name, c := range map[string]struct {
		image   []byte
		renewed []int // frames
	}{
		"the same":    {image, nil},
		"changed":     {changed, []int{0, 4, 10}},
		"shorter":     {image[:9*frame+size], []int{9}},
		"longer":      {append(bytes.Clone(image), image[:2*frame]...), []int{10, 11, 12}},
		"of one page": {image[:size], []int{0}},
	} {
		o := fresh
		o.Base = open(t, stored)
		got, info := pack(t, c.image, o)
		r := open(t, got)
		var out bytes.Buffer
		if err := r.CopyTo(t.Context(), &out, CopyOptions{}); err != nil || !bytes.Equal(out.Bytes(), c.image) {
			t.Fatalf("%s: %v, %d bytes", name, err, out.Len())
		}
		fromBase, plain := pack(t, c.image, fresh)
		if info.ImageBLAKE3 != plain.ImageBLAKE3 {
			t.Errorf("%s: another digest", name)
		}
		a := open(t, fromBase)
		renewed := map[int]bool{}
		for _, i := range c.renewed {
			renewed[i] = true
		}
		for i := range info.Frames {
			mine, want := r.offsets[i+1]-r.offsets[i], a.offsets[i+1]-a.offsets[i]
			if !renewed[i] {
				want = o.Base.offsets[i+1] - o.Base.offsets[i]
			}
			if mine != want {
				t.Errorf("%s: frame %d has %d bytes, want %d (renewed %v)", name, i, mine, want, renewed[i])
			}
		}
	}
}

// Lost: an image, to a frame that is no longer what the digests are of. It is not
// looked into when it is copied, but Verify, which has to follow, finds it.
func TestDamagedBase(t *testing.T) {
	const size, frame = 4096, 16 * 4096
	image := crmImage(4*frame, size, 1)
	stored, _ := pack(t, image, WriterOptions{PageSize: size, FrameBytes: frame})
	o := WriterOptions{PageSize: size, FrameBytes: frame, Base: open(t, stored)}
	bad := bytes.Clone(stored)
	bad[o.Base.offsets[1]+2000]++
	o.Base = open(t, bad)
	got, _ := pack(t, image, o)
	if err := open(t, got).Verify(t.Context(), CopyOptions{}); !errors.Is(err, ErrDamaged) {
		t.Errorf("a damaged frame was copied, and passes: %v", err)
	}
	// One that cannot be read, or is of another shape, is as good as none.
	want, _ := pack(t, image, WriterOptions{PageSize: size, FrameBytes: frame})
	closed := open(t, stored)
	closed.r = failing{}
	other, _ := pack(t, image, WriterOptions{PageSize: size, FrameBytes: 2 * frame})
	seeded, _ := pack(t, image, WriterOptions{PageSize: size, FrameBytes: frame, Level: Better, Seed: 4})
	for name, base := range map[string]*Reader{"unreadable": closed, "other frames": open(t, other), "another seed": open(t, seeded)} {
		o.Base = base
		if got, _ := pack(t, image, o); !bytes.Equal(got, want) {
			t.Errorf("%s: another archive", name)
		}
	}
}

type failing struct{}

func (failing) ReadAt([]byte, int64) (int, error) { return 0, io.ErrClosedPipe }
