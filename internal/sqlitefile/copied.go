package sqlitefile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
)

// Copied is what of a damaged log is in the database file, by comparison of the pages. A
// checkpoint copies the newest committed copy of each page there, so that the file can
// be ahead of what the log still proves, as a whole or, where the checkpoint was cut off,
// in part.
type Copied struct {
	// All: the file has the newest copy of every page that the log has, up to Frame. The
	// file alone is the state after that frame.
	All   bool
	Frame int64
	// Commits counts the transactions of the log up to Frame.
	Commits int64
	// Older: SQLite would take an older copy of some page than the file has.
	Older bool
	// Any: the file has some page as the log does. A checkpoint was there, or a
	// transaction put back what was before.
	Any bool
	// Mixed: the file has, or may have, a page of the damaged part which nothing provable
	// replaces. The provable part over the file may be no state that ever was.
	Mixed bool
}

// Copied compares the log with the database file main, of size bytes. Of a frame that is
// damaged in its content only, the page's number is believed.
func (l *Log) Copied(ctx context.Context, f LogFile, main io.ReaderAt, size int64) (Copied, error) {
	if l.Untracked || l.PageSize == 0 {
		return Copied{Any: true, Mixed: true}, nil
	}
	c := &comparison{log: l, main: main, size: size, page: make([]byte, l.PageSize), provable: map[uint32]bool{}, newest: map[uint32]pageCopy{}}
	if err := c.compareProvable(ctx, f); err != nil {
		return Copied{}, fmt.Errorf("compare log and database: %w", err)
	}
	if err := c.compareBeyond(ctx, f); err != nil {
		return Copied{}, fmt.Errorf("compare log and database: %w", err)
	}
	return c.conclude(), nil
}

// comparison is a Copied in the making.
type comparison struct {
	found Copied
	log   *Log
	main  io.ReaderAt
	size  int64 // bytes of main
	page  []byte

	provable map[uint32]bool     // pages of provable frames: the file has the newest of those copies
	newest   map[uint32]pageCopy // pages of all frames up to found.Frame: their newest copies
	pages    uint32              // of the database after found.Frame; 0 is not known
	unknown  bool                // a damaged frame may be of a page that no provable frame has
	misnamed bool                // the number of a damaged frame's page is not known
}

// pageCopy is a copy of a page in the log.
type pageCopy struct {
	same   bool // the file has it
	proven bool // the frame is not damaged
}

// compareProvable compares the newest provable copy of each page.
func (c *comparison) compareProvable(ctx context.Context, f LogFile) error {
	frames := map[uint32]int64{}
	for i, pgno := range c.log.Committed {
		frames[pgno] = int64(i) + 1
	}
	logged := make([]byte, c.log.PageSize)
	for pgno, n := range frames {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := readFull(f.R, logged, c.log.PageAt(n)); err != nil {
			return err
		}
		same, err := c.inFile(pgno, logged)
		if err != nil {
			return err
		}
		c.provable[pgno], c.newest[pgno] = same, pageCopy{same, true}
		c.found.Any = c.found.Any || same
	}
	c.found.Commits = c.log.Commits
	return nil
}

// compareBeyond compares every frame after the last provable commit.
func (c *comparison) compareBeyond(ctx context.Context, f LogFile) error {
	sum := c.log.start
	if n := c.log.CommitFrame; n > 0 {
		var stored [8]byte
		if err := readFull(f.R, stored[:], c.log.PageAt(n)-int64(len(stored))); err != nil {
			return err
		}
		sum.Set(stored[:])
	}
	unfinished := map[uint32]pageCopy{}
	finish := func(n int64, pages uint32) {
		maps.Copy(c.newest, unfinished)
		clear(unfinished)
		c.found.Frame, c.pages = n, pages
	}
	commits := false
	err := c.log.each(ctx, f, c.log.CommitFrame+1, func(n int64, frame Frame) error {
		if n > c.log.LastFrame {
			return errEnd // what follows is of earlier generations
		}
		pgno, commit := frame.Page(), frame.Commit()
		before := sum
		same, proven, err := c.compare(frame, &sum)
		if err != nil {
			return err
		}
		if !proven && c.isMisnamed(frame, before) {
			c.misnamed, c.unknown = true, true
			return nil
		}
		_, replaced := c.provable[pgno]
		c.found.Any = c.found.Any || same
		c.found.Mixed = c.found.Mixed || same && !replaced
		c.unknown = c.unknown || !same && !proven && !replaced
		unfinished[pgno] = pageCopy{same, proven}
		if commit != 0 && pgno != 0 && pgno <= commit {
			commits = true
			c.found.Commits++
			if !proven {
				commit = 0
			}
			finish(n, commit)
		}
		return nil
	})
	if err != nil && err != errEnd {
		return err
	}
	if !commits && c.log.LastFrame > c.log.CommitFrame {
		finish(c.log.LastFrame, 0) // the mark itself is what is damaged
	}
	return nil
}

// errEnd ends a walk through frames early.
var errEnd = errors.New("end")

// compare reports whether the file has the page of a frame: as the frame has it, or where
// the frame is damaged, so that its checksum is right with the file's page in it. sum is
// the checksum stored in the frame before, and then in this one. proven says that
// the frame's own bytes give its checksum.
func (c *comparison) compare(frame Frame, sum *WALSum) (same, proven bool, err error) {
	with := *sum
	proven = sum.AddFrame(frame)
	sum.Set(frame.Sum())
	if same, err = c.inFile(frame.Page(), frame.Content()); err != nil || same || proven || frame.Page() == 0 {
		return same, proven, err
	}
	if int64(frame.Page())*int64(len(c.page)) > c.size {
		return false, false, nil
	}
	with.Add(frame[:8])
	with.Add(c.page)
	return with.Equals(frame.Sum()), false, nil
}

// isMisnamed reports whether a damaged frame, which follows the checksum before, need not be of
// the page that it names: it is of another generation, or with other numbers in its header the
// checksum is right.
func (c *comparison) isMisnamed(frame Frame, before WALSum) bool {
	if frame.Salts() != c.log.Header.Salts() {
		return true
	}
	pgno, commit := before.numbers(frame)
	limit := c.size/int64(c.log.PageSize) + c.log.Frames
	return pgno != 0 && pgno != frame.Page() && (commit == frame.Commit() || int64(max(pgno, commit)) <= limit)
}

// inFile reports whether the file has page pgno with this content, and leaves the
// file's in c.page.
func (c *comparison) inFile(pgno uint32, content []byte) (bool, error) {
	at := (int64(pgno) - 1) * int64(len(c.page))
	if pgno == 0 || at+int64(len(c.page)) > c.size {
		return false, nil
	}
	if err := readFull(c.main, c.page, at); err != nil {
		return false, err
	}
	return bytes.Equal(c.page, content), nil
}

func (c *comparison) conclude() Copied {
	found := c.found
	found.Mixed = found.Mixed || c.unknown && found.Any
	used := func(pgno uint32) bool { return c.pages == 0 || pgno <= c.pages } // else the database shrank
	found.All = found.Frame > 0 && !c.misnamed
	for pgno, copy := range c.newest {
		found.All = found.All && (copy.same || copy.proven && !used(pgno))
	}
	for pgno, same := range c.provable {
		found.Older = found.Older || found.All && !same && used(pgno)
	}
	return found
}
