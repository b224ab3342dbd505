package integrity

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime"

	"example.com/snapd/internal/livedb"
)

// walIndex is what the header of a -shm says about the log: how far it was
// committed in the eyes of those who use it. Its fields are in the byte order of
// the machine (SQLite, wal.c: struct WalIndexHdr; https://www.sqlite.org/walformat.html §2.1).
type walIndex struct {
	mxFrame  int64   // last frame of the last acknowledged commit; 0 for none
	sum      [8]byte // that frame's checksum, as it stands in the log
	salts    [8]byte // as they stand in the log's header
	pageSize int     // bytes
	// backfilled is the last frame that a checkpoint has brought into the database file.
	backfilled int64
	// inUse: a connection has the log open and goes by this header. Else it is what
	// the last one left; a power failure may have kept an older or newer state of it
	// than of the log.
	inUse bool
}

const (
	indexHeaderSize = 48      // bytes; there are two copies
	indexVersion    = 3007000 // of the header's form
	// maxIndexReads is how often the header is read again when the two copies differ,
	// as they do for the instant in which a commit writes one after the other.
	maxIndexReads = 100
)

// readWALIndex reads the index header of the database at path. nil when there is
// none to go by: no file, no right to read it, not filled in, damaged. livedb.ErrMoving when
// somebody is at work on it.
func readWALIndex(path string) (*walIndex, error) {
	f, err := livedb.OpenIndex(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("wal index: %w", err)
	}
	defer f.Close()
	inUse, _ := f.IndexInUse()
	var b [2*indexHeaderSize + 4]byte
	for range maxIndexReads {
		if _, err := f.ReadAt(b[:], 0); err == io.EOF {
			return nil, nil // SQLite has not filled it in
		} else if err != nil {
			return nil, fmt.Errorf("read wal index: %w", err)
		}
		if bytes.Equal(b[:indexHeaderSize], b[indexHeaderSize:2*indexHeaderSize]) {
			x := parseWALIndex(b[:indexHeaderSize], inUse)
			if x != nil { // struct WalCkptInfo follows the two copies
				x.backfilled = int64(binary.NativeEndian.Uint32(b[2*indexHeaderSize:]))
			}
			return x, nil
		}
		runtime.Gosched()
	}
	if inUse {
		return nil, livedb.ErrMoving
	}
	return nil, nil // its last writer died between the two
}

// parseWALIndex returns nil for what is no header that SQLite would go by.
func parseWALIndex(b []byte, inUse bool) *walIndex {
	ne := binary.NativeEndian
	const isInit, summed = 12, 40
	var s1, s2 uint32
	for off := 0; off < summed; off += 8 {
		s1 += ne.Uint32(b[off:]) + s2
		s2 += ne.Uint32(b[off+4:]) + s1
	}
	if ne.Uint32(b) != indexVersion || b[isInit] == 0 || ne.Uint32(b[40:]) != s1 || ne.Uint32(b[44:]) != s2 {
		return nil
	}
	size := int(ne.Uint16(b[14:])) // 65536 is stored as 1
	x := &walIndex{mxFrame: int64(ne.Uint32(b[16:])), pageSize: size&0xfe00 | size&1<<16, inUse: inUse}
	binary.BigEndian.PutUint32(x.sum[:], ne.Uint32(b[24:]))
	binary.BigEndian.PutUint32(x.sum[4:], ne.Uint32(b[28:]))
	copy(x.salts[:], b[32:40])
	return x
}

// tailState is what the index says about the log beyond its valid frames.
type tailState int

const (
	tailUnknown tailState = iota // nothing
	tailStale                    // never acknowledged: what a writer that failed left behind
	tailLost                     // acknowledged commits lie there
)

// behind reports whether a checkpoint has brought frames into the database file that
// the log no longer proves. Only those who made it know: pages that look like later
// frames may have been put back to what they were by a transaction that never ended.
func (x *walIndex) behind(w *walWalk) bool {
	if x == nil || x.inUse || !w.valid || w.lostCommits > 0 || !bytes.Equal(x.salts[:], w.header[16:24]) || x.backfilled > x.mxFrame {
		return false
	}
	return x.backfilled > w.commitFrame && (w.commitFrame > 0 || x.heldBack())
}

// heldBack reports whether readers kept the checkpoint from going on to the end: it then
// left out the pages that later frames have, also in the state that it reached.
func (x *walIndex) heldBack() bool { return x.mxFrame > x.backfilled }

// tail compares the index with what the log's checksums prove.
//
// A writer writes its frames, the commit mark last, and then the index. One that
// dies in between was never told of its commit; the next transaction begins
// at the same place, and when it is smaller, whole frames of the dead one stay
// behind it, of the same generation and with a commit mark.
func (x *walIndex) tail(w *walWalk, log io.ReaderAt) (tailState, error) {
	if x == nil || !w.valid || !bytes.Equal(x.salts[:], w.header[16:24]) || x.pageSize != w.pageSize {
		return tailUnknown, nil
	}
	switch {
	case x.mxFrame > w.commitFrame:
		// Nobody uses the log: then a power failure may have kept the index and not the
		// end of the log, which commits that were not synced have to expect.
		if x.inUse || w.lostCommits > 0 {
			return tailLost, nil
		}
		return tailUnknown, nil
	case x.mxFrame < w.commitFrame && !x.inUse:
		return tailUnknown, nil
	case x.mxFrame == 0:
		return tailStale, nil
	}
	var sum [8]byte
	off := walHeaderSize + (x.mxFrame-1)*int64(walFrameSize+w.pageSize)
	if err := readAt(log, sum[:], off+16); err != nil {
		return tailUnknown, fmt.Errorf("read wal frame: %w", err)
	}
	if sum != x.sum {
		return tailUnknown, nil
	}
	return tailStale, nil
}
