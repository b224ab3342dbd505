package integrity

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime"

	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/sqlitefile"
)

// walIndex is what the header of a -shm says about the log: how far it was committed in
// the eyes of those who use it.
type walIndex struct {
	sqlitefile.WALIndex
	// inUse: a connection has the log open and goes by this header. Else it is what
	// the last one left; a power failure may have kept an older or newer state of it
	// than of the log.
	inUse bool
}

// maxIndexReads is how often the header is read again when its two copies differ, as they
// do for the instant in which a commit writes one after the other.
const maxIndexReads = 100

// readWALIndex reads the index header of the database at path. nil when there is
// none to go by: no file, no right to read it, not filled in, damaged. livedb.ErrMoving when
// a connection is using it.
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
	var b [sqlitefile.SHMHeadSize]byte
	for range maxIndexReads {
		if _, err := f.ReadAt(b[:], 0); err == io.EOF {
			return nil, nil // SQLite has not filled it in
		} else if err != nil {
			return nil, fmt.Errorf("read wal index: %w", err)
		}
		switch x, torn, ok := sqlitefile.ParseWALIndex(b[:]); {
		case ok:
			return &walIndex{x, inUse}, nil
		case !torn:
			return nil, nil
		}
		runtime.Gosched()
	}
	if inUse {
		return nil, livedb.ErrMoving
	}
	return nil, nil // its last writer died between the two
}

// tailState is what the index says about the log beyond its valid frames.
type tailState int

const (
	tailUnknown tailState = iota // nothing
	tailStale                    // never acknowledged: what a writer that failed left behind
	tailLost                     // acknowledged commits are there
)

// behind reports whether a checkpoint has brought frames into the database file that
// the log no longer proves. Only those who made it know: pages that look like later
// frames may have been put back to what they were by a transaction that never ended.
func (x *walIndex) behind(log *sqlitefile.Log) bool {
	if x == nil || x.inUse || !log.Valid || log.LostCommits > 0 || x.Salts != log.Header.Salts() || x.Copied > x.LastFrame {
		return false
	}
	return x.Copied > log.CommitFrame && (log.CommitFrame > 0 || x.heldBack())
}

// heldBack reports whether readers kept the checkpoint from going on to the end: it then
// left out the pages that later frames have, also in the state that it reached.
func (x *walIndex) heldBack() bool { return x.LastFrame > x.Copied }

// holdsMore reports whether a log whose header is damaged had committed transactions which
// the database file does not have: those who use it say so, or the last one's frame is there.
func (x *walIndex) holdsMore(log *sqlitefile.Log, frames io.ReaderAt) (bool, error) {
	if x == nil || x.LastFrame <= x.Copied || x.PageSize != log.PageSize {
		return false, nil
	}
	if x.inUse || x.LastFrame > log.Frames {
		return x.inUse, nil
	}
	frame := make(sqlitefile.Frame, sqlitefile.FrameHeaderSize)
	if err := readAt(frames, frame, log.PageAt(x.LastFrame)-sqlitefile.FrameHeaderSize); err != nil {
		return false, fmt.Errorf("read wal frame: %w", err)
	}
	return frame.Salts() == x.Salts && bytes.Equal(frame.Sum(), x.Sum[:]), nil
}

// tail compares the index with the part of the log that its checksums prove. frames is the log.
//
// A writer writes its frames, the commit mark last, and then the index. One that
// dies in between never learned of its commit; the next transaction begins
// at the same place, and when it is smaller, whole frames of the dead one stay
// behind it, of the same generation and with a commit mark.
func (x *walIndex) tail(log *sqlitefile.Log, frames io.ReaderAt) (tailState, error) {
	if x == nil || !log.Valid || x.Salts != log.Header.Salts() || x.PageSize != log.PageSize {
		return tailUnknown, nil
	}
	switch {
	case x.LastFrame > log.CommitFrame:
		// The log is not in use: then a power failure may have kept the index and not the
		// end of the log, which commits that were not synced have to expect.
		if x.inUse || log.LostCommits > 0 {
			return tailLost, nil
		}
		return tailUnknown, nil
	case x.LastFrame < log.CommitFrame && !x.inUse:
		return tailUnknown, nil
	case x.LastFrame == 0:
		return tailStale, nil
	}
	frame := make(sqlitefile.Frame, sqlitefile.FrameHeaderSize)
	if err := readAt(frames, frame, log.PageAt(x.LastFrame)-sqlitefile.FrameHeaderSize); err != nil {
		return tailUnknown, fmt.Errorf("read wal frame: %w", err)
	}
	if !bytes.Equal(frame.Sum(), x.Sum[:]) {
		return tailUnknown, nil
	}
	return tailStale, nil
}
