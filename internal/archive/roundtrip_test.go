package archive

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"testing"
	"testing/iotest"
)

// shapes are images whose frames and pages end in different ways.
var shapes = []struct {
	name            string
	pageSize, pages int
	frameBytes      int
}{
	{"no pages", 0, 0, 0},
	{"page size but no pages", 4096, 0, 0},
	{"one page", 4096, 1, 0},
	{"smallest pages", 512, 4097, 0},
	{"largest pages", 65536, 33, 0},
	{"a whole number of frames", 4096, 512, 0},
	{"a page more", 4096, 513, 0},
	{"frame smaller than a page", 65536, 3, 1},
	{"frame rounded to pages", 4096, 100, 10000},
	{"a frame for each page", 1024, 300, 1024},
	{"more pages than a digest frame", 512, digestsPerFrame + 7, 512 * 300},
}

// If this fails, a backup does not give back the database it was made of.
func TestRoundTrip(t *testing.T) {
	for _, s := range shapes {
		t.Run(s.name, func(t *testing.T) {
			image := crmImage(s.pageSize*s.pages, max(s.pageSize, 512), 3)
			stored, wrote := pack(t, image, WriterOptions{PageSize: s.pageSize, FrameBytes: s.frameBytes, Workers: 3})
			r := open(t, stored)
			info := r.Info()
			if !reflect.DeepEqual(info, wrote) {
				t.Errorf("Finish said %+v, Open says %+v", wrote, info)
			}
			if !reflect.DeepEqual(info.Facts, testFacts) {
				t.Errorf("facts came back as %+v", info.Facts)
			}
			sum := NewImageHash()
			sum.Write(image)
			if want := hex.EncodeToString(sum.Sum(nil)); info.ImageBLAKE3 != want {
				t.Errorf("BLAKE3 %s, want %s", info.ImageBLAKE3, want)
			}
			if info.ImageBytes != int64(len(image)) || info.PageCount != int64(s.pages) || info.ArchiveBytes != int64(len(stored)) {
				t.Errorf("sizes: %+v", info)
			}
			var got bytes.Buffer
			var progress []int64
			err := r.CopyTo(context.Background(), &got, CopyOptions{Progress: func(n int64) { progress = append(progress, n) }})
			if err != nil || !bytes.Equal(got.Bytes(), image) {
				t.Fatalf("copy: %v, equal %v", err, bytes.Equal(got.Bytes(), image))
			}
			if len(progress) != info.Frames || len(progress) > 0 && progress[len(progress)-1] != info.ImageBytes {
				t.Errorf("progress %v for %d frames", progress, info.Frames)
			}
			if err := r.Verify(context.Background(), CopyOptions{Workers: 1}); err != nil {
				t.Errorf("verify: %v", err)
			}
			checkPageDigests(t, r, image)
		})
	}
}

func checkPageDigests(t *testing.T, r *Reader, image []byte) {
	t.Helper()
	next := int64(1)
	err := r.PageDigests(context.Background(), func(pgno int64, got Digest) error {
		page := image[(pgno-1)*int64(r.Info().PageSize):][:r.Info().PageSize]
		if want := PageDigest(r.Seed(), pgno, page); pgno != next || got != want {
			return fmt.Errorf("page %d after %d: digest %x, want %x", pgno, next-1, got, want)
		}
		next++
		return nil
	})
	if err != nil || next != r.Info().PageCount+1 {
		t.Errorf("page digests: %v, %d of %d", err, next-1, r.Info().PageCount)
	}
}

// If this fails, archives depend on how the image happened to be cut into
// writes or on the number of workers, and cannot be compared or reproduced.
func TestArchiveDoesNotDependOnChunksOrWorkers(t *testing.T) {
	image := crmImage(3<<20, 4096, 4)
	want, _ := pack(t, image, WriterOptions{PageSize: 4096, FrameBytes: 64 << 10, Workers: 1})
	r := rand.New(rand.NewPCG(1, 1))
	for workers := 1; workers <= 4; workers++ {
		var got bytes.Buffer
		w, err := NewWriter(&got, WriterOptions{PageSize: 4096, FrameBytes: 64 << 10, Workers: workers})
		if err != nil {
			t.Fatal(err)
		}
		for rest := image; len(rest) > 0; {
			n := min(len(rest), r.IntN(200_000))
			if m, err := w.Write(rest[:n]); m != n || err != nil {
				t.Fatal(m, err)
			}
			rest = rest[n:]
		}
		if _, err := w.Finish(testFacts); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Bytes(), want) {
			t.Errorf("%d workers: another archive", workers)
		}
	}
}

// If this fails, large images either grow memory or lose page digests.
func TestDigestSpoolGoesToScratch(t *testing.T) {
	dir := t.TempDir()
	image := crmImage(512*3000, 512, 5)
	var b bytes.Buffer
	w, err := NewWriter(&b, WriterOptions{PageSize: 512, FrameBytes: 8192, ScratchDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	w.spool.limit = 1000
	if _, err := w.Write(image); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Finish(testFacts); err != nil {
		t.Fatal(err)
	}
	if w.spool.bytes == 0 || cap(w.spool.mem) > 8000 {
		t.Errorf("%d bytes spooled, %d in memory", w.spool.bytes, cap(w.spool.mem))
	}
	r := open(t, b.Bytes())
	checkPageDigests(t, r, image)
	if err := r.Verify(context.Background(), CopyOptions{}); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left in the scratch directory: %v, %v", left, err)
	}
}

// If this fails, queries on a backup read wrong bytes.
func TestReadAt(t *testing.T) {
	image := crmImage(1<<20+3*512, 512, 6)
	stored, _ := pack(t, image, WriterOptions{PageSize: 512, FrameBytes: 16 << 10})
	r := open(t, stored)
	t.Run("concurrent", func(t *testing.T) {
		var wg sync.WaitGroup
		for g := range 4 {
			wg.Go(func() {
				rnd := rand.New(rand.NewPCG(uint64(g), 2))
				for range 500 {
					off := rnd.IntN(len(image))
					p := make([]byte, rnd.IntN(40_000))
					n, err := r.ReadAt(p, int64(off))
					want := image[off:min(off+len(p), len(image))]
					if !bytes.Equal(p[:n], want) || (err != nil) != (n < len(p)) || err != nil && err != io.EOF {
						t.Errorf("%d bytes at %d: %d, %v", len(p), off, n, err)
						return
					}
				}
			})
		}
		wg.Wait()
		if n := r.cache.recent.Len(); n > cachedFrames || n != len(r.cache.byID) {
			t.Errorf("%d frames cached, %d known", n, len(r.cache.byID))
		}
	})
	t.Run("as a reader", func(t *testing.T) {
		if err := iotest.TestReader(io.NewSectionReader(r, 0, int64(len(image))), image); err != nil {
			t.Error(err)
		}
	})
	t.Run("edges", func(t *testing.T) {
		size := int64(len(image))
		for _, c := range []struct {
			off  int64
			len  int
			n    int
			fail error
		}{
			{0, 0, 0, nil}, {size, 0, 0, nil}, {size, 1, 0, io.EOF}, {size + 1e9, 1, 0, io.EOF},
			{size - 1, 1, 1, nil}, {size - 1, 2, 1, io.EOF},
		} {
			n, err := r.ReadAt(make([]byte, c.len), c.off)
			if n != c.n || err != c.fail {
				t.Errorf("%d at %d: %d, %v, want %d, %v", c.len, c.off, n, err, c.n, c.fail)
			}
		}
		if _, err := r.ReadAt(make([]byte, 1), -1); err == nil || err == io.EOF {
			t.Errorf("negative offset: %v", err)
		}
	})
}

// If this fails, one bad read of a flaky disk makes a frame unreadable for good.
func TestReadAtTriesAgainAfterError(t *testing.T) {
	image := crmImage(8192, 512, 7)
	stored, _ := pack(t, image, WriterOptions{PageSize: 512, FrameBytes: 4096})
	src := &flakyReaderAt{b: bytes.NewReader(stored)}
	r, err := NewReader(src, int64(len(stored)))
	if err != nil {
		t.Fatal(err)
	}
	src.fail = errors.New("bad cable")
	p := make([]byte, 100)
	if _, err := r.ReadAt(p, 0); !errors.Is(err, src.fail) || errors.Is(err, ErrDamaged) {
		t.Errorf("an I/O error came as %v", err)
	}
	src.fail = nil
	if _, err := r.ReadAt(p, 0); err != nil || !bytes.Equal(p, image[:100]) {
		t.Errorf("second try: %v", err)
	}
}

type flakyReaderAt struct {
	b    *bytes.Reader
	fail error
}

func (f *flakyReaderAt) ReadAt(p []byte, off int64) (int, error) {
	if f.fail != nil {
		return 0, f.fail
	}
	return f.b.ReadAt(p, off)
}

// If this fails, archives of this version can no longer be restored. The files are never
// regenerated: a change that needs that needs a new version.
func TestVersionsStayReadable(t *testing.T) {
	for version, bytes := range map[int]int64{2: 2895, 3: 3045} {
		t.Run(fmt.Sprint(version), func(t *testing.T) { staysReadable(t, version, bytes) })
	}
}

func staysReadable(t *testing.T, version int, archiveBytes int64) {
	const blake3 = "ae3de4a52e5db0f50589009de7118571b2c2352b2d8e756e2080ede634998f2c"
	r, err := Open(filepath.Join("testdata", fmt.Sprintf("v%d%s", version, Ext)))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	image := NewImageHash()
	if err := r.CopyTo(context.Background(), image, CopyOptions{}); err != nil {
		t.Error(err)
	}
	want := Info{
		FormatVersion: version, PageSize: 512, PageCount: 9, ImageBytes: 9 * 512, ImageBLAKE3: blake3,
		Sum: Sum{9, 0x30d389f89541aae9, 0xdab0d92a8252a015}, FrameBytes: 2048, Frames: 3, ArchiveBytes: archiveBytes, Facts: testFacts,
	}
	if got := hex.EncodeToString(image.Sum(nil)); got != blake3 || !reflect.DeepEqual(r.Info(), want) {
		t.Errorf("image %s, %+v, want %+v", got, r.Info(), want)
	}
}

// If this fails, Open either blocks on a pipe, or calls a directory an archive.
func TestOpenOfFiles(t *testing.T) {
	dir := t.TempDir()
	stored, _ := pack(t, crmImage(8192, 4096, 8), WriterOptions{PageSize: 4096})
	path := filepath.Join(dir, "a b?#%"+Ext)
	if err := os.WriteFile(path, stored, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Verify(context.Background(), CopyOptions{}); err != nil {
		t.Error(err)
	}
	if err := errors.Join(r.Close(), r.Close()); err != nil {
		t.Error(err)
	}
	if err := r.Verify(context.Background(), CopyOptions{}); !errors.Is(err, os.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if _, err := Open(dir); !errors.Is(err, ErrNotArchive) {
		t.Errorf("directory: %v", err)
	}
	if _, err := Open(path + "x"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
}
