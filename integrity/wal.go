package integrity

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"

	"example.com/snapd/internal/livedb"
)

// Sizes of the write-ahead log's parts in bytes (SQLite file format §4.1).
const (
	walHeaderSize = 32
	walFrameSize  = 24 // before each page
)

const (
	walMagic   = 0x377f0682 // the lowest bit says that checksums read big-endian words
	walVersion = 3007000
)

// maxTracked bounds the page numbers that a walk remembers (4 bytes each).
const maxTracked = 16 << 20

// maxSalvaged bounds the pages that a walk without a good log header remembers.
const maxSalvaged = 1 << 20

// walWalk is what the checksums of a write-ahead log prove.
type walWalk struct {
	header   [walHeaderSize]byte
	valid    bool // the header is good
	pageSize int  // bytes; 0 when the header names none
	version  uint32

	partial     bool  // the log ends within a frame
	frames      int64 // whole frames that the file has room for
	commitFrame int64 // frames up to and including the last provable commit; 0 for none
	commits     int64 // provable ones
	pages       uint32
	page1       int64 // offset of the last committed copy of page 1 in the log; 0 for none
	// committed has the number of each provable frame's page, in order.
	committed []uint32
	untracked bool // committed or beyond is incomplete

	tail     bool  // frames of this generation, or a part of one, after the last commit
	badFrame int64 // first frame, counted from 1, whose checksum fails; 0 for none
	// lostCommits counts commit marks in frames of this generation beyond badFrame,
	// whether or not their checksums hold.
	lostCommits int64
	// lost has the offset of the newest copy of each page in frames that a bad
	// log header keeps SQLite from seeing.
	lost map[uint32]int64
	// lostWhole: the frames of lost are all from the first one on. beyondLost counts
	// commit marks of the same generation after the chain of their checksums broke.
	lostWhole  bool
	beyondLost int64
	// salts, and the checksum that the first frame follows, as the frames themselves
	// have them where lostWhole is set.
	salts [8]byte
	start walSum
	// pending has the numbers of the pages in the good frames after commitFrame, up to
	// the end or badFrame; beyond has what comes from badFrame on, in order: copies of
	// pages that SQLite will not see.
	pending []uint32
	beyond  []logFrame
}

// logFrame is a frame of a log.
type logFrame struct {
	n      int64  // from 1
	pgno   uint32 // 0 when the frame names no page
	commit uint32 // size of the database in pages, where the frame ends a transaction; else 0
	known  bool   // its checksum holds, at least from the frame before it on
}

// walSum is the log's running checksum (§4.2).
type walSum struct {
	s1, s2 uint32
	big    bool
}

func (w *walSum) add(b []byte) {
	s1, s2 := w.s1, w.s2
	if w.big {
		for ; len(b) >= 8; b = b[8:] {
			s1 += binary.BigEndian.Uint32(b) + s2
			s2 += binary.BigEndian.Uint32(b[4:]) + s1
		}
	} else {
		for ; len(b) >= 8; b = b[8:] {
			s1 += binary.LittleEndian.Uint32(b) + s2
			s2 += binary.LittleEndian.Uint32(b[4:]) + s1
		}
	}
	w.s1, w.s2 = s1, s2
}

func (w *walSum) equals(b []byte) bool {
	return binary.BigEndian.Uint32(b) == w.s1 && binary.BigEndian.Uint32(b[4:]) == w.s2
}

// follows adds a frame to the sum and reports whether the frame's stored checksum agrees.
func (w *walSum) follows(frame []byte) bool {
	w.add(frame[:8])
	w.add(frame[walFrameSize:])
	return w.equals(frame[16:])
}

// set continues from a checksum stored in the log.
func (w *walSum) set(b []byte) {
	w.s1, w.s2 = binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
}

// walkWAL reads the log r of the given size. hint is the page size to assume
// where the log's header names none, or 0. An error is one of reading or the
// context's; whatever the log holds is no error.
func walkWAL(ctx context.Context, r io.ReaderAt, size int64, hint int) (*walWalk, error) {
	w := &walWalk{}
	if size < walHeaderSize {
		w.tail = size > 0
		return w, nil
	}
	if err := readAt(r, w.header[:], 0); err != nil {
		return nil, fmt.Errorf("read wal header: %w", err)
	}
	m := binary.BigEndian.Uint32(w.header[:])
	w.version = binary.BigEndian.Uint32(w.header[4:])
	sum := walSum{big: m&1 == 1}
	sum.add(w.header[:24])
	if ps := int64(binary.BigEndian.Uint32(w.header[8:])); ps >= 512 && ps <= 65536 && bits.OnesCount64(uint64(ps)) == 1 {
		w.pageSize = int(ps)
	}
	w.valid = m&^1 == walMagic && w.pageSize != 0 && w.version == walVersion && sum.equals(w.header[24:])
	if w.pageSize == 0 {
		w.pageSize = hint
	}
	if w.pageSize == 0 {
		return w, nil
	}
	stride := int64(walFrameSize + w.pageSize)
	w.frames = (size - walHeaderSize) / stride
	w.partial = (size-walHeaderSize)%stride != 0
	if w.valid {
		w.tail = w.partial
		return w, w.walkFrames(ctx, r, sum)
	}
	for _, big := range []bool{false, true} {
		if err := w.salvage(ctx, r, big); err != nil || w.lostCommits+w.beyondLost > 0 {
			return w, err
		}
	}
	return w, nil
}

// walkFrames follows the chain of checksums from the header, and beyond a break
// in it looks for more frames of the same generation.
func (w *walWalk) walkFrames(ctx context.Context, r io.ReaderAt, sum walSum) error {
	var page1 int64
	end := 0 // of what in beyond is of this generation
	// computed is what the first bad frame's checksum should have been: the chain
	// goes on from it when only the stored checksum is damaged.
	computed := sum
	err := w.each(ctx, r, func(n, off int64, frame []byte) {
		pgno, commit := binary.BigEndian.Uint32(frame), binary.BigEndian.Uint32(frame[4:])
		if !bytes.Equal(frame[8:16], w.header[16:24]) || pgno == 0 {
			if w.badFrame == 0 {
				w.badFrame = n
			}
			w.note(logFrame{n: n, pgno: pgno}, false)
			sum.set(frame[16:])
			computed = sum
			return
		}
		w.tail = true
		intact, continued := sum.follows(frame), computed.follows(frame)
		sum.set(frame[16:])
		if !intact && continued {
			intact = w.badFrame == n-1
		}
		if w.badFrame != 0 || intact {
			computed = sum
		}
		if !intact && w.badFrame == 0 {
			w.badFrame = n
		}
		switch {
		case w.badFrame != 0:
			// The salts alone say that a frame is of this generation: what lay before it
			// may be damaged in more than one place.
			if n > w.badFrame && commit != 0 && pgno <= commit {
				w.lostCommits++
			}
			w.note(logFrame{n, pgno, commit, intact}, true)
			end = len(w.beyond)
		default:
			if pgno == 1 {
				page1 = off + walFrameSize
			}
			if len(w.committed)+len(w.pending) < maxTracked {
				w.pending = append(w.pending, pgno)
			} else {
				w.untracked = true
			}
			if commit != 0 {
				w.committed, w.pending = append(w.committed, w.pending...), w.pending[:0]
				w.commits++
				w.commitFrame, w.pages, w.page1, w.tail = n, commit, page1, false
			}
		}
	})
	w.beyond = w.beyond[:end]
	return err
}

// note bounds what is remembered of the frames from a damaged one on; a log of
// which some are left out is not judged page by page. Frames of other generations, which
// may follow by the million in a sound log, are of interest only before one of its own.
func (w *walWalk) note(f logFrame, own bool) {
	switch {
	case len(w.beyond) < maxSalvaged:
		w.beyond = append(w.beyond, f)
	case own:
		w.untracked = true
	}
}

// salvage reads the frames of a log whose header SQLite will not accept, or whose
// first frames are damaged with it. The chain of checksums begins at the header's own
// bytes, at the checksum stored in the header, whichever is not damaged, or else at
// the first frame that another one of the same salts follows.
func (w *walWalk) salvage(ctx context.Context, r io.ReaderAt, big bool) error {
	w.lost, w.lostWhole, w.lostCommits, w.beyondLost = map[uint32]int64{}, false, 0, 0
	pending := map[uint32]int64{}
	var salts, before [8]byte // of the generation, of the frame before
	sum, computed := walSum{big: big}, walSum{big: big}
	sum.set(w.header[24:])
	computed.add(w.header[:24])
	computedStart := computed
	started, broken := false, false
	return w.each(ctx, r, func(n, off int64, frame []byte) {
		pgno, commit := binary.BigEndian.Uint32(frame), binary.BigEndian.Uint32(frame[4:])
		intact := sum.follows(frame)
		sum.set(frame[16:])
		switch {
		case broken:
			if commit != 0 && pgno <= commit && bytes.Equal(salts[:], frame[8:16]) {
				w.beyondLost++
			}
			return
		case started:
			if !intact || !bytes.Equal(salts[:], frame[8:16]) {
				broken = true
				return
			}
		case n == 1 && pgno != 0 && (intact || computed.follows(frame)):
			started, w.lostWhole, w.start = true, true, computedStart
			copy(w.salts[:], frame[8:16])
			if intact {
				w.start.set(w.header[24:])
			}
		case n > 1 && intact && bytes.Equal(before[:], frame[8:16]) && before != [8]byte{}:
			started = true
		default:
			copy(before[:], frame[8:16])
			return
		}
		copy(salts[:], frame[8:16])
		if pgno == 0 || len(w.lost)+len(pending) >= maxSalvaged {
			return
		}
		pending[pgno] = off + walFrameSize
		if commit != 0 {
			w.lostCommits++
			for p, o := range pending {
				w.lost[p] = o
			}
			clear(pending)
		}
	})
}

// assume walks the frames as if the log's header were what they say it was.
func (w *walWalk) assume(ctx context.Context, r io.ReaderAt) (*walWalk, error) {
	a := &walWalk{header: w.header, valid: true, pageSize: w.pageSize, version: walVersion, frames: w.frames, partial: w.partial}
	binary.BigEndian.PutUint32(a.header[:], walMagic)
	if w.start.big {
		a.header[3] |= 1
	}
	copy(a.header[16:24], w.salts[:])
	return a, a.walkFrames(ctx, r, w.start)
}

// each calls fn with every whole frame: its number from 1, its offset and its bytes.
// Of frames in a hole of the file, which are all zeros, it gives the first one only.
func (w *walWalk) each(ctx context.Context, r io.ReaderAt, fn func(n, off int64, frame []byte)) error {
	stride := int64(walFrameSize + w.pageSize)
	batch := max(1, (1<<20)/stride)
	buf := make([]byte, min(batch, w.frames)*stride)
	for n := int64(0); n < w.frames; {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("walk wal: %w", err)
		}
		k := min(batch, w.frames-n)
		off := walHeaderSize + n*stride
		if empty := min((livedb.NextData(r, off)-off)/stride, w.frames-n); empty > 1 {
			clear(buf[:stride])
			fn(n+1, off, buf[:stride])
			n += empty
			continue
		}
		if err := readAt(r, buf[:k*stride], off); err != nil {
			return fmt.Errorf("read wal frames: %w", err)
		}
		for i := range k {
			fn(n+i+1, off+i*stride, buf[i*stride:(i+1)*stride])
		}
		n += k
	}
	return nil
}

// errShrunk says that a file became shorter while it was read.
var errShrunk = fmt.Errorf("%w: a file became shorter", livedb.ErrMoving)

// readAt reads all of p.
func readAt(r io.ReaderAt, p []byte, off int64) error {
	n, err := r.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == io.EOF || err == nil {
		return errShrunk
	}
	return err
}
