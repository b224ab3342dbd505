package integrity

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/livefile"
	"example.com/snapd/internal/sqliteconn"
)

// CheckCopy judges a private copy that nobody else has open, with its -wal or
// -journal if it has one. SQLite may roll a journal back in it. Every error is a *CheckError.
func CheckCopy(ctx context.Context, path string, o Options) (Report, error) {
	start := time.Now()
	real, err := locate(path)
	if errors.Is(err, fs.ErrNotExist) {
		return missing(path, real, o, start), nil
	}
	if err != nil {
		return Report{}, err
	}
	t := &tally{}
	failed, err := checkPrivate(ctx, real, o.Level, t)
	if err != nil {
		return Report{}, cannotRead(path, err)
	}
	return t.report(path, o.Level, failed, start), nil
}

// checkPrivate runs all levels on a file of our own, and removes the sidecars that
// SQLite makes on the way.
func checkPrivate(ctx context.Context, path string, level Level, t *tally) (failed *Level, err error) {
	had := livefile.Sidecars(path)
	defer func() {
		for _, suffix := range []string{"-wal", "-shm"} {
			name := path + suffix
			if !slices.Contains(had, name) {
				if rerr := os.Remove(name); rerr != nil && !errors.Is(rerr, fs.ErrNotExist) {
					err = errors.Join(err, rerr)
				}
			}
		}
	}()
	if err := rollBack(ctx, path, t); err != nil {
		return nil, err
	}
	if err := rawPrivate(ctx, path, t); err != nil {
		return nil, err
	}
	if t.damaged() || level == LevelHeader {
		return failedHeader(t), nil
	}
	conn, err := begin(ctx, path, sqliteconn.Options{Hostile: true})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	s := &sqlCheck{conn: conn, t: t}
	return s.run(ctx, level)
}

// rawPrivate is the header level on a file of our own, which may be opened and closed.
func rawPrivate(ctx context.Context, path string, t *tally) error {
	main, err := os.Open(path)
	if err != nil {
		return err
	}
	defer main.Close()
	fi, err := main.Stat()
	if err != nil {
		return err
	}
	f := &files{main: main, size: fi.Size()}
	wal, err := os.Open(path + "-wal")
	if err == nil {
		defer wal.Close()
		if fi, err = wal.Stat(); err != nil {
			return err
		}
		f.wal, f.walSize = wal, fi.Size()
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return f.judge(ctx, t)
}

// rollBack lets SQLite undo the transaction that a hot journal belongs to.
func rollBack(ctx context.Context, path string, t *tally) error {
	pending, err := journalPending(path)
	if err != nil || !pending {
		return err
	}
	fi, err := os.Stat(path)
	if err != nil || fi.Size() == 0 {
		return err
	}
	roll, err := prepareJournal(path, fi.Size(), t)
	if err != nil || !roll {
		return err
	}
	conn, err := sqliteconn.Open(path, sqliteconn.Options{Hostile: true})
	if err != nil {
		return err
	}
	err = conn.Exec(ctx, "SELECT rootpage FROM sqlite_schema LIMIT 1")
	switch sqliteconn.Classify(err) {
	case sqliteconn.ClassCorrupt, sqliteconn.ClassNotADB:
		err = nil // the levels will say so
	}
	if err != nil && inexpressible(err) {
		err = nil
	}
	return errors.Join(err, conn.Close())
}

// journalHeaderSize is the length of a rollback journal's header in bytes
// without its padding (SQLite file format §3).
const journalHeaderSize = 28

var journalMagic = []byte{0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7}

// prepareJournal makes the journal of a private copy safe to roll back and
// reports whether SQLite would roll it back.
//
// A journal can name a super-journal, the file that ties the journals of several
// databases together: SQLite deletes that file after the rollback, whatever it is,
// so the name is taken out here. And its first page count makes SQLite extend the
// file: one that the bytes at hand cannot fill is damage.
func prepareJournal(path string, size int64, t *tally) (roll bool, err error) {
	f, err := os.OpenFile(path+"-journal", os.O_RDWR, 0)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	fi, err := f.Stat()
	if err != nil {
		return false, err
	}
	var h [journalHeaderSize]byte
	if _, err := io.ReadFull(f, h[:]); err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return false, err
	}
	if !bytes.HasPrefix(h[:], journalMagic) {
		t.add(CodeJournalIgnored, "the journal's header is damaged: SQLite rolls nothing back from it")
		return false, os.Remove(path + "-journal") // it could still name a super-journal
	}
	t.add(CodeJournalHot, "a transaction was cut off: its journal has %d bytes, and SQLite undoes it at the next opening; the database was checked as it is then", fi.Size())
	pages, pageSize := int64(binary.BigEndian.Uint32(h[16:])), int64(binary.BigEndian.Uint32(h[24:]))
	if pageSize >= 512 && pageSize <= 65536 && pages > (size+fi.Size())/pageSize {
		t.add(CodeTruncated, "the journal says that the database had %d pages of %d bytes: the files hold only %d bytes", pages, pageSize, size+fi.Size())
		return false, nil
	}
	super, err := superJournal(f, fi.Size())
	if err != nil || super == "" {
		return err == nil, err
	}
	if _, err := os.Lstat(super); errors.Is(err, fs.ErrNotExist) {
		// The transaction over all databases was committed: SQLite drops the journal.
		return false, os.Remove(path + "-journal")
	}
	_, err = f.WriteAt(make([]byte, len(journalMagic)), fi.Size()-int64(len(journalMagic)))
	return err == nil, err
}

// superJournal returns the name at the end of a journal, "" when there is none.
func superJournal(f io.ReaderAt, size int64) (string, error) {
	const trailer = 16 // length of the name, checksum, magic
	if size < journalHeaderSize+trailer {
		return "", nil
	}
	var b [trailer]byte
	if err := readAt(f, b[:], size-trailer); err != nil {
		return "", err
	}
	const maxName = 1 << 16
	n := int64(binary.BigEndian.Uint32(b[:]))
	if !bytes.Equal(b[8:], journalMagic) || n == 0 || n > maxName || n > size-trailer {
		return "", nil
	}
	name := make([]byte, n)
	if err := readAt(f, name, size-trailer-n); err != nil {
		return "", err
	}
	name, _, _ = bytes.Cut(name, []byte{0})
	return string(name), nil
}

// onCopy checks a private copy of the database and the sidecars that belong to
// its image. errMoving when somebody wrote while it was made.
func (l *liveCheck) onCopy(ctx context.Context, v view, t *tally) (_ *Level, err error) {
	if !v.settled() {
		return nil, errMoving
	}
	dir := l.o.scratchDir()
	if err := durable.Preflight(dir, v.main.size+v.wal.size+v.journalFile.size); err != nil {
		return nil, fmt.Errorf("private copy: %w", err)
	}
	scratch, err := durable.Scratch(dir, filepath.Base(l.path))
	if err != nil {
		return nil, fmt.Errorf("private copy: %w", err)
	}
	defer func() { err = errors.Join(err, scratch.Close()) }()
	if err := l.copyTo(ctx, v, scratch); err != nil {
		return nil, fmt.Errorf("private copy: %w", err)
	}
	if err := l.unchanged(v); err != nil {
		return nil, err
	}
	own := &tally{}
	failed, err := checkPrivate(ctx, scratch.Name(), l.o.Level, own)
	if err != nil {
		return nil, err
	}
	t.merge(*own)
	return failed, nil
}

func (l *liveCheck) copyTo(ctx context.Context, v view, scratch *durable.ScratchFile) error {
	main, err := livefile.Open(l.path)
	if err != nil {
		return err
	}
	defer main.Close()
	if err := copyN(ctx, scratch, main, v.main.size); err != nil {
		return err
	}
	for suffix, s := range map[string]stamp{"-wal": v.wal, "-journal": v.journalFile} {
		if s.size == 0 {
			continue
		}
		if err := copySidecar(ctx, l.path+suffix, scratch.Name()+suffix, s.size); err != nil {
			return err
		}
	}
	return nil
}

func copySidecar(ctx context.Context, from, to string, n int64) (err error) {
	src, err := os.Open(from)
	if errors.Is(err, fs.ErrNotExist) {
		return errMoving
	}
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dst.Close()) }()
	return copyN(ctx, dst, src, n)
}

// copyN copies the first n bytes of src.
func copyN(ctx context.Context, dst io.Writer, src io.ReaderAt, n int64) error {
	buf := make([]byte, min(n, 1<<20))
	for off := int64(0); off < n; {
		if err := ctx.Err(); err != nil {
			return err
		}
		k := min(n-off, int64(len(buf)))
		if err := readAt(src, buf[:k], off); err != nil {
			return err
		}
		if _, err := dst.Write(buf[:k]); err != nil {
			return err
		}
		off += k
	}
	return nil
}
