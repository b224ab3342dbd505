package walfollow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"

	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/sqlitefile"
)

// Position is where a look found the log: a frame and its generation.
type Position = sqlitefile.WALIndex

// A MissedError says why the commits between two positions cannot be read from the log.
type MissedError struct {
	Reason string
	// Behind: the log is not what the first position saw and more. Commits that were seen
	// are gone, as after a loss of power with synchronous=NORMAL: another history began.
	Behind bool
}

func (e *MissedError) Error() string { return "the log does not have every commit: " + e.Reason }

func missed(format string, args ...any) error {
	return &MissedError{Reason: fmt.Sprintf(format, args...)}
}

func behind(format string, args ...any) error {
	return &MissedError{Reason: fmt.Sprintf(format, args...), Behind: true}
}

// Changes are the pages that commits wrote.
type Changes struct {
	Commits int64
	Size    uint32 // pages of the database after the last commit
	// Least is the smallest size after any commit, or before them. A page beyond it that is
	// not in Pages was never written since the database was that small: SQLite leaves out
	// pages of the freelist. What it reads as only SQLite knows.
	Least uint32
	// Pages has the newest content of each page that was written and is within Size.
	Pages map[uint32]Place

	pageSize int
	seed     archive.Seed
}

// Place is where in the log a page's content is, and its digest.
type Place struct {
	At     int64
	Digest archive.Digest
}

// Look is one look at a log, and what to compare it with.
type Look struct {
	Log      sqlitefile.LogFile
	From, To Position
	// Unbroken: a process has had the index open since From, so that its count of commits
	// goes on.
	Unbroken bool
	Seed     archive.Seed // of the page digests
}

// Follow returns what was committed between the positions of the look. The transaction that
// To is of must still be open. A *MissedError is no error of the log or of reading it; others
// are an error of reading, or the context's.
func Follow(ctx context.Context, l Look) (*Changes, error) {
	if l.From.PageSize != l.To.PageSize {
		return nil, missed("the page size changed from %d to %d", l.From.PageSize, l.To.PageSize)
	}
	f := &follower{Look: l, changes: &Changes{
		Size: l.From.Pages, Least: l.From.Pages, Pages: map[uint32]Place{}, pageSize: l.To.PageSize, seed: l.Seed,
	}}
	f.frames = (l.Log.Size - sqlitefile.WALHeaderSize) / f.stride()
	var err error
	if l.From.Salts == l.To.Salts {
		err = f.oneGeneration(ctx)
	} else {
		err = f.begunAgain(ctx)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = missed("the log was cut while it was read")
	}
	if err != nil {
		return nil, err
	}
	if counted := int64(l.To.Changes - l.From.Changes); l.Unbroken && counted != f.changes.Commits {
		return nil, missed("the index counted %d commits, the log has %d", counted, f.changes.Commits)
	}
	return f.changes, nil
}

// commit adds the pages of a transaction after which the database has so many pages.
func (c *Changes) commit(pages map[uint32]Place, size uint32) {
	beyond := func(pgno uint32, _ Place) bool { return pgno > size }
	maps.DeleteFunc(pages, beyond) // spilled before the transaction gave the page up
	if size < c.Size {
		maps.DeleteFunc(c.Pages, beyond)
	}
	maps.Copy(c.Pages, pages)
	c.Commits++
	c.Size, c.Least = size, min(c.Least, size)
}

// ReadPage reads the content of a page that was changed into page, and proves it: the log may
// have been written over since. Then it is a *MissedError.
func (c *Changes) ReadPage(log io.ReaderAt, pgno uint32, page []byte) error {
	place, ok := c.Pages[pgno]
	if !ok || len(page) != c.pageSize {
		return fmt.Errorf("read page %d from the log: it is not among the changes", pgno)
	}
	n, err := log.ReadAt(page, place.At)
	if n < len(page) {
		if err == nil || err == io.EOF {
			return missed("the log was cut before page %d was read", pgno)
		}
		return fmt.Errorf("read page %d from the log: %w", pgno, err)
	}
	if archive.PageDigest(c.seed, int64(pgno), page) != place.Digest {
		return missed("page %d was written over in the log before it was read", pgno)
	}
	return nil
}

type follower struct {
	Look
	frames  int64 // that the file has room for
	changes *Changes
}

func (f *follower) stride() int64 { return int64(sqlitefile.FrameHeaderSize + f.To.PageSize) }

// oneGeneration is for a log that only went on.
func (f *follower) oneGeneration(ctx context.Context) error {
	if f.To.LastFrame < f.From.LastFrame {
		return behind("it ends at frame %d, and ended at %d", f.To.LastFrame, f.From.LastFrame)
	}
	if f.To.LastFrame > f.frames {
		return missed("the index ends at frame %d, the file at %d", f.To.LastFrame, f.frames)
	}
	if f.From.LastFrame == 0 {
		return f.fromBeginning(ctx)
	}
	if again, err := f.has(f.From); err != nil {
		return err
	} else if !again {
		return behind("frame %d is another one now", f.From.LastFrame)
	}
	return f.prove(ctx, f.From)
}

// begunAgain is for a log that was begun again once since From, if it was.
func (f *follower) begunAgain(ctx context.Context) error {
	if !f.From.FollowedBy(f.To.Salts) {
		return missed("it was begun again more than once, or deleted")
	}
	if f.To.LastFrame > f.frames {
		return missed("the index ends at frame %d, the file at %d", f.To.LastFrame, f.frames)
	}
	whole, err := f.oldTail(ctx)
	if err != nil {
		return err
	}
	if !whole && !f.Unbroken { // else Follow compares the count
		return missed("what it had before it was begun again was overwritten or cut")
	}
	return f.fromBeginning(ctx)
}

// oldTail follows what the generation of From had after it; whole is false where some of that
// may have been overwritten or cut.
func (f *follower) oldTail(ctx context.Context) (whole bool, err error) {
	if f.From.LastFrame == 0 {
		return false, nil
	}
	there, err := f.tailThere()
	if err != nil || !there {
		return false, err
	}
	if _, err := f.chain(ctx, f.From, f.frames); err != nil {
		return false, err
	}
	// A writer that overtook the reading has written over its first frame, too.
	return f.tailThere()
}

// tailThere reports whether the new generation has written over nothing that comes after From.
func (f *follower) tailThere() (bool, error) {
	if f.From.LastFrame >= f.frames { // cut, or it ended just there: journal_size_limit leaves no trace
		return false, nil
	}
	if there, err := f.has(f.From); err != nil || !there {
		return false, err
	}
	next, err := f.frameHeader(f.From.LastFrame + 1)
	return err == nil && next.Salts() != f.To.Salts, err
}

// fromBeginning follows the present generation from its first frame.
func (f *follower) fromBeginning(ctx context.Context) error {
	if f.To.LastFrame == 0 {
		return nil // begun again in the index; the next commit writes the header
	}
	start, err := f.beginning()
	if err != nil {
		return err
	}
	return f.prove(ctx, start)
}

// prove follows the present generation from p, and proves that this leads to To.
func (f *follower) prove(ctx context.Context, p Position) error {
	end, err := f.chain(ctx, p, f.To.LastFrame)
	if err != nil {
		return err
	}
	if end.LastFrame != f.To.LastFrame || end.Sum != f.To.Sum {
		return missed("its checksums prove frames up to %d of %d", end.LastFrame, f.To.LastFrame)
	}
	return nil
}

// has reports whether the frame that p ends with is still the one that p saw.
func (f *follower) has(p Position) (bool, error) {
	if p.LastFrame > f.frames {
		return false, nil
	}
	h, err := f.frameHeader(p.LastFrame)
	if err != nil {
		return false, err
	}
	return h.Salts() == p.Salts && [8]byte(h.Sum()) == p.Sum, nil
}

// beginning is the position before the first frame of the present generation.
func (f *follower) beginning() (p Position, err error) {
	var h sqlitefile.WALHeader
	if n, err := f.Log.R.ReadAt(h[:], 0); n < len(h) {
		return p, fmt.Errorf("read log header: %w", orCut(err))
	}
	if !h.Valid() || h.Salts() != f.To.Salts || h.PageSize() != f.To.PageSize {
		return p, missed("its header is not the one that the index knows")
	}
	sum := h.Sum()
	p = Position{Salts: f.To.Salts, PageSize: f.To.PageSize, BigEndian: sum.BigEndian, Sum: sum.Bytes()}
	return p, nil
}

func (f *follower) frameHeader(n int64) (sqlitefile.Frame, error) {
	h := make(sqlitefile.Frame, sqlitefile.FrameHeaderSize)
	if k, err := f.Log.R.ReadAt(h, sqlitefile.WALHeaderSize+(n-1)*f.stride()); k < len(h) {
		return nil, fmt.Errorf("read log frame %d: %w", n, orCut(err))
	}
	return h, nil
}

func orCut(err error) error {
	if err == nil || err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

var errBroken = errors.New("the chain ends")

// chain follows the frames after p, up to last, for as long as they are of its generation and
// their checksums continue its own, and adds what they committed to the changes. It
// returns the position after the last commit.
func (f *follower) chain(ctx context.Context, p Position, last int64) (Position, error) {
	sum := sqlitefile.WALSum{BigEndian: p.BigEndian}
	sum.Set(p.Sum[:])
	pending := map[uint32]Place{}
	err := sqlitefile.EachFrame(ctx, f.Log, p.PageSize, p.LastFrame+1, last, func(n int64, frame sqlitefile.Frame) error {
		pgno := frame.Page()
		if frame.Salts() != p.Salts || pgno == 0 || !sum.AddFrame(frame) {
			return errBroken
		}
		pending[pgno] = Place{
			At:     sqlitefile.WALHeaderSize + (n-1)*f.stride() + sqlitefile.FrameHeaderSize,
			Digest: archive.PageDigest(f.Seed, int64(pgno), frame.Content()),
		}
		if size := frame.Commit(); size != 0 {
			f.changes.commit(pending, size)
			clear(pending)
			p.LastFrame, p.Pages, p.Sum = n, size, [8]byte(frame.Sum())
		}
		return nil
	})
	if err == errBroken {
		err = nil
	}
	return p, err
}
