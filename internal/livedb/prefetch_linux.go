package livedb

import (
	"io"

	"golang.org/x/sys/unix"
)

const tellsCached = true

// cached: not every file system knows (EOPNOTSUPP). Where the answer is no, Linux
// may begin to read what is there.
func (f *File) cached(b []byte, off int64) (bool, error) {
	n, err := unix.Preadv2(int(f.d.Fd()), [][]byte{b[:1]}, off, unix.RWF_NOWAIT)
	switch {
	case err == unix.EAGAIN:
		return false, nil
	case err != nil:
		return false, err
	case n == 0:
		return false, io.EOF
	}
	return true, nil
}
