package activity

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"os"

	"example.com/snapd/internal/durable"
)

// Limits of Page.
const (
	DefaultPage = 100
	MaxPage     = 1000

	// maxScan bounds how many bytes of a file one call reads: more than a log has
	// that only this package wrote.
	maxScan = 4 * maxFile
)

// ErrCursor: a cursor that Page did not make, or of another log.
var ErrCursor = errors.New("invalid cursor")

// Page returns up to limit entries that are for people, the newest first, beginning after cursor; ""
// begins at the newest. next is the cursor for the following page, "" when there is
// none. Entries appended meanwhile neither repeat nor skip any other; of a log that
// was removed meanwhile, because it was the oldest, there is no more. A limit below 1
// is DefaultPage, one above MaxPage is that. Errors: ErrCursor,
// durable.ErrNotRegular, and those of reading.
func (l *Log) Page(cursor string, limit int) (page []Entry, next string, err error) {
	if limit < 1 {
		limit = DefaultPage
	}
	limit = min(limit, MaxPage)
	page = make([]Entry, 0, min(limit, DefaultPage))
	next, err = l.walk(cursor, nil, func(r Record) bool {
		if r.Quiet {
			return true
		}
		if len(page) == limit {
			return false
		}
		page = append(page, r.Entry)
		return true
	})
	if err != nil {
		return nil, "", err
	}
	return page, next, nil
}

// walk gives records to fn, the newest first, until it wants no more. next is then
// the cursor at which that record comes first. Lines without needle are passed over.
func (l *Log) walk(cursor string, needle []byte, fn func(Record) bool) (next string, err error) {
	files, err := l.files()
	if err != nil {
		return "", fmt.Errorf("activity log: %w", err)
	}
	defer func() {
		for _, f := range files {
			err = errors.Join(err, f.Close())
		}
	}()
	rest, err := resume(files, cursor)
	if err != nil {
		return "", err
	}
	for _, f := range rest {
		b := newBackward(f, f.end, max(0, f.end-maxScan))
		for {
			line, at, err := b.next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return "", fmt.Errorf("activity log: %w", err)
			}
			if !bytes.Contains(line, needle) {
				continue
			}
			if r, ok := parse(line); ok && !fn(r) {
				return f.cursor(at + int64(len(line))), nil
			}
		}
		if left := b.left(); left > 0 {
			return f.cursor(left), nil
		}
	}
	return "", nil
}

// file is the log, or the old one, as it was when it was opened.
type file struct {
	*os.File
	info       fs.FileInfo
	generation uint64
	end        int64 // offset before which is what is still to be given
}

// files opens those that there are, the newer first. Where the log was put aside
// meanwhile, the other one may be newer than it: they are opened again.
func (l *Log) files() (all []*file, err error) {
	for {
		all, err = l.openFiles()
		if err != nil || len(all) < 2 {
			return all, err
		}
		if now, err := os.Lstat(l.path(logName)); err == nil && os.SameFile(now, all[0].info) {
			return all, nil
		}
		if err := errors.Join(all[0].Close(), all[1].Close()); err != nil {
			return nil, err
		}
	}
}

func (l *Log) openFiles() (all []*file, err error) {
	for _, name := range []string{logName, oldName} {
		f, err := durable.OpenRegular(l.path(name), os.O_RDONLY, 0)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			var one *file
			if one, err = identify(f); err == nil {
				all = append(all, one)
				continue
			}
			err = errors.Join(err, f.Close())
		}
		for _, open := range all {
			err = errors.Join(err, open.Close())
		}
		return nil, err
	}
	if len(all) == 2 && os.SameFile(all[0].info, all[1].info) {
		err = all[1].Close() // the log was rotated between the two openings
		all = all[:1]
	}
	if len(all) == 2 && all[0].generation == all[1].generation { // not by us
		all[1].generation++
	}
	return all, err
}

// identify finds the generation of a log: a sum of its first line, which stays with
// it when it becomes the old one.
func identify(f *os.File) (*file, error) {
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	first := make([]byte, min(st.Size(), maxLine))
	if _, err := io.ReadFull(io.NewSectionReader(f, 0, st.Size()), first); err != nil {
		return nil, err
	}
	h := fnv.New64a()
	for _, c := range first {
		if c == '\n' {
			break
		}
		h.Write([]byte{c})
	}
	return &file{File: f, info: st, generation: h.Sum64(), end: st.Size()}, nil
}

// A cursor is the generation of a log and the offset before which the next page's
// entries are.
func (f *file) cursor(at int64) string {
	raw := binary.BigEndian.AppendUint64(nil, f.generation)
	return base64.RawURLEncoding.EncodeToString(binary.BigEndian.AppendUint64(raw, uint64(at)))
}

// resume returns the files that cursor leaves to be read.
func resume(files []*file, cursor string) ([]*file, error) {
	if cursor == "" {
		return files, nil
	}
	generation, at, err := parsePosition(cursor)
	if err != nil {
		return nil, err
	}
	for i, f := range files {
		if f.generation != generation {
			continue
		}
		if at > f.end {
			return nil, fmt.Errorf("%w: %.80q; start again without one", ErrCursor, cursor)
		}
		f.end = at
		return files[i:], nil
	}
	return nil, nil // it was the oldest, and was removed
}
