package archive

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"
)

// applied is image with the pages of p, cut or grown to the target's size.
func applied(t *testing.T, p *Patch, image []byte, size int) (out []byte, pgnos []int64, err error) {
	t.Helper()
	out = make([]byte, p.to.Shape().Bytes())
	copy(out, image)
	err = p.Each(t.Context(), CopyOptions{Workers: 2}, func(pgno int64, page []byte) error {
		copy(out[(pgno-1)*int64(size):], page)
		pgnos = append(pgnos, pgno)
		return nil
	})
	return out, pgnos, err
}

// If this fails, a restore does not give the image of the backup: with all, some, or none
// of the pages fetched, from the state that they were fetched for or from another.
func TestPatch(t *testing.T) {
	const size = 512
	o := WriterOptions{PageSize: size, FrameBytes: 8 * size, Seed: 6}
	target := crmImage(400*size, size, 70)
	stored, _ := pack(t, target, o)
	to := open(t, stored)
	change := func(image []byte, every int) []byte {
		b := bytes.Clone(image)
		for n := 1; n*size <= len(b); n += every {
			b[n*size-1] ^= 1
		}
		return b
	}
	first := change(target[:390*size], 9)
	froms := map[string][]byte{
		"the same": target, "the first": first, "fewer changed": change(target, 18), "others changed": change(first, 7),
		"shorter": first[:100*size], "longer": append(bytes.Clone(first), target...), "of one page": first[:size],
	}
	for name, image := range froms {
		for _, limit := range []int64{-1, 0, 10*size + 1, 1 << 20} {
			what := fmt.Sprintf("%s, limit %d", name, limit)
			p := NewPatch(to)
			before, _ := pack(t, first, o)
			if err := p.From(open(t, before)); err != nil {
				t.Fatal(err)
			}
			if limit >= 0 {
				if err := p.Fetch(t.Context(), t.TempDir(), limit, CopyOptions{}); err != nil {
					t.Fatal(err)
				}
				if n := int64(len(p.fetched.pages)); n != min(limit/size, 54) {
					t.Errorf("%s: %d pages were fetched", what, n)
				}
			}
			now, _ := pack(t, image, o)
			if err := p.From(open(t, now)); err != nil {
				t.Fatal(err)
			}
			n, errCount := p.Count(t.Context())
			got, pgnos, err := applied(t, p, image, size)
			if err := errors.Join(err, errCount, p.Close(), p.Close()); err != nil || !bytes.Equal(got, target) || n != int64(len(pgnos)) {
				t.Errorf("%s: %v, %d of %d pages, the image: %v", what, err, len(pgnos), n, bytes.Equal(got, target))
			}
			slices.Sort(pgnos)
			if len(slices.Compact(slices.Clone(pgnos))) != len(pgnos) {
				t.Errorf("%s: pages came twice: %v", what, pgnos)
			}
		}
	}
}

// If this fails, what a scratch file has lost gets into the database.
func TestPatchProvesWhatItReads(t *testing.T) {
	const size = 512
	o := WriterOptions{PageSize: size, FrameBytes: 8 * size}
	target := crmImage(40*size, size, 71)
	stored, _ := pack(t, target, o)
	none, _ := pack(t, target[:size], o)
	p := NewPatch(open(t, stored))
	defer p.Close()
	if err := p.From(open(t, none)); err != nil {
		t.Fatal(err)
	}
	if err := p.Fetch(t.Context(), t.TempDir(), 1<<20, CopyOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.fetched.file.WriteAt([]byte{^target[size*5]}, 4*size); err != nil {
		t.Fatal(err)
	}
	if _, _, err := applied(t, p, target, size); !errors.Is(err, ErrDamaged) {
		t.Errorf("a page that changed in the scratch file: %v", err)
	}
	bad := bytes.Clone(stored)
	bad[open(t, stored).offsets[2]+50] ^= 1
	p.to = open(t, bad)
	if err := p.Fetch(t.Context(), t.TempDir(), 1<<20, CopyOptions{}); !errors.Is(err, ErrDamaged) {
		t.Errorf("a damaged target: %v", err)
	}
	if err := p.Fetch(t.Context(), t.TempDir()+"/none", 1<<20, CopyOptions{}); err == nil {
		t.Error("a scratch file was made in a directory that does not exist")
	}
}
