package archive

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	foreign "github.com/SaveTheRbtz/zstd-seekable-format-go/pkg"
	"github.com/klauspost/compress/zstd"

	"example.com/snapd/internal/testdb"
)

// zstdTool runs the stock zstd on a file and returns its standard output.
func zstdTool(t *testing.T, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(testdb.RequireTool(t, "zstd"), args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("zstd %s: %v: %s", strings.Join(args, " "), err, &stderr)
	}
	return out
}

// If this fails, archives do not outlive the project.
func TestStockZstd(t *testing.T) {
	testdb.RequireTool(t, "zstd")
	for _, s := range shapes {
		t.Run(s.name, func(t *testing.T) {
			image := crmImage(s.pageSize*s.pages, max(s.pageSize, 512), 12)
			stored, _ := pack(t, image, WriterOptions{PageSize: s.pageSize, FrameBytes: s.frameBytes})
			path := filepath.Join(t.TempDir(), "data"+Ext)
			if err := os.WriteFile(path, stored, 0o600); err != nil {
				t.Fatal(err)
			}
			zstdTool(t, "-t", path)
			if got := zstdTool(t, "-dc", path); !bytes.Equal(got, image) {
				t.Errorf("zstd -dc gives %d bytes of %d", len(got), len(image))
			}
			zstdTool(t, "-d", "-q", path)
			got, err := os.ReadFile(strings.TrimSuffix(path, ".zst"))
			if err != nil || !bytes.Equal(got, image) {
				t.Errorf("zstd -d: %v, equal %v", err, bytes.Equal(got, image))
			}
		})
	}
}

// If this fails, who has only zstd gets a wrong database from a rotten archive
// without an error.
func TestStockZstdOfFlippedBits(t *testing.T) {
	path := testdb.RequireTool(t, "zstd")
	for _, s := range subjects(t) {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			every := testdb.Sampled(3)
			for i, at := range headerBits(s) {
				if i%every != 0 {
					continue
				}
				b := bytes.Clone(s.stored)
				b[at/8] ^= 1 << (at % 8)
				cmd := exec.Command(path, "-dc")
				cmd.Stdin = bytes.NewReader(b)
				if got, err := cmd.Output(); err == nil && !bytes.Equal(got, s.image) {
					t.Errorf("byte %d, bit %d: %d other bytes and no error", at/8, at%8, len(got))
				}
			}
		})
	}
}

// headerBits are the bits in which a decoder may be led astray, and some others:
// those of the frames' headers, ends and first block.
func headerBits(s *subject) (bits []int) {
	parts := s.parts()
	for at := range 8 * len(s.stored) {
		i, exact := slices.BinarySearch(parts, at/8)
		if !exact {
			i--
		}
		if at/8-parts[i] < 10 || parts[i+1]-at/8 <= 4 || at%499 == 0 {
			bits = append(bits, at)
		}
	}
	return bits
}

// If this fails, the seek table is not the seekable format's, and tools of
// that format cannot look into archives.
func TestForeignSeekableReader(t *testing.T) {
	for _, s := range shapes {
		t.Run(s.name, func(t *testing.T) {
			image := crmImage(s.pageSize*s.pages, max(s.pageSize, 512), 13)
			stored, info := pack(t, image, WriterOptions{PageSize: s.pageSize, FrameBytes: s.frameBytes})
			dec, err := zstd.NewReader(nil)
			if err != nil {
				t.Fatal(err)
			}
			defer dec.Close()
			r, err := foreign.NewReader(bytes.NewReader(stored), dec)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := r.Close(); err != nil {
					t.Error(err)
				}
			}()
			if end, err := r.Seek(0, io.SeekEnd); err != nil || end != info.ImageBytes {
				t.Fatalf("size %d, %v, want %d", end, err, info.ImageBytes)
			}
			if err := compareAtRandom(r, image); err != nil {
				t.Error(err)
			}
			if _, err := r.Seek(0, io.SeekStart); err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, image) {
				t.Errorf("whole: %v, equal %v", err, bytes.Equal(got, image))
			}
		})
	}
}

func compareAtRandom(r io.ReaderAt, image []byte) error {
	rnd := rand.New(rand.NewPCG(14, 14))
	for range 200 {
		off := rnd.IntN(len(image) + 1)
		p := make([]byte, rnd.IntN(1+min(100_000, len(image))))
		n, err := r.ReadAt(p, int64(off))
		if want := image[off:min(off+len(p), len(image))]; !bytes.Equal(p[:n], want) || err != nil && err != io.EOF {
			return fmt.Errorf("%d bytes at %d: got %d, %w", len(p), off, n, err)
		}
	}
	return nil
}

// If this fails, plain streaming decoders of zstd stumble over our frames.
func TestForeignStreamDecoder(t *testing.T) {
	image := crmImage(3<<20, 4096, 15)
	stored, _ := pack(t, image, WriterOptions{PageSize: 4096})
	dec, err := zstd.NewReader(bytes.NewReader(stored))
	if err != nil {
		t.Fatal(err)
	}
	defer dec.Close()
	if got, err := io.ReadAll(dec); err != nil || !bytes.Equal(got, image) {
		t.Errorf("%v, equal %v", err, bytes.Equal(got, image))
	}
}

// If this fails, "zstd -dc X | b3sum" and the catalog disagree. The vectors
// are BLAKE3's own (test_vectors.json: bytes 0…250 repeated).
func TestImageHashIsBLAKE3(t *testing.T) {
	for n, want := range map[int]string{
		0:    "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
		1:    "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213",
		1024: "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7",
	} {
		h := NewImageHash()
		for i := range n {
			h.Write([]byte{byte(i % 251)})
		}
		if got := fmt.Sprintf("%x", h.Sum(nil)); got != want {
			t.Errorf("%d bytes: %s, want %s", n, got, want)
		}
	}
}
