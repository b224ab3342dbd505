package integrity

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
)

// ErrUnprovable says that it is not known which committed state a database and its
// damaged log are in.
var ErrUnprovable = errors.New("the log does not prove one state")

func unprovable(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrUnprovable, fmt.Sprintf(format, args...))
}

// LogState is the newest committed state that a database file and its log prove. The
// pages of Frames over those of the file, cut to Pages pages, give it.
type LogState struct {
	Kept    int64 // transactions of the log that are in it
	Dropped int64 // committed transactions that are not, at least
	// Salts, in hex, name the log, and Frame is how far into it the state reaches; "" and
	// 0 for a log that holds nothing.
	Salts string
	Frame int64

	PageSize int    // bytes
	Pages    uint32 // 0: the file is the state
	walk     *walWalk
}

// Frames calls fn with each page of the log that belongs over the file: the page's
// number and the offset of its bytes in the log. Later ones replace earlier ones.
func (s LogState) Frames(fn func(pgno uint32, off int64) error) error {
	if s.Pages == 0 {
		return nil
	}
	for i, pgno := range s.walk.committed {
		if pgno == 0 || pgno > s.Pages {
			continue // beyond the end that a later commit gave the database
		}
		if err := fn(pgno, s.walk.pageAt(int64(i)+1)); err != nil {
			return err
		}
	}
	return nil
}

// ProveLog finds the newest committed state of the database file main and its log, of
// the given sizes in bytes. r is the report on them: that the log held more than it
// proves, or that a checkpoint went further, may be known from the index of those who
// used it. Errors: ErrUnprovable with the reason, those of reading, and the context's.
//
// A log that is damaged in the middle is proven up to the damage, and SQLite lays that
// part over the file. But a checkpoint may have copied later frames there before the
// damage happened; then the file alone is the newer state, and laying older pages over
// it would make a mixture that no check needs to notice.
func ProveLog(ctx context.Context, main io.ReaderAt, size int64, log io.ReaderAt, logSize int64, r Report) (LogState, error) {
	has := func(code Code) bool {
		return slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Code == code })
	}
	if has(CodeWALHeader) {
		return LogState{}, unprovable("its format is not known")
	}
	p := &proof{main: main, size: size, log: log, cut: has(CodeWALLost), behind: has(CodeWALBehind)}
	if err := p.read(ctx, logSize); err != nil {
		return LogState{}, err
	}
	return p.newest(ctx)
}

// proof is a database and its log while its newest state is looked for.
type proof struct {
	main, log io.ReaderAt
	size      int64 // bytes of main
	walk      *walWalk
	cut       bool // the log held more than it proves
	behind    bool // a checkpoint went further than the log proves
	assumed   bool // the log's header is made up from its frames
}

func (p *proof) read(ctx context.Context, logSize int64) (err error) {
	var h header
	if p.size >= headerSize {
		if err := readAt(p.main, h.raw[:], 0); err != nil {
			return err
		}
	}
	if p.walk, err = walkWAL(ctx, p.log, logSize, h.pageSize()); err != nil {
		return err
	}
	if ps := p.walk.pageSize; ps != 0 && h.magic() && h.pageSize() != ps && p.walk.lostCommits+p.walk.commitFrame > 0 {
		return unprovable("it belongs to a database of another page size")
	}
	if p.walk.untracked {
		return unprovable("it is too large to be judged page by page")
	}
	return nil
}

func (p *proof) newest(ctx context.Context) (s LogState, err error) {
	if w := p.walk; !w.valid && w.lostCommits+w.beyondLost > 0 {
		if !w.lostWhole {
			return s, unprovable("its header and its first frames are damaged")
		}
		assumed, err := w.assume(ctx, p.log)
		if err != nil {
			return s, err
		}
		p.walk, p.cut, p.assumed = assumed, false, true // only its header was known to be damaged
	}
	w := p.walk
	s.walk, s.PageSize = w, w.pageSize
	if w.valid {
		s.Salts = hex.EncodeToString(w.header[16:24])
	}
	if w.commitFrame == 0 && len(w.beyond) == 0 && !p.cut {
		return s, nil // there is nothing in it
	}
	at, err := stand(ctx, p.main, p.size, p.log, w)
	if err != nil {
		return s, err
	}
	// A transaction that was never finished may have put pages back to what they were
	// before the log: that the file has them so proves nothing. Nor may a page be left of
	// which it is not known whether a checkpoint that died came to copy it.
	if at.frame > 0 && at.unsure == 0 && (w.lostCommits > 0 || p.behind && !p.cut) {
		s.Kept, s.Frame = w.commits, at.frame
		for _, b := range w.beyond {
			switch {
			case b.commit == 0:
			case b.n <= at.frame:
				s.Kept++
			default:
				s.Dropped++
			}
		}
		return s, nil
	}
	switch {
	case w.lostCommits > 0 && (at.mixed > 0 || at.unknown > 0 && (at.copied || at.beyond > 0)), p.behind, p.assumed && (w.tail || w.partial) && (at.part || at.mixed > 0):
		return s, unprovable("a checkpoint had begun to copy its damaged part, so that the file may be a mixture of two states")
	}
	s.Kept, s.Dropped, s.Frame = w.commits, w.lostCommits, w.commitFrame
	if p.cut {
		s.Dropped = max(1, s.Dropped)
	}
	if w.commitFrame == 0 {
		return s, nil
	}
	if have := p.size / int64(w.pageSize); int64(w.pages) > have+w.frames+1 {
		return s, unprovable("it says that the database has %d pages, and most of them are nowhere", w.pages)
	}
	s.Pages = w.pages
	return s, nil
}
