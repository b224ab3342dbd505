package integrity

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"example.com/snapd/internal/livedb"
)

// foldLog brings into the private database at path what the checksums of its log
// prove, as a checkpoint would, and removes the log.
//
// A log that is damaged in the middle is proven up to the damage. SQLite would lay
// that part over the file. But a checkpoint may have copied later frames there
// before the damage happened; then the file alone is the newer state, and laying
// older pages over it would make a mixture that no check needs to notice.
//
// known has the codes of the original's findings: that the log held more than it proves,
// or that a checkpoint went further, may be known from the index of those who used it.
func foldLog(ctx context.Context, path string, known map[Code]bool, m *Mending) (err error) {
	log, err := livedb.OpenSidecar(path + "-wal")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer log.Close()
	main, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, main.Close()) }()
	f := &folding{main: main, log: log, cut: known[CodeWALLost], behind: known[CodeWALBehind]}
	if err := f.read(ctx); err != nil {
		return err
	}
	if err := f.fold(ctx, m); err != nil {
		return err
	}
	return livedb.RemoveSidecars(path)
}

// folding is a database and its log while the one is brought into the other.
type folding struct {
	main, log *os.File
	size      int64 // bytes of main
	pageSize  int   // bytes
	walk      *walWalk
	cut       bool
	behind    bool
	assumed   bool // the log's header is made up from its frames
}

func (f *folding) read(ctx context.Context) error {
	var h header
	fi, err := f.main.Stat()
	if err != nil {
		return err
	}
	f.size = fi.Size()
	if f.size >= headerSize {
		if err := readAt(f.main, h.raw[:], 0); err != nil {
			return err
		}
	}
	if fi, err = f.log.Stat(); err != nil {
		return err
	}
	if f.walk, err = walkWAL(ctx, f.log, fi.Size(), h.pageSize()); err != nil {
		return err
	}
	f.pageSize = f.walk.pageSize
	if f.pageSize != 0 && h.magic() && h.pageSize() != f.pageSize && f.walk.lostCommits+f.walk.commitFrame > 0 {
		return notMendable("the log belongs to a database of another page size")
	}
	if f.walk.untracked {
		return notMendable("the log is too large to be judged page by page")
	}
	return nil
}

func (f *folding) fold(ctx context.Context, m *Mending) error {
	if w := f.walk; !w.valid && w.lostCommits+w.beyondLost > 0 {
		if !w.lostWhole {
			return notMendable("the log's header and its first frames are damaged")
		}
		assumed, err := w.assume(ctx, f.log)
		if err != nil {
			return err
		}
		f.walk, f.cut, f.assumed = assumed, false, true // only its header was known to be damaged
	}
	w := f.walk
	if w.valid {
		m.LogSalts = hex.EncodeToString(w.header[16:24])
	}
	if w.commitFrame == 0 && len(w.beyond) == 0 && !f.cut {
		return nil // there is nothing in it
	}
	s, err := stand(ctx, f.main, f.size, f.log, w)
	if err != nil {
		return err
	}
	// A transaction that was never finished may have put pages back to what they were
	// before the log: that the file has them so proves nothing. Nor may a page be left of
	// which it is not known whether a checkpoint that died came to copy it.
	if s.frame > 0 && s.unsure == 0 && (w.lostCommits > 0 || f.behind && !f.cut) {
		m.Kept, m.Dropped, m.LogFrame = w.commits, 0, s.frame
		for _, b := range w.beyond {
			switch {
			case b.commit == 0:
			case b.n <= s.frame:
				m.Kept++
			default:
				m.Dropped++
			}
		}
		return nil
	}
	switch {
	case w.lostCommits > 0 && (s.mixed > 0 || s.unknown > 0 && (s.copied || s.beyond > 0)), f.behind, f.assumed && (w.tail || w.partial) && (s.part || s.mixed > 0):
		return notMendable("a checkpoint had begun to copy the damaged part of the log, so that the file may be a mixture of two states")
	}
	m.Kept, m.Dropped, m.LogFrame = w.commits, w.lostCommits, w.commitFrame
	if f.cut {
		m.Dropped = max(1, m.Dropped)
	}
	if w.commitFrame == 0 {
		return nil
	}
	return f.apply(ctx, w.pages, func(yield func(uint32, int64) error) error {
		for i, pgno := range w.committed {
			if err := yield(pgno, w.pageAt(int64(i)+1)); err != nil {
				return err
			}
		}
		return nil
	})
}

// apply writes logged pages into the database, in order, and gives it its size.
func (f *folding) apply(ctx context.Context, pages uint32, each func(func(pgno uint32, off int64) error) error) error {
	have := f.size / int64(f.pageSize)
	if int64(pages) > have+f.walk.frames+1 {
		return notMendable("the log says that the database has %d pages, and most of them are nowhere", pages)
	}
	page := make([]byte, f.pageSize)
	err := each(func(pgno uint32, off int64) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if pgno == 0 || pgno > pages {
			return nil // beyond the end that a later commit gave the database
		}
		if err := readAt(f.log, page, off); err != nil {
			return err
		}
		_, err := f.main.WriteAt(page, (int64(pgno)-1)*int64(f.pageSize))
		return err
	})
	if err != nil {
		return fmt.Errorf("fold the log in: %w", err)
	}
	if err := f.main.Truncate(int64(pages) * int64(f.pageSize)); err != nil {
		return fmt.Errorf("fold the log in: %w", err)
	}
	return nil
}
