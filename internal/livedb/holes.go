package livedb

import (
	"io"
	"os"
)

// NextData returns where at or after off the next bytes of r lie that are stored, and
// not a hole of a sparse file, which reads as zeros; the file's size where there are
// none. Where that cannot be told it is off.
func NextData(r io.ReaderAt, off int64) int64 {
	switch f := r.(type) {
	case *os.File:
		return nextData(f, off)
	case *File:
		return nextData(f.d.File, off)
	}
	return off
}
