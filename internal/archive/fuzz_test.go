package archive

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// FuzzOpen: for any bytes, no panic, no memory beyond a bound that the
// input's size sets, and an image that Verify proves is the one that the
// metadata names, by every way of reading it.
func FuzzOpen(f *testing.F) {
	for _, s := range []struct{ pageSize, pages, frame int }{{0, 0, 0}, {512, 1, 512}, {512, 5, 1024}, {4096, 2, 4096}, {1024, 9, 3072}} {
		stored, _ := pack(f, crmImage(s.pageSize*s.pages, max(s.pageSize, 512), 20), WriterOptions{PageSize: s.pageSize, FrameBytes: s.frame, Workers: 1})
		f.Add(stored, true)
		f.Add(stored[:len(stored)*2/3], false)
		f.Add(append(bytes.Clone(stored[:len(stored)/2]), stored[len(stored)/2+1:]...), true)
	}
	for _, name := range []string{"v1", "v2", "v3"} {
		b, err := os.ReadFile(filepath.Join("testdata", name+Ext))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, true)
	}
	f.Add([]byte("SQLite format 3\x00"), false)
	f.Fuzz(func(t *testing.T, b []byte, repair bool) {
		if repair {
			b = repairMetadata(bytes.Clone(b))
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		r, err := NewReader(bytes.NewReader(b), int64(len(b)))
		runtime.ReadMemStats(&after)
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 8*uint64(len(b))+4<<20 {
			t.Fatalf("opening %d bytes allocated %d", len(b), grown)
		}
		if err != nil {
			if !isVerdict(err) {
				t.Fatalf("no verdict: %v", err)
			}
			return
		}
		info := r.Info()
		image := NewImageHash()
		proven := r.CopyTo(context.Background(), image, CopyOptions{Workers: 1})
		if proven != nil && !isVerdict(proven) {
			t.Fatalf("no verdict: %v", proven)
		}
		if got := hex.EncodeToString(image.Sum(nil)); proven == nil && got != info.ImageBLAKE3 {
			t.Fatalf("accepted an image of %s as %s", got, info.ImageBLAKE3)
		}
		image.Reset()
		pages := &pageHasher{size: info.PageSize, seed: r.Seed()}
		n, err := io.Copy(io.MultiWriter(image, pages), io.NewSectionReader(r, 0, info.ImageBytes))
		switch {
		case err != nil && (proven == nil || !isVerdict(err)):
			t.Fatalf("ReadAt: %v after %d bytes, CopyTo: %v", err, n, proven)
		case err != nil:
			return
		case n != info.ImageBytes || proven == nil && hex.EncodeToString(image.Sum(nil)) != info.ImageBLAKE3:
			t.Fatalf("ReadAt gives another image: %d of %d bytes", n, info.ImageBytes)
		}
		// Of an image without pages nothing had to be proven.
		if stored, err := readDigests(r); n > 0 && (err != nil || !bytes.Equal(stored, pages.digests)) {
			t.Fatalf("ReadAt gives pages that the digests are not of: %v", err)
		}
	})
}

// pageHasher makes page digests of what is written to it.
type pageHasher struct {
	size          int
	seed          Seed
	rest, digests []byte
}

func (h *pageHasher) Write(p []byte) (int, error) {
	h.rest = append(h.rest, p...)
	whole := len(h.rest) / h.size * h.size
	h.digests = appendPageDigests(h.digests, h.seed, int64(len(h.digests)/digestBytes)+1, h.rest[:whole], h.size)
	h.rest = h.rest[:copy(h.rest, h.rest[whole:])]
	return len(p), nil
}

// repairMetadata makes the trailer's checksum right again where there is one,
// so that changed metadata gets past it.
func repairMetadata(b []byte) []byte {
	i := bytes.LastIndex(b, []byte(trailerMagic))
	if i < trailerBytes {
		return b
	}
	n := int(binary.LittleEndian.Uint32(b[i-8:]))
	start := i - 8 - blake3Bytes
	if n <= start {
		sum := trailerSum(b[start-n:start], b[i-8:i])
		copy(b[start:], sum[:])
	}
	return b
}

// FuzzRoundTrip: every image of whole pages comes back, every other one is
// refused, however it is cut into writes; and the archive of what came back is
// the same archive.
func FuzzRoundTrip(f *testing.F) {
	for i, s := range shapes[:8] {
		f.Add(crmImage(min(s.pageSize*s.pages, 8<<10), max(s.pageSize, 512), uint64(i)), uint16(s.pageSize), uint16(s.frameBytes), uint16(1000*i))
	}
	f.Add([]byte("not a page"), uint16(512), uint16(0), uint16(3))
	f.Fuzz(func(t *testing.T, image []byte, size, frame, chunk uint16) {
		o := WriterOptions{PageSize: int(size), FrameBytes: int(frame) + 1, Workers: 2}
		if size == 1 { // as SQLite writes 65536
			o.PageSize = 65536
		}
		stored := encode(t, image, o, int(chunk))
		if stored == nil {
			return
		}
		r := open(t, stored)
		var got bytes.Buffer
		if err := r.CopyTo(context.Background(), &got, CopyOptions{}); err != nil || !bytes.Equal(got.Bytes(), image) {
			t.Fatalf("came back as %d of %d bytes: %v", got.Len(), len(image), err)
		}
		if again := encode(t, got.Bytes(), o, 0); !bytes.Equal(again, stored) {
			t.Fatalf("encoded again: %d bytes, first %d", len(again), len(stored))
		}
	})
}

// encode returns nil when the writer rightly refuses.
func encode(t *testing.T, image []byte, o WriterOptions, chunk int) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := NewWriter(&b, o)
	if err != nil {
		if o.PageSize == 0 || validPageSize(o.PageSize) {
			t.Fatal(err)
		}
		return nil
	}
	defer w.Abort()
	for rest := image; err == nil && len(rest) > 0; {
		n := len(rest)
		if chunk > 0 {
			n = min(n, chunk)
		}
		_, err = w.Write(rest[:n])
		rest = rest[n:]
	}
	if err == nil {
		_, err = w.Finish(testFacts)
	}
	whole := len(image) == 0 || o.PageSize > 0 && len(image)%o.PageSize == 0
	if (err == nil) != whole {
		t.Fatalf("%d bytes in pages of %d: %v", len(image), o.PageSize, err)
	}
	if err != nil {
		return nil
	}
	return b.Bytes()
}
