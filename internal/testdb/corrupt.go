package testdb

import (
	"bytes"
	"encoding/binary"
	"os"
	"testing"
)

// The corrupters change a file in place, as a bad disk would: any file, a
// database, an archive or a catalog. Locks of this process's connections stay.
// A database broken here is not checked when the test ends.

// Overwrite puts data at byte off, within the file or right at its end.
func Overwrite(t testing.TB, path string, off int64, data []byte) {
	t.Helper()
	Damaged(t, path)
	if size := fileSize(t, path); off < 0 || off > size {
		t.Fatalf("overwrite %s at %d: it has %d bytes", path, off, size)
	}
	if err := write(path, off, data); err != nil {
		t.Fatal(err)
	}
}

// FlipByte inverts the byte at off; a negative off counts from the end.
func FlipByte(t testing.TB, path string, off int64) {
	t.Helper()
	b := content(t, path)
	if off < 0 {
		off += int64(len(b))
	}
	if off < 0 || off >= int64(len(b)) {
		t.Fatalf("flip byte %d of %s: it has %d bytes", off, path, len(b))
	}
	Overwrite(t, path, off, []byte{^b[off]})
}

// OverwriteHeader puts data at the start of the file: a lost or foreign header.
func OverwriteHeader(t testing.TB, path string, data []byte) {
	t.Helper()
	Overwrite(t, path, 0, data)
}

// Append adds bytes that do not belong there.
func Append(t testing.TB, path string, data []byte) {
	t.Helper()
	Overwrite(t, path, fileSize(t, path), data)
}

// CutAt keeps the first size bytes; a negative size takes that many off the end.
func CutAt(t testing.TB, path string, size int64) {
	t.Helper()
	Damaged(t, path)
	whole := fileSize(t, path)
	if size < 0 {
		size += whole
	}
	if size < 0 || size >= whole {
		t.Fatalf("cut %s at %d: it has %d bytes", path, size, whole)
	}
	if err := os.Truncate(path, size); err != nil { // opens no descriptor
		t.Fatal(err)
	}
}

// ZeroPage fills page pgno, counted from 1, with zeros: a write that was lost.
func ZeroPage(t testing.TB, path string, pgno int64) {
	t.Helper()
	size := PageSize(t, path)
	Overwrite(t, path, (pgno-1)*size, make([]byte, size))
}

// SwapPages exchanges two pages, counted from 1: writes that went astray.
func SwapPages(t testing.TB, path string, a, b int64) {
	t.Helper()
	size := PageSize(t, path)
	file := content(t, path)
	last := int64(len(file)) / size
	if a < 1 || b < 1 || a > last || b > last {
		t.Fatalf("swap pages %d and %d of %s: it has %d", a, b, path, last)
	}
	pageA, pageB := file[(a-1)*size:a*size], file[(b-1)*size:b*size]
	if bytes.Equal(pageA, pageB) {
		t.Fatalf("swap pages %d and %d of %s: they are equal", a, b, path)
	}
	Overwrite(t, path, (a-1)*size, pageB)
	Overwrite(t, path, (b-1)*size, pageA)
}

// PageSize reads the page size, in bytes, from the database's header.
func PageSize(t testing.TB, path string) int64 {
	t.Helper()
	b := content(t, path)
	if len(b) < 100 {
		t.Fatalf("page size of %s: it has %d bytes", path, len(b))
	}
	size := int64(binary.BigEndian.Uint16(b[16:]))
	if size == 1 { // SQLite file format §1.3.2
		size = 65536
	}
	if size < 512 {
		t.Fatalf("page size of %s: header says %d", path, size)
	}
	return size
}

func content(t testing.TB, path string) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := read(path, &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func fileSize(t testing.TB, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}
