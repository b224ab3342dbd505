package integrity

import (
	"bytes"
	"context"
	"fmt"
	"io"
)

// standing is how far the database file has got in its log, by comparison of the
// pages. Checkpoints copy pages of committed frames into the file; the file can so
// be ahead of what a damaged log still proves.
type standing struct {
	// frame ends a transaction of which, and of all before it, the file has every page
	// as the log has it; it lies beyond the last provable commit. 0 for none.
	frame int64
	// beyond counts the provable pages that the file has in a later copy, which are
	// older in SQLite's eyes.
	beyond int
	// unsure counts the pages of which the newest copy up to frame is damaged, so that
	// it is not known whether the file has it, and the frames up to there of which it is
	// not known whose copy they are.
	unsure int
	// unknown counts the damaged frames that may have held a page which the file has in
	// that copy and which no provable frame would put right.
	unknown int
	// copied says that the file has some of the provable pages as the log does: there was
	// a checkpoint. part says that it has not all of them.
	copied, part bool
	// mixed counts the pages that the file has as a frame beyond the last provable
	// commit has them, while no provable frame would put them right.
	mixed int
}

// complete reports whether SQLite's view of the database is all that was ever
// committed, though it ignores what lies beyond the damage: the file has it.
func (s standing) complete(w *walWalk) bool {
	if s.frame == 0 || s.unsure > 0 || s.beyond > 0 {
		return false
	}
	for _, f := range w.beyond {
		if f.commit > 0 && f.n > s.frame {
			return false
		}
	}
	return true
}

// stand compares the file at main, of the given size in bytes, with its log.
func stand(ctx context.Context, main io.ReaderAt, size int64, log io.ReaderAt, w *walWalk) (standing, error) {
	if w.untracked {
		return standing{}, nil
	}
	c := &comparing{main: main, log: log, size: size, walk: w, a: make([]byte, w.pageSize), b: make([]byte, w.pageSize),
		pages: map[uint32]*comparedPage{}, wrong: map[uint32]bool{}, unsure: map[uint32]bool{}}
	if err := c.provable(ctx); err != nil {
		return standing{}, fmt.Errorf("compare log and database: %w", err)
	}
	if err := c.after(ctx); err != nil {
		return standing{}, fmt.Errorf("compare log and database: %w", err)
	}
	return c.follow(), nil
}

// comparing looks for the standing of a database file in its log.
type comparing struct {
	main, log io.ReaderAt
	size      int64 // bytes of main
	walk      *walWalk
	a, b      []byte // one page each

	pages  map[uint32]*comparedPage
	frames []comparedFrame // those beyond the last provable commit
	// wrong has the pages that the file has otherwise than the frames so far say, unsure
	// those of which the last frame so far is damaged.
	wrong, unsure map[uint32]bool
	// early counts the pages that the file has as a frame says which is yet to come.
	early int
}

// comparedPage is a page that the log has copies of.
type comparedPage struct {
	provable bool // a provable frame has it
	behind   bool // the file has it otherwise than the newest provable frame
	reached  bool // some frame so far has it
	later    bool // the file has it as some frame beyond the provable ones
}

type comparedFrame struct {
	logFrame
	same bool // the file has the page as this frame does, or did before it was damaged
	// vague: the frame is damaged, and its page's number may be what is wrong.
	vague bool
}

// provable compares the newest provable copy of each page.
func (c *comparing) provable(ctx context.Context) error {
	newest := map[uint32]int64{}
	for i, pgno := range c.walk.committed {
		newest[pgno] = int64(i) + 1
	}
	for pgno, n := range newest {
		same, err := c.equal(ctx, pgno, n)
		if err != nil {
			return err
		}
		c.pages[pgno] = &comparedPage{provable: true, reached: true, behind: !same}
		if !same {
			c.wrong[pgno] = true
		}
	}
	return nil
}

// after compares every frame beyond the provable ones.
func (c *comparing) after(ctx context.Context) error {
	for i, pgno := range c.walk.pending {
		c.frames = append(c.frames, comparedFrame{logFrame: logFrame{n: c.walk.commitFrame + int64(i) + 1, pgno: pgno, known: true}})
	}
	for _, f := range c.walk.beyond {
		c.frames = append(c.frames, comparedFrame{logFrame: f})
	}
	for i := range c.frames {
		f := &c.frames[i]
		page := c.pages[f.pgno]
		if page == nil {
			page = &comparedPage{}
			c.pages[f.pgno] = page
		}
		var err error
		if f.same, err = c.equal(ctx, f.pgno, f.n); err == nil && !f.known && !f.same {
			f.same, err = c.fits(f.pgno, f.n)
		}
		if err == nil && !f.known && !f.same {
			followed := i+1 < len(c.frames) && c.frames[i+1].known && c.frames[i+1].n == f.n+1
			f.vague = !followed
			if followed {
				f.vague, err = c.misnumbered(f.n)
			}
		}
		if err != nil {
			return err
		}
		page.later = page.later || f.same
	}
	for _, p := range c.pages {
		if p.later && !p.reached {
			c.early++
		}
	}
	return nil
}

// follow goes through the frames beyond the provable ones and finds the last end of
// a transaction that the file agrees with.
func (c *comparing) follow() standing {
	s := standing{mixed: c.early}
	ahead, level := 0, 0
	for _, p := range c.pages {
		switch {
		case p.behind && p.later:
			s.beyond++
		case p.behind:
			ahead++
		case p.provable:
			level++
		}
	}
	s.copied, s.part = level > 0, level > 0 && ahead+s.beyond > 0
	for _, f := range c.frames {
		if p := c.pages[f.pgno]; f.vague || !f.known && !f.same && !p.provable && !p.later {
			s.unknown++
		}
	}
	vague := 0
	for i, f := range c.frames {
		if f.vague {
			vague++
		}
		page := c.pages[f.pgno]
		if !page.reached {
			page.reached = true
			if page.later {
				c.early--
			}
		}
		delete(c.wrong, f.pgno)
		delete(c.unsure, f.pgno)
		switch {
		case f.same:
		case f.known:
			c.wrong[f.pgno] = true
		default:
			c.unsure[f.pgno] = true
		}
		if end := i == len(c.frames)-1; (f.commit > 0 || end) && c.early == 0 && c.agrees(f.commit) {
			s.frame, s.unsure = f.n, len(c.unsure)+vague
		}
	}
	return s
}

// agrees reports whether all pages are right, but for those beyond the end of a
// database of so many pages; 0 is not known.
func (c *comparing) agrees(pages uint32) bool {
	const most = 1000 // more than that are no leftovers of a database that shrank
	if len(c.wrong) > most {
		return false
	}
	for pgno := range c.wrong {
		if pages == 0 || pgno <= pages {
			return false
		}
	}
	return true
}

// equal reports whether the file has page pgno as frame n of the log has it.
func (c *comparing) equal(ctx context.Context, pgno uint32, n int64) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	ps := int64(c.walk.pageSize)
	at := (int64(pgno) - 1) * ps
	if pgno == 0 || at+ps > c.size {
		return false, nil
	}
	if err := readAt(c.main, c.a, at); err != nil {
		return false, err
	}
	if err := readAt(c.log, c.b, c.walk.pageAt(n)); err != nil {
		return false, err
	}
	return bytes.Equal(c.a, c.b), nil
}

// fits reports whether the page that equal has just read from the file is what the
// damaged frame n held: put in its place it gives the checksum that the frame states.
func (c *comparing) fits(pgno uint32, n int64) (bool, error) {
	ps := int64(c.walk.pageSize)
	if pgno == 0 || int64(pgno)*ps > c.size {
		return false, nil
	}
	var head [walFrameSize]byte
	var sum walSum
	if err := c.before(n, &sum); err != nil {
		return false, err
	}
	if err := readAt(c.log, head[:], c.walk.pageAt(n)-walFrameSize); err != nil {
		return false, err
	}
	sum.add(head[:8])
	sum.add(c.a)
	return sum.equals(head[16:]), nil
}

// misnumbered reports whether one other bit in the page's number, or the commit mark,
// of frame n gives the checksum that the frame states: its page is then another one.
func (c *comparing) misnumbered(n int64) (bool, error) {
	frame := make([]byte, walFrameSize+c.walk.pageSize)
	at := c.walk.pageAt(n) - walFrameSize
	if err := readAt(c.log, frame, at); err != nil {
		return false, err
	}
	var start walSum
	if err := c.before(n, &start); err != nil {
		return false, err
	}
	for bit := range 64 {
		sum := start
		frame[bit/8] ^= 1 << (bit % 8)
		fits := sum.follows(frame)
		frame[bit/8] ^= 1 << (bit % 8)
		if fits {
			return true, nil
		}
	}
	return false, nil
}

// before sets sum to the checksum that frame n follows.
func (c *comparing) before(n int64, sum *walSum) error {
	var stored [8]byte
	from := int64(walHeaderSize - len(stored))
	if n > 1 {
		from = c.walk.pageAt(n-1) - int64(len(stored))
	}
	if err := readAt(c.log, stored[:], from); err != nil {
		return err
	}
	sum.big = c.walk.header[3]&1 == 1 // the magic's lowest bit
	sum.set(stored[:])
	return nil
}

// pageAt returns where the page of frame n, counted from 1, lies in the log.
func (w *walWalk) pageAt(n int64) int64 {
	return walHeaderSize + (n-1)*int64(walFrameSize+w.pageSize) + walFrameSize
}
