package integrity

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"

	"example.com/snapd/internal/sqlitefile"
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
	log      *sqlitefile.Log
}

// Frames calls fn with each page of the log that belongs over the file: the page's
// number and the offset of its bytes in the log. Later ones replace earlier ones.
func (s LogState) Frames(fn func(pgno uint32, off int64) error) error {
	if s.Pages == 0 {
		return nil
	}
	for i, pgno := range s.log.Committed {
		if pgno == 0 || pgno > s.Pages {
			continue // beyond the end that a later commit gave the database
		}
		if err := fn(pgno, s.log.PageAt(int64(i)+1)); err != nil {
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
	p := &proof{main: main, size: size, file: logFile(log, logSize), cut: has(CodeWALLost), behind: has(CodeWALBehind)}
	if err := p.read(ctx); err != nil {
		return LogState{}, err
	}
	if !p.log.Valid && p.log.Lost() == 0 && logSize > sqlitefile.WALHeaderSize && !has(CodeWALIgnored) {
		return LogState{}, unprovable("its header is damaged, and the check of the database did not come as far as to look for what it held")
	}
	return p.newest(ctx)
}

// proof is a database and its log while its newest state is looked for.
type proof struct {
	main    io.ReaderAt
	size    int64 // bytes of main
	file    sqlitefile.LogFile
	log     *sqlitefile.Log
	cut     bool // the log held more than it proves
	behind  bool // a checkpoint went further than the log proves
	assumed bool // the log's header is made up from its frames
}

func (p *proof) read(ctx context.Context) (err error) {
	var h sqlitefile.Header
	if p.size >= sqlitefile.HeaderSize {
		if err := readAt(p.main, h[:], 0); err != nil {
			return err
		}
	}
	if p.log, err = readLog(ctx, p.file, h.PageSize()); err != nil {
		return err
	}
	if ps := p.log.PageSize; ps != 0 && h.HasMagic() && h.PageSize() != ps && p.log.Lost()+p.log.CommitFrame > 0 {
		return unprovable("it belongs to a database of another page size")
	}
	if p.log.Untracked {
		return unprovable("it is too large to be judged page by page")
	}
	return nil
}

// newest takes the file alone where it has every page of the log, or else the newest
// provable commit. Where a checkpoint may have copied something of the damaged part,
// neither is known to be a state that ever was.
func (p *proof) newest(ctx context.Context) (s LogState, err error) {
	if !p.log.Valid && p.log.Lost() > 0 {
		if !p.log.Salvaged.Whole {
			return s, unprovable("its header and its first frames are damaged")
		}
		if p.log, err = p.log.Assume(ctx, p.file); err != nil {
			return s, shrunk(err)
		}
		p.cut, p.assumed = false, true // only its header was known to be damaged
	} else if !p.log.Valid && p.cut {
		return s, unprovable("its header and its first frames are damaged")
	}
	log := p.log
	s.log, s.PageSize = log, log.PageSize
	if log.Valid {
		salts := log.Header.Salts()
		s.Salts = hex.EncodeToString(salts[:])
	}
	if log.CommitFrame == 0 && log.LastFrame == 0 && !p.cut {
		return s, nil // there is nothing in it
	}
	copied, err := log.Copied(ctx, p.file, p.main, p.size)
	if err != nil {
		return s, shrunk(err)
	}
	torn := p.assumed && (log.Tail || log.Partial) // where the header is damaged, the end may be as well
	switch {
	// A transaction that was never finished may have put pages back to what they were
	// before the log: that the file has them so proves nothing.
	case copied.All && (log.LostCommits > 0 || p.behind && !p.cut):
		s.Kept, s.Frame = copied.Commits, copied.Frame
		return s, nil
	case log.LostCommits > 0 && copied.Mixed, p.behind, torn && copied.Any:
		return s, unprovable("a checkpoint had begun to copy its damaged part, so that the file may be a mixture of two states")
	}
	s.Kept, s.Dropped, s.Frame = log.Commits, log.LostCommits, log.CommitFrame
	if p.cut {
		s.Dropped = max(1, s.Dropped)
	}
	if log.CommitFrame == 0 {
		return s, nil
	}
	if have := p.size / int64(log.PageSize); int64(log.Pages) > have+log.Frames+1 {
		return s, unprovable("it says that the database has %d pages, and most of them are nowhere", log.Pages)
	}
	s.Pages = log.Pages
	return s, nil
}
