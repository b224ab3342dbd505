package livedb

import (
	"io"
	"os"
)

// NextData returns the offset, at or after off, of the next stored bytes of r, and
// not a hole of a sparse file, which reads as zeros; the file's size where there are
// none. Where that is unknown it is off.
func NextData(r io.ReaderAt, off int64) int64 {
	switch f := r.(type) {
	case *os.File:
		return nextData(f, off)
	case *File:
		return nextData(f.d.File, off)
	}
	return off
}
