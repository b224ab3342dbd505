package durable

import "io"

// pieceBytes is the most that one call writes to a file. A larger write makes Linux
// allocate page cache in blocks of 2 MiB (large folios), which in a virtual machine are
// those whose memory went back to the host, and come again by one fault each: 1 GiB in
// pieces of 1 MiB took 1.7 s of the processor there, in pieces of 128 to 512 KiB 0.25 s.
const pieceBytes = 256 << 10

// pieces writes p at off, a piece at a time.
func pieces(w io.WriterAt, p []byte, off int64) (n int, err error) {
	for err == nil && n < len(p) {
		var k int
		k, err = w.WriteAt(p[n:min(len(p), n+pieceBytes)], off+int64(n))
		n += k
	}
	return n, err
}
