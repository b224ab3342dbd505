package changes

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"example.com/snapd/internal/archive"
)

var _ archive.Image = (*Image)(nil)

// packed is an archive of the image.
func packed(t *testing.T, image []byte, pageSize int, seed archive.Seed) *archive.Reader {
	t.Helper()
	var b bytes.Buffer
	w, err := archive.NewWriter(&b, archive.WriterOptions{PageSize: pageSize, FrameBytes: 8 * pageSize, Seed: seed, Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(image); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Finish(archive.Facts{}); err != nil {
		t.Fatal(err)
	}
	r, err := archive.NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func unpacked(t *testing.T, i archive.Image) ([]byte, error) {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "image"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := i.Unpack(t.Context(), f, archive.CopyOptions{Workers: 2}); err != nil {
		return nil, err
	}
	b, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	return b, nil
}

// imageOf is the image at a capture over the image at an earlier one.
func (h *history) imageOf(l *Log, base, seq uint64) (*Image, error) {
	m, err := l.Map(h.t.Context(), base, seq)
	if err != nil {
		h.t.Fatal(err)
	}
	return NewImage(h.t.Context(), packed(h.t, h.images[base], h.pageSize, testSeed), m)
}

// every yields some page numbers in order.
func every(n, pages int64) iter.Seq2[int64, error] {
	return func(yield func(int64, error) bool) {
		for pgno := int64(1); pgno <= pages; pgno += n {
			if !yield(pgno, nil) {
				return
			}
		}
	}
}

// Whichever way an image is read, it is the one that was captured; over each earlier one as its base, smaller or larger.
func TestImage(t *testing.T) {
	t.Parallel()
	const pageSize = 512
	h, l := newHistory(t, pageSize), open(t, t.TempDir(), pageSize)
	h.images[0] = nil
	for i := range 12 {
		h.append(l, []int{3, 40, 2, 2500, 0, 7}[i%6])
		if i%4 == 3 {
			if err := l.Seal(); err != nil {
				t.Fatal(err)
			}
		}
	}
	ctx, compared := t.Context(), 0
	for b := range h.captures {
		for c := b + 1; c < len(h.captures); c += 4 {
			base, seq := h.captures[b].Seq, h.captures[c].Seq
			if b == 0 {
				base = 0
			}
			want, what := h.images[seq], fmt.Sprintf("capture %d over %d", seq, base)
			i, err := h.imageOf(l, base, seq)
			if err != nil {
				t.Fatal(what, err)
			}
			if got, err := unpacked(t, i); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%s: unpacked %d bytes of %d, %v", what, len(got), len(want), err)
			}
			if err := i.Verify(ctx, archive.CopyOptions{}); err != nil {
				t.Error(what, err)
			}
			var seen []int64
			if err := i.ReadPages(ctx, every(3, i.Shape().PageCount), archive.CopyOptions{}, func(pgno int64, page []byte) error {
				if seen = append(seen, pgno); !bytes.Equal(page, want[(pgno-1)*pageSize:][:pageSize]) {
					t.Errorf("%s: page %d", what, pgno)
				}
				return nil
			}); err != nil {
				t.Error(what, err)
			}
			slices.Sort(seen)
			if n := len(slices.Compact(seen)); int64(n) != (i.Shape().PageCount+2)/3 {
				t.Errorf("%s: %d pages of %d", what, n, i.Shape().PageCount)
			}
			if all, err := io.ReadAll(io.NewSectionReader(i, 0, i.Shape().Bytes()+9)); err != nil || !bytes.Equal(all, want) {
				t.Errorf("%s: read %d bytes of %d, %v", what, len(all), len(want), err)
			}
			// Compared with another image, it is its own archive.
			same := packed(t, want, pageSize, testSeed)
			for d, err := range archive.Diff(ctx, i, same) {
				t.Fatalf("%s: differs from its archive: %+v, %v", what, d, err)
			}
			other := packed(t, h.images[h.captures[b].Seq], pageSize, testSeed)
			var diffs [2][]archive.Change
			for n, to := range []archive.Image{i, same} {
				for d, err := range archive.Diff(ctx, other, to) {
					if err != nil {
						t.Fatal(what, err)
					}
					diffs[n] = append(diffs[n], d)
				}
			}
			if !slices.Equal(diffs[0], diffs[1]) {
				t.Errorf("%s: %d pages differ, of its archive %d", what, len(diffs[0]), len(diffs[1]))
			}
			if i.Shape() != same.Shape() || i.Capture().Seq != seq {
				t.Errorf("%s: %+v", what, i.Shape())
			}
			i.Close()
			compared++
		}
	}
	t.Logf("%d images compared", compared)
}

// A page is proven also where others read at the same time.
func TestImageReadConcurrently(t *testing.T) {
	t.Parallel()
	const pageSize = 512
	h, l := newHistory(t, pageSize), open(t, t.TempDir(), pageSize)
	h.images[0] = nil
	for range 20 {
		h.append(l, 2500)
	}
	seq := h.captures[19].Seq
	i, err := h.imageOf(l, 0, seq)
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	var wait sync.WaitGroup
	for g := range 4 {
		wait.Go(func() {
			page := make([]byte, pageSize)
			for pgno := int64(g); pgno < i.Shape().PageCount; pgno += 3 {
				if _, err := i.ReadAt(page, pgno*pageSize); err != nil || !bytes.Equal(page, h.images[seq][pgno*pageSize:][:pageSize]) {
					t.Errorf("page %d: %v", pgno+1, err)
					return
				}
			}
		})
	}
	wait.Wait()
}

// A base that is not the one that the captures follow gives no image, and damage no wrong page.
func TestImageIsProven(t *testing.T) {
	t.Parallel()
	const pageSize = 512
	dir := t.TempDir()
	h, l := newHistory(t, pageSize), open(t, dir, pageSize)
	h.append(l, 300)
	for range 5 {
		h.append(l, 30)
	}
	if err := l.Seal(); err != nil {
		t.Fatal(err)
	}
	base, seq := h.captures[0].Seq, h.captures[5].Seq
	good := h.images[base]
	wrong := bytes.Clone(good)
	for p := range len(good) / pageSize { // wherever the log has nothing newer
		wrong[p*pageSize] ^= 1
	}
	for what, b := range map[string]*archive.Reader{
		"another image": packed(t, wrong, pageSize, testSeed), "another seed": packed(t, good, pageSize, 8),
		"none": packed(t, nil, pageSize, testSeed), "another page size": packed(t, good[:len(good)/1024*1024], 1024, testSeed),
	} {
		m, err := l.Map(t.Context(), base, seq)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := NewImage(t.Context(), b, m); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", what, err)
		}
		m.Close()
	}
	i, err := h.imageOf(l, base, seq)
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	path := filepath.Join(dir, l.sealed[0].Name)
	stored := files(t, dir)[l.sealed[0].Name]
	ctx, o := t.Context(), archive.CopyOptions{}
	found := 0
	for at := 200; at < len(stored); at += 97 {
		b := bytes.Clone(stored)
		b[at] ^= 0x10
		if err := os.WriteFile(path, b, 0o600); err != nil { // in place: the map has it open
			t.Fatal(err)
		}
		got, err := unpacked(t, i)
		if err == nil && !bytes.Equal(got, h.images[seq]) {
			t.Fatalf("byte %d: a wrong image", at)
		}
		errVerify := i.Verify(ctx, o)
		errPages := i.Fetch(ctx, every(1, i.Shape().PageCount), o, func(int64, []byte) error { return nil })
		if (errVerify == nil) != (err == nil) || (errPages == nil) != (err == nil) {
			t.Errorf("byte %d: unpack %v, verify %v, pages %v", at, err, errVerify, errPages)
		}
		if err != nil {
			if found++; !errors.Is(err, ErrDamaged) {
				t.Errorf("byte %d: %v", at, err)
			}
		}
	}
	if found < 10 {
		t.Errorf("%d damages found", found)
	}
}
