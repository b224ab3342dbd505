package integrity

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"example.com/snapd/internal/livedb"
)

// files is a database as bytes: the main file and its log.
type files struct {
	main    io.ReaderAt
	size    int64 // bytes of main
	wal     io.ReaderAt
	walSize int64 // bytes of wal; 0 when there is none
	// index was read before the log was, so that it cannot be ahead of what is seen
	// of a sound one; nil for none.
	index *walIndex
}

// lockBytePage is the page at 1 GiB that SQLite never uses nor writes
// (SQLite file format §1.4).
func lockBytePage(pageSize int) int64 { return 1<<30/int64(pageSize) + 1 }

// judge is the header level: the header of the image, its size against the files
// and the log's checksums.
func (f *files) judge(ctx context.Context, t *results) error {
	if f.size == 0 {
		t.verdict = Empty
		if f.walSize > 0 {
			t.add(CodeWALStray, "a log of %d bytes lies beside the empty database: SQLite deletes it when it opens the database", f.walSize)
		}
		return nil
	}
	var main header
	n := min(f.size, headerSize)
	if err := readAt(f.main, main.raw[:n], 0); err != nil {
		return fmt.Errorf("read header: %w", err)
	}
	walk := &walWalk{}
	if f.walSize > 0 {
		var err error
		if walk, err = walkWAL(ctx, f.wal, f.walSize, main.pageSize()); err != nil {
			return err
		}
	}
	image := main
	if walk.page1 != 0 {
		if err := readAt(f.wal, image.raw[:], walk.page1); err != nil {
			return fmt.Errorf("read page 1 in wal: %w", err)
		}
	} else if f.size < headerSize && strings.HasPrefix(magic, string(main.raw[:min(n, 16)])) {
		t.add(CodeTruncated, "the file has %d bytes: not even its header is complete", f.size)
		return nil
	}
	if !image.magic() {
		t.verdict = NotADatabase
		t.add(CodeHeaderMagic, "the file begins with %s, not as an SQLite database does", looksLike(image.raw[:n]))
		return nil
	}
	pages := f.judgeSize(t, &image, walk)
	image.judge(t, pages)
	if err := f.judgePage1(t, &image, walk); err != nil {
		return err
	}
	return f.judgeWAL(ctx, t, &main, &image, walk)
}

// judgeSize applies the size rule and returns the image's size in pages, 0 when unknown.
func (f *files) judgeSize(t *results, image *header, walk *walWalk) int64 {
	ps := int64(image.pageSize())
	if ps == 0 {
		return 0
	}
	have := f.size / ps
	count, valid := image.pageCount()
	pages := int64(count)
	switch {
	case walk.commitFrame > 0:
		pages = int64(walk.pages)
	case !valid:
		pages = have
	}
	if missing := missingPages(have, pages, lockBytePage(int(ps)), walk); missing > 0 || pages == 0 {
		t.add(CodeTruncated, "the database has %d pages of %d bytes, and %d of them are missing: the file ends after %d bytes", max(pages, 1), ps, max(missing, 1), f.size)
		return pages
	}
	if walk.commitFrame > 0 {
		return pages
	}
	if have > pages {
		t.add(CodeTrailingPages, "the file has %d pages, and the database uses the first %d", have, pages)
	}
	if rest := f.size % ps; rest != 0 {
		t.add(CodePartialPage, "%d bytes follow the last whole page of the file", rest)
	}
	return pages
}

// missingPages counts pages beyond the first have that are in neither file.
func missingPages(have, pages, lockByte int64, walk *walWalk) int64 {
	if pages <= have || walk.untracked {
		return 0
	}
	missing := pages - have
	if lockByte > have && lockByte <= pages {
		missing--
	}
	logged := slices.Clone(walk.committed)
	slices.Sort(logged)
	for _, p := range slices.Compact(logged) {
		if int64(p) > have && int64(p) <= pages {
			missing--
		}
	}
	return missing
}

func (f *files) judgeWAL(ctx context.Context, t *results, main, image *header, walk *walWalk) error {
	switch {
	case f.walSize == 0:
		return nil
	case !walk.valid && walk.summed() && walk.version != walVersion:
		t.add(CodeWALHeader, "the log's format version is %d: only %d is known, and SQLite will not open the database beside it", walk.version, walVersion)
	case !walk.valid && walk.lostCommits+walk.beyondLost > 0:
		same, err := f.holds(walk)
		if err != nil {
			return err
		}
		if same && walk.beyondLost == 0 {
			t.add(CodeWALIgnored, "the log's header is damaged; all it holds is in the database already")
		} else {
			t.add(CodeWALLost, "the log's header is damaged: SQLite will ignore %d committed transactions in it", walk.lostCommits+walk.beyondLost)
		}
	case !walk.valid && f.walSize < walHeaderSize:
		t.add(CodeWALTornTail, "the log has %d bytes, less than its header: SQLite ignores it", f.walSize)
	case !walk.valid:
		t.add(CodeWALIgnored, "the log's header is damaged; it holds no committed transaction")
	default:
		if err := f.judgeTail(ctx, t, walk); err != nil {
			return err
		}
	}
	if walk.commitFrame == 0 {
		return nil
	}
	for _, h := range []*header{main, image} {
		if ps := h.pageSize(); h.magic() && ps != 0 && ps != walk.pageSize {
			t.add(CodeWALPageSize, "the log's pages have %d bytes, those of the database %d: they do not belong together", walk.pageSize, ps)
		}
	}
	if !image.wal() {
		t.add(CodeWALStray, "a log with committed transactions lies beside a database that does not use one: it may belong to another database")
	}
	return nil
}

// summed reports whether the log's header names a page size and has its right
// checksum: SQLite ignores a log whose header has not, whatever else it says.
func (w *walWalk) summed() bool {
	m := binary.BigEndian.Uint32(w.header[:])
	sum := walSum{big: m&1 == 1}
	sum.add(w.header[:24])
	return m&^1 == walMagic && w.pageSize != 0 && sum.equals(w.header[24:])
}

// judgeTail judges what follows the last provable commit of a log with a good header.
func (f *files) judgeTail(ctx context.Context, t *results, walk *walWalk) error {
	state, err := f.index.tail(walk, f.wal)
	if err != nil {
		return err
	}
	// Those who use the log know how far it goes.
	var s standing
	if walk.lostCommits > 0 && len(walk.pending)+len(walk.beyond) > 0 && (f.index == nil || !f.index.inUse) {
		if s, err = stand(ctx, f.main, f.size, f.wal, walk); err != nil {
			return err
		}
	}
	switch {
	case state == tailLost && walk.lostCommits == 0:
		t.add(CodeWALLost, "the log is good up to its frame %d, and those who use the database committed up to frame %d: what they wrote since is damaged or gone", walk.commitFrame, f.index.mxFrame)
	case walk.lostCommits > 0 && s.complete(walk):
		t.add(CodeWALIgnored, "frame %d of the log is damaged; all that it held is in the database already", walk.badFrame)
	case walk.lostCommits > 0 && state == tailStale:
		t.add(CodeWALStaleTail, "what lies beyond frame %d of the log was written by a transaction that failed; its commit was never acknowledged, and SQLite ignores it", walk.badFrame-1)
	case walk.lostCommits > 0:
		hint := ""
		if s.frame > 0 && s.unsure == 0 {
			hint = "; the database file has what they wrote, and SQLite would lay older pages over it"
		}
		if state == tailUnknown && walk.badFrame == walk.commitFrame+1 {
			hint = "; or they are what a writer that failed left behind, never acknowledged: without the log's index (-shm) the two cannot be told apart"
		}
		t.add(CodeWALLost, "the checksum of frame %d of the log is wrong, and at least %d committed transactions lie beyond it: SQLite will drop them%s", walk.badFrame, walk.lostCommits, hint)
	case f.index.behind(walk):
		t.add(CodeWALBehind, "the log is good up to its frame %d, and a checkpoint has copied up to frame %d into the database: SQLite would lay older pages over newer ones", walk.commitFrame, f.index.backfilled)
		if f.index.heldBack() {
			t.add(CodeWALLost, "of what was committed up to frame %d of the log, the database has a part only, and the rest is damaged or gone", f.index.mxFrame)
		}
	case walk.tail:
		t.add(CodeWALTornTail, "the log goes on after its last commit (frame %d) with a transaction that was not finished: SQLite ignores it", walk.commitFrame)
	}
	return nil
}

// holds reports whether the main file has every page just as the log's salvaged frames have it.
func (f *files) holds(walk *walWalk) (bool, error) {
	ps := int64(walk.pageSize)
	logged, stored := make([]byte, ps), make([]byte, ps)
	for pgno, off := range walk.lost {
		if int64(pgno)*ps > f.size {
			return false, nil
		}
		if err := readAt(f.wal, logged, off); err != nil {
			return false, fmt.Errorf("read wal: %w", err)
		}
		if err := readAt(f.main, stored, (int64(pgno)-1)*ps); err != nil {
			return false, fmt.Errorf("read page %d: %w", pgno, err)
		}
		if !bytes.Equal(logged, stored) {
			return false, nil
		}
	}
	return true, nil
}

// looksLike describes foreign bytes for a person.
func looksLike(b []byte) string {
	trimmed := bytes.ToLower(bytes.TrimLeft(b, " \t\r\n\xef\xbb\xbf"))
	switch {
	case len(bytes.Trim(b, "\x00")) == 0:
		return "zero bytes"
	case bytes.HasPrefix(trimmed, []byte("<!doctype")), bytes.HasPrefix(trimmed, []byte("<html")):
		return "an HTML page"
	case bytes.HasPrefix(b, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return "zstd compressed data"
	case bytes.HasPrefix(b, []byte{0x1f, 0x8b}):
		return "gzip compressed data"
	case bytes.HasPrefix(b, []byte("PK\x03\x04")):
		return "a zip archive"
	}
	for _, c := range b {
		if c < ' ' && c != '\t' && c != '\r' && c != '\n' || c >= 0x7f {
			return "other bytes"
		}
	}
	return "text"
}

// journalPending reports whether the rollback journal of the database at path
// may belong to a transaction, one under way or one that was cut off: SQLite
// tells by the first byte (SQLite file format §3), which a finished one zeroes.
func journalPending(path string) (bool, error) {
	f, err := livedb.OpenSidecar(path + "-journal")
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("open journal: %w", err)
	}
	defer f.Close()
	var b [1]byte
	n, err := f.Read(b[:])
	if err != nil && err != io.EOF {
		return false, fmt.Errorf("read journal: %w", err)
	}
	return n == 1 && b[0] != 0, nil
}
