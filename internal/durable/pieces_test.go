package durable

import (
	"bytes"
	"errors"
	"testing"
)

// fullAt is a disk of limit bytes.
type fullAt struct {
	limit, largest int
	got            []byte
}

var errFull = errors.New("full")

func (f *fullAt) WriteAt(p []byte, off int64) (int, error) {
	f.largest = max(f.largest, len(p))
	n := min(len(p), f.limit-int(off))
	f.got = append(f.got[:off], p[:n]...)
	if n < len(p) {
		return n, errFull
	}
	return n, nil
}

// If this fails, a file has holes or a tail twice, a full disk passes for a success, or
// writes are as large as those that cost a virtual machine eight times the time.
func TestPieces(t *testing.T) {
	image := make([]byte, 3*pieceBytes+17)
	for i := range image {
		image[i] = byte(i * 131 >> 7)
	}
	for _, limit := range []int{0, 1, pieceBytes, pieceBytes + 5, len(image) - 1, len(image), len(image) + 1} {
		f := &fullAt{limit: limit}
		n, err := pieces(f, image, 0)
		if want := min(limit, len(image)); n != want || !bytes.Equal(f.got, image[:want]) || (err == nil) != (want == len(image)) {
			t.Errorf("limit %d: wrote %d, %v; %d bytes are there", limit, n, err, len(f.got))
		}
		if f.largest > pieceBytes {
			t.Errorf("%d bytes at once", f.largest)
		}
	}
}
