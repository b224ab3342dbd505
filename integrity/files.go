package integrity

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/sqlitefile"
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
	// untrusted has the schema's size bounded, for SQLite is to open the files.
	untrusted bool
}

// log is the write-ahead log as it is read.
func (f *files) log() sqlitefile.LogFile { return logFile(f.wal, f.walSize) }

func logFile(r io.ReaderAt, size int64) sqlitefile.LogFile {
	return sqlitefile.LogFile{R: r, Size: size, NextData: func(off int64) int64 { return livedb.NextData(r, off) }}
}

// readLog reads a log; hint is the page size to assume where its header names none.
func readLog(ctx context.Context, f sqlitefile.LogFile, hint int) (*sqlitefile.Log, error) {
	log, err := sqlitefile.ReadLog(ctx, f, hint)
	return log, shrunk(err)
}

// errShrunk says that a file became shorter while it was read.
var errShrunk = fmt.Errorf("%w: a file became shorter", livedb.ErrMoving)

// shrunk says of an unexpected end that the file became shorter: its size was known.
func shrunk(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: %w", errShrunk, err)
	}
	return err
}

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

// judge is the header level: the header of the image, its size against the files
// and the log's checksums.
func (f *files) judge(ctx context.Context, t *results) error {
	if f.size == 0 {
		t.verdict = Empty
		if f.walSize > 0 {
			t.add(CodeWALStray, "the empty database has a log of %d bytes: SQLite deletes it when it opens the database", f.walSize)
		}
		return nil
	}
	var main header
	n := min(f.size, sqlitefile.HeaderSize)
	if err := readAt(f.main, main.Header[:n], 0); err != nil {
		return fmt.Errorf("read header: %w", err)
	}
	log := &sqlitefile.Log{}
	if f.walSize > 0 {
		var err error
		if log, err = readLog(ctx, f.log(), main.PageSize()); err != nil {
			return err
		}
		if log, err = f.asSeen(ctx, log, t); err != nil {
			return err
		}
	}
	t.sample = make([]byte, min(f.size, sampleSize))
	if err := readAt(f.main, t.sample, 0); err != nil {
		return fmt.Errorf("read the beginning: %w", err)
	}
	image := main
	if log.Page1 != 0 {
		if err := readAt(f.wal, image.Header[:], log.Page1); err != nil {
			return fmt.Errorf("read page 1 in wal: %w", err)
		}
	} else if f.size < sqlitefile.HeaderSize && strings.HasPrefix(sqlitefile.Magic, string(main.Header[:min(n, 16)])) {
		t.add(CodeTruncated, "the file has %d bytes: not even its header is complete", f.size)
		return nil
	}
	if !image.HasMagic() {
		t.verdict = NotADatabase
		t.add(CodeHeaderMagic, "the file begins with %s, not as an SQLite database does", natureOf(t.sample))
		return nil
	}
	pages := f.judgeSize(t, &image, log)
	image.judge(t, pages)
	if err := f.judgePage1(t, &image, log); err != nil {
		return err
	}
	if err := f.judgeWAL(ctx, t, &main, &image, log); err != nil || t.damaged() {
		return err
	}
	if err := f.doubtLog(t, &main, &image, log); err != nil || !f.untrusted {
		return err
	}
	return f.judgeSchemaSize(t, &image, log, pages)
}

// asSeen is the log as its users see it, where their index proves more of it than its own
// frames do.
func (f *files) asSeen(ctx context.Context, log *sqlitefile.Log, t *results) (*sqlitefile.Log, error) {
	x := f.index
	if x == nil || !x.inUse || x.Salts != log.Header.Salts() || x.PageSize != log.PageSize {
		return log, nil
	}
	seen, ok, err := log.Believe(ctx, f.log(), x.LastFrame, x.Sum)
	if err != nil || !ok {
		return log, shrunk(err)
	}
	t.add(CodeWALUnproven, "frame %d of the log has the salts of another generation: a crash would lose %d of the transactions that those who use the database see; a checkpoint cures it",
		seen.Unproven, seen.Commits-log.Commits)
	return seen, nil
}

// judgeSize applies the size rule and returns the image's size in pages, 0 when unknown.
func (f *files) judgeSize(t *results, image *header, log *sqlitefile.Log) int64 {
	ps := int64(image.PageSize())
	if ps == 0 {
		return 0
	}
	have := f.size / ps
	count, valid := image.PageCount()
	pages := int64(count)
	switch {
	case log.CommitFrame > 0:
		pages = int64(log.Pages)
	case !valid:
		pages = have
	}
	if missing := missingPages(have, pages, int64(sqlitefile.LockPage(int(ps))), log); missing > 0 || pages == 0 {
		t.add(CodeTruncated, "the database has %d pages of %d bytes, and %d of them are missing: the file ends after %d bytes", max(pages, 1), ps, max(missing, 1), f.size)
		return pages
	}
	if log.CommitFrame > 0 {
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
func missingPages(have, pages, lockByte int64, log *sqlitefile.Log) int64 {
	if pages <= have || log.Untracked {
		return 0
	}
	missing := pages - have
	if lockByte > have && lockByte <= pages {
		missing--
	}
	logged := slices.Clone(log.Committed)
	slices.Sort(logged)
	for _, p := range slices.Compact(logged) {
		if int64(p) > have && int64(p) <= pages {
			missing--
		}
	}
	return missing
}

func (f *files) judgeWAL(ctx context.Context, t *results, main, image *header, log *sqlitefile.Log) error {
	switch {
	case f.walSize == 0:
		return nil
	case !log.Valid && log.Header.Intact():
		version, _ := log.Header.Version()
		t.add(CodeWALHeader, "the log's format version is %d: SQLite does not know it, and will not open the database with it", version)
	case !log.Valid && log.Lost() > 0:
		same, err := f.holds(log)
		if err != nil {
			return err
		}
		if same && log.Salvaged.Beyond == 0 {
			t.add(CodeWALIgnored, "the log's header is damaged; all it holds is in the database already")
		} else {
			t.add(CodeWALLost, "the log's header is damaged: SQLite will ignore %d committed transactions in it", log.Lost())
		}
	case !log.Valid && f.walSize < sqlitefile.WALHeaderSize:
		t.add(CodeWALTornTail, "the log has %d bytes, less than its header: SQLite ignores it", f.walSize)
	case !log.Valid:
		lost, err := f.index.holdsMore(log, f.wal)
		if err != nil {
			return err
		}
		if lost {
			t.add(CodeWALLost, "the log's header and its first frames are damaged: SQLite will ignore what was committed up to frame %d, and the database has it up to frame %d only", f.index.LastFrame, f.index.Copied)
		} else {
			t.add(CodeWALIgnored, "the log's header is damaged, and no committed transaction can be seen in it")
		}
	default:
		if err := f.judgeTail(ctx, t, log); err != nil {
			return err
		}
	}
	if log.CommitFrame == 0 {
		return nil
	}
	for _, h := range []*header{main, image} {
		if ps := h.PageSize(); h.HasMagic() && ps != 0 && ps != log.PageSize {
			t.add(CodeWALPageSize, "the log's pages have %d bytes, those of the database %d: they do not belong together", log.PageSize, ps)
		}
	}
	if !image.UsesWAL() {
		t.add(CodeWALStray, "the database uses no log, but there is one with committed transactions: it may belong to another database")
	}
	return nil
}

// judgeTail judges what follows the last provable commit of a log with a good header.
func (f *files) judgeTail(ctx context.Context, t *results, log *sqlitefile.Log) error {
	state, err := f.index.tail(log, f.wal)
	if err != nil {
		return err
	}
	var copied sqlitefile.Copied
	// Those who use the log know how far it goes.
	if log.LostCommits > 0 && (f.index == nil || !f.index.inUse) {
		if copied, err = log.Copied(ctx, f.log(), f.main, f.size); err != nil {
			return shrunk(err)
		}
	}
	switch {
	case state == tailLost && log.LostCommits == 0:
		t.add(CodeWALLost, "the log is good up to its frame %d, and those who use the database committed up to frame %d: what they wrote since is damaged or gone", log.CommitFrame, f.index.LastFrame)
	case log.LostCommits > 0 && copied.All && !copied.Older:
		t.add(CodeWALIgnored, "frame %d of the log is damaged; all that it held is in the database already", log.BadFrame)
	case log.LostCommits > 0 && state == tailStale:
		t.add(CodeWALStaleTail, "what comes after frame %d of the log was written by a transaction that failed; its commit was never acknowledged, and SQLite ignores it", log.BadFrame-1)
	case log.LostCommits > 0:
		hint := ""
		if copied.All {
			hint = "; the database file has what they wrote, and SQLite would put older pages in its place"
		}
		if state == tailUnknown && log.BadFrame == log.CommitFrame+1 {
			hint = "; or a failed writer left them behind, never acknowledged: without the log's index (-shm) the two cases look the same"
		}
		t.add(CodeWALLost, "the checksum of frame %d of the log is wrong, and at least %d committed transactions come after it: SQLite will drop them%s", log.BadFrame, log.LostCommits, hint)
	case f.index.behind(log):
		t.add(CodeWALBehind, "the log is good up to its frame %d, and a checkpoint has copied up to frame %d into the database: SQLite would put older pages in the place of newer ones", log.CommitFrame, f.index.Copied)
		if f.index.heldBack() {
			t.add(CodeWALLost, "the database has only a part of the transactions committed up to frame %d of the log; the rest is damaged or gone", f.index.LastFrame)
		}
	case log.Tail:
		t.add(CodeWALTornTail, "the log goes on after its last commit (frame %d) with a transaction that was not finished: SQLite ignores it", log.CommitFrame)
	}
	return nil
}

// holds reports whether the main file has every page just as the log's salvaged frames have it.
func (f *files) holds(log *sqlitefile.Log) (bool, error) {
	ps := int64(log.PageSize)
	logged, stored := make([]byte, ps), make([]byte, ps)
	for pgno, off := range log.Salvaged.Newest {
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

// journalPending reports whether the rollback journal of the database at path may belong
// to a transaction, one under way or one that was cut off.
func journalPending(path string) (bool, error) {
	f, err := livedb.OpenSidecar(sqlitefile.Journal(path))
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
	return n == 1 && sqlitefile.JournalPending(b[0]), nil
}
