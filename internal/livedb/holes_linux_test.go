package livedb

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// Lost: minutes and gigabytes, for a log that is large only because of a hole in it.
func TestCopyKeepsHoles(t *testing.T) {
	dir := t.TempDir()
	src, err := os.Create(filepath.Join(dir, "src"))
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	const size, at = 64<<20 + 5, 40<<20 + 3
	for _, off := range []int64{0, at} {
		if _, err := src.WriteAt([]byte("data"), off); err != nil {
			t.Fatal(err)
		}
	}
	if err := src.Truncate(size); err != nil {
		t.Fatal(err)
	}
	if NextData(src, 1<<20) == 1<<20 {
		t.Skip("NOT TESTED: this file system keeps no holes")
	}
	for _, n := range []int64{size, size - 5, at + 2, 20 << 20, 2} {
		dst, err := os.Create(filepath.Join(dir, "dst"))
		if err != nil {
			t.Fatal(err)
		}
		if err := copyN(t.Context(), dst, src, n); err != nil {
			t.Fatal(err)
		}
		var a, b bytes.Buffer
		if _, err := io.Copy(&a, io.NewSectionReader(src, 0, n)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(&b, io.NewSectionReader(dst, 0, n+1)); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(a.Bytes(), b.Bytes()) {
			t.Errorf("%d bytes: the copy has %d, or other ones", n, b.Len())
		}
		if NextData(dst, 1<<20) == 1<<20 && n > 1<<20 {
			t.Errorf("%d bytes: the copy has no hole", n)
		}
		if err := dst.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
