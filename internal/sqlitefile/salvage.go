package sqlitefile

import (
	"context"
)

// Salvaged is what the frames of a log say by themselves, where its header is damaged
// and SQLite sees none of them.
type Salvaged struct {
	Commits int64 // transactions in frames whose checksums follow one another
	Beyond  int64 // commit marks of the same generation after that chain broke
	// Newest has the offset of the newest committed copy of each page in the chain.
	Newest map[uint32]int64
	// Whole: the chain begins with the first frame, so that Assume can follow it.
	Whole bool

	salts [8]byte
	start WALSum // what the first frame's checksum continues
}

// salvage reads the frames of a log whose header SQLite does not accept, or whose first
// frames are damaged with it. The chain of checksums begins at the header's own bytes,
// at the checksum that is stored in the header, whichever is not damaged, or else at the
// first frame that another one of the same salts follows.
func (l *Log) salvage(ctx context.Context, f LogFile, bigEndian bool) error {
	s := Salvaged{Newest: map[uint32]int64{}}
	pending := map[uint32]int64{}
	var before [8]byte // salts of the frame before
	sum, computed := WALSum{BigEndian: bigEndian}, WALSum{BigEndian: bigEndian}
	sum.Set(l.Header[24:])
	computed.Add(l.Header[:24])
	started, broken := false, false
	err := l.each(ctx, f, 1, func(n int64, frame Frame) error {
		pgno, commit := frame.Page(), frame.Commit()
		stored, start := sum, computed
		intact := sum.AddFrame(frame)
		sum.Set(frame.Sum())
		switch {
		case broken:
			if commit != 0 && pgno <= commit && s.salts == frame.Salts() {
				s.Beyond++
			}
			return nil
		case started:
			if !intact || s.salts != frame.Salts() {
				broken = true
				return nil
			}
		case n == 1 && pgno != 0 && (intact || computed.AddFrame(frame)):
			started, s.Whole, s.start = true, true, start
			if intact {
				s.start = stored
			}
		case n > 1 && intact && before == frame.Salts() && before != [8]byte{}:
			started = true
		default:
			before = frame.Salts()
			return nil
		}
		s.salts = frame.Salts()
		if pgno == 0 || len(s.Newest)+len(pending) >= maxSalvaged {
			return nil
		}
		pending[pgno] = l.PageAt(n)
		if commit != 0 {
			s.Commits++
			for p, at := range pending {
				s.Newest[p] = at
			}
			clear(pending)
		}
		return nil
	})
	l.Salvaged = s
	return err
}

// Assume reads a log whose Salvaged is Whole as if its header were what its frames say.
func (l *Log) Assume(ctx context.Context, f LogFile) (*Log, error) {
	a := &Log{
		Header: walHeaderOf(l.PageSize, l.Salvaged.salts, l.Salvaged.start.BigEndian),
		Valid:  true, PageSize: l.PageSize, Frames: l.Frames, Partial: l.Partial, start: l.Salvaged.start,
	}
	return a, a.walk(ctx, f)
}
