package sqlitefile

import (
	"cmp"
	"context"
	"fmt"
	"io"
)

// maxTracked bounds the page numbers that are remembered of a log (4 bytes each), and
// maxSalvaged those of one without a good header.
const (
	maxTracked  = 16 << 20
	maxSalvaged = 1 << 20
)

// LogFile is a write-ahead log to be read.
type LogFile struct {
	R    io.ReaderAt
	Size int64 // bytes
	// NextData returns where at or after an offset the next bytes are that are stored and
	// not a hole of a sparse file, which reads as zeros. nil where holes are not known.
	NextData func(off int64) int64
}

// Log is what the checksums of a write-ahead log prove.
//
//	frames 1 … CommitFrame … BadFrame … LastFrame … the file's end
//	       |  committed  | |            |           |
//	                     | unfinished   | maybe damaged, frames of this generation among them
//	                       transaction                of earlier generations, or a part of one
type Log struct {
	Header   WALHeader
	Valid    bool // SQLite reads it: see WALHeader.Valid
	PageSize int  // bytes; 0 where it is not known

	Frames  int64 // whole frames that the file has room for
	Partial bool  // it ends within a frame

	CommitFrame int64  // frames up to and including the last provable commit; 0 for none
	Commits     int64  // provable ones
	Pages       uint32 // of the database after CommitFrame
	Page1       int64  // offset of page 1 in the newest provable frame that has it; 0 for none
	// Committed has the number of each provable frame's page, in order.
	Committed []uint32
	Untracked bool // Committed is not complete: the log is too large

	Tail bool // frames of this generation, or a part of one, come after the last provable commit
	// BadFrame is the first frame whose checksum, salts or page number are wrong, 0 for
	// none; LastFrame the last one of this generation, whether or not its checksum holds.
	BadFrame, LastFrame int64
	// LostCommits counts the commit marks in frames of this generation beyond BadFrame.
	LostCommits int64

	Salvaged Salvaged // where the header is damaged

	// Unproven is the first frame that was taken with wrong salts, 0 for none: see Believe.
	Unproven int64

	start    WALSum // what the first frame's checksum continues
	believed int64  // frames up to here are taken with any salts
}

// Lost returns how many committed transactions SQLite drops with what it does not
// read of the log, at least.
func (l *Log) Lost() int64 { return l.LostCommits + l.Salvaged.Commits + l.Salvaged.Beyond }

// PageAt returns the offset of the page of frame n, counted from 1.
func (l *Log) PageAt(n int64) int64 {
	return WALHeaderSize + (n-1)*l.stride() + FrameHeaderSize
}

func (l *Log) stride() int64 { return int64(FrameHeaderSize + l.PageSize) }

// ReadLog reads a write-ahead log. hint is the page size to assume where the header names
// none, or 0. An error is one of reading or the context's, io.ErrUnexpectedEOF where the
// log became shorter meanwhile; its content is never an error.
func ReadLog(ctx context.Context, f LogFile, hint int) (*Log, error) {
	l := &Log{}
	if f.Size < WALHeaderSize {
		l.Tail = f.Size > 0
		return l, nil
	}
	if err := readFull(f.R, l.Header[:], 0); err != nil {
		return nil, fmt.Errorf("read log header: %w", err)
	}
	l.Valid = l.Header.Valid()
	if l.PageSize = l.Header.PageSize(); l.PageSize == 0 {
		l.PageSize = hint
	}
	if l.PageSize == 0 {
		return l, nil
	}
	l.Frames = (f.Size - WALHeaderSize) / l.stride()
	l.Partial = (f.Size-WALHeaderSize)%l.stride() != 0
	if l.Valid {
		l.start = l.Header.Sum()
		return l, l.walk(ctx, f)
	}
	for _, bigEndian := range []bool{false, true} {
		if err := l.salvage(ctx, f, bigEndian); err != nil || l.Lost() > 0 {
			return l, err
		}
	}
	return l, nil
}

// Believe reads the log again as those see it who use it: by their index up to frame last,
// whose checksum is sum. Versions of SQLite leave salts of another generation in a frame
// (3.40: a transaction that begins the log again, spills, and rolls a savepoint back). No
// one goes by them who has the index, and all others end there. Every other frame up
// to last has to continue the checksum that is stored in the one before it; ok is false where one does not.
func (l *Log) Believe(ctx context.Context, f LogFile, last int64, sum [8]byte) (b *Log, ok bool, err error) {
	if !l.Valid || last <= l.CommitFrame || last > l.Frames {
		return nil, false, nil
	}
	b = &Log{Header: l.Header, Valid: true, PageSize: l.PageSize, Frames: l.Frames, Partial: l.Partial, start: l.start, believed: last}
	var end [FrameHeaderSize]byte
	if err := readFull(f.R, end[:], b.PageAt(last)-FrameHeaderSize); err != nil {
		return nil, false, fmt.Errorf("read log frame: %w", err)
	}
	if err := b.walk(ctx, f); err != nil {
		return nil, false, err
	}
	return b, b.CommitFrame >= last && Frame(end[:]).Salts() == l.Header.Salts() && [8]byte(Frame(end[:]).Sum()) == sum, nil
}

// walk follows the chain of checksums from the header's, and beyond a break in it
// looks for more frames of the same generation.
func (l *Log) walk(ctx context.Context, f LogFile) error {
	l.Tail = l.Partial
	salts, sum := l.Header.Salts(), l.start
	var page1 int64
	var pending []uint32 // pages of the transaction that is not finished
	return l.each(ctx, f, 1, func(n int64, frame Frame) error {
		astray := frame.Salts() != salts && n <= l.believed
		if frame.Salts() != salts && !astray || frame.Page() == 0 {
			if l.BadFrame == 0 {
				l.BadFrame = n
			}
			return nil
		}
		l.Tail, l.LastFrame = true, n
		switch {
		case l.BadFrame != 0:
		case astray:
			sum.Set(frame.Sum())
			l.Unproven = cmp.Or(l.Unproven, n)
		case !sum.AddFrame(frame):
			l.BadFrame = n
		}
		pgno, commit := frame.Page(), frame.Commit()
		if l.BadFrame != 0 {
			// The salts alone say that a frame is of this generation: what is before it may
			// be damaged in more than one place.
			if n > l.BadFrame && commit != 0 && pgno <= commit {
				l.LostCommits++
			}
			return nil
		}
		if pgno == 1 {
			page1 = l.PageAt(n)
		}
		if len(l.Committed)+len(pending) < maxTracked {
			pending = append(pending, pgno)
		} else {
			l.Untracked = true
		}
		if commit != 0 {
			l.Committed, pending = append(l.Committed, pending...), pending[:0]
			l.Commits++
			l.CommitFrame, l.Pages, l.Page1, l.Tail = n, commit, page1, false
		}
		return nil
	})
}

// each calls fn with every whole frame from the given one on, counted from 1.
func (l *Log) each(ctx context.Context, f LogFile, from int64, fn func(n int64, frame Frame) error) error {
	return EachFrame(ctx, f, l.PageSize, from, l.Frames, fn)
}

// EachFrame calls fn with frames first to last of a log, counted from 1, which the file
// has to have. Of frames in a hole of the file, which are all zeros, it gives the first one
// only. The frame is good until fn returns. An error is fn's, the context's, or one of
// reading, io.ErrUnexpectedEOF where the log became shorter.
func EachFrame(ctx context.Context, f LogFile, pageSize int, first, last int64, fn func(n int64, frame Frame) error) error {
	stride := int64(FrameHeaderSize + pageSize)
	batch := max(1, (1<<20)/stride)
	buf := make([]byte, min(batch, max(last-first+1, 1))*stride)
	for n := first - 1; n < last; {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("read log frames: %w", err)
		}
		off := WALHeaderSize + n*stride
		if f.NextData != nil {
			if empty := min((f.NextData(off)-off)/stride, last-n); empty > 1 {
				clear(buf[:stride])
				if err := fn(n+1, buf[:stride]); err != nil {
					return err
				}
				n += empty
				continue
			}
		}
		k := min(batch, last-n)
		if err := readFull(f.R, buf[:k*stride], off); err != nil {
			return fmt.Errorf("read log frames: %w", err)
		}
		for i := range k {
			if err := fn(n+i+1, buf[i*stride:(i+1)*stride]); err != nil {
				return err
			}
		}
		n += k
	}
	return nil
}

// readFull reads all of b; a file that ends before is io.ErrUnexpectedEOF.
func readFull(r io.ReaderAt, b []byte, off int64) error {
	n, err := r.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	if err == io.EOF || err == nil {
		return io.ErrUnexpectedEOF
	}
	return err
}
