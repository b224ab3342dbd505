package changes

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/seekable"
)

const (
	openName = "open.chg"
	fileMode = 0o600
)

// Log is the change log of one timeline, in a directory of its own. One process at a time
// writes to it; its methods are for one goroutine at a time.
type Log struct {
	dir    string
	head   Head
	seed   archive.Seed
	sealed []Sealed // in order

	// Of the open segment; file is nil while there is none.
	file *os.File
	open *segment
	list []captured
	end  int64 // of the last whole capture, and of the file

	last Capture // of the sealed segments, once it was asked for

	closed bool
	cut    int64 // bytes of an unfinished capture that Open cut off

	enc *seekable.Encoder
	dec decoders
}

// Open opens the log in dir, which is made where it is missing, and cuts off what a crash left
// unfinished. A head of another page size or seed than the log's is an error, and so is another base;
// without one it is the log's.
func Open(dir string, head Head) (_ *Log, err error) {
	head.Version = formatVersion
	if err := head.check(); err != nil {
		return nil, fmt.Errorf("open the change log: %w", err)
	}
	if err := durable.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open the change log: %w", err)
	}
	l := &Log{dir: dir, head: head}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("open the change log in %s: %w", dir, err), l.Close())
		}
	}()
	if l.seed, err = head.seed(); err != nil {
		return nil, err
	}
	if l.enc, err = seekable.NewEncoder(seekable.Fastest, partBytes); err != nil {
		return nil, err
	}
	if l.dec, err = newDecoders(); err != nil {
		return nil, err
	}
	if _, err := durable.Sweep(dir); err != nil {
		return nil, err
	}
	if l.sealed, err = sealedIn(dir); err != nil {
		return nil, err
	}
	if err := l.dropContained(); err != nil {
		return nil, err
	}
	if n := len(l.sealed); n > 0 {
		if err := l.with(l.sealed[n-1], func(s *segment) error { return l.follow(s) }); err != nil {
			return nil, err
		}
	}
	return l, l.recover()
}

// follow takes the log's base from a segment where none was named, and proves that it is of this log.
func (l *Log) follow(s *segment) error {
	if l.head.Base == "" {
		l.head.Base = s.head.Base
	}
	if s.head != l.head {
		return fmt.Errorf("%s: it is of another database, page size or base", s.name)
	}
	return nil
}

// Head is what all captures of the log have in common.
func (l *Log) Head() Head { return l.head }

// dropContained removes segments whose captures a wider one has, which is durable: see Thin.
func (l *Log) dropContained() error {
	var last uint64
	kept := l.sealed[:0]
	for _, s := range l.sealed {
		switch {
		case s.Last <= last:
			if err := l.with(kept[len(kept)-1], (*segment).whole); err != nil {
				return err
			}
			if err := durable.Remove(l.path(s)); err != nil {
				return err
			}
			continue
		case s.First <= last:
			return fmt.Errorf("%w: %s overlaps the segment before it", ErrDamaged, s.Name)
		}
		kept, last = append(kept, s), s.Last
	}
	l.sealed = kept
	return nil
}

// recover opens the open segment where there is one.
func (l *Log) recover() error {
	f, err := openFile(filepath.Join(l.dir, openName), os.O_RDWR)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	l.file = f
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	s, err := openSegment(openName, f, fi.Size())
	if err != nil {
		return err
	}
	if err := l.follow(s); err != nil {
		return err
	}
	list, end, err := s.finished(l.dec.frames)
	if err != nil {
		return err
	}
	l.open, l.list, l.end = s, l.superseded(list), end
	l.cut = fi.Size() - end
	if l.cut == 0 && len(l.list) > 0 {
		return nil
	}
	return l.cutBack()
}

// superseded leaves nothing of an open segment that was sealed: a crash came between its new name
// and the removal of the old one.
func (l *Log) superseded(list []captured) []captured {
	if n := len(l.sealed); n > 0 && len(list) > 0 && list[len(list)-1].Seq <= l.sealed[n-1].Last {
		return nil
	}
	return list
}

// discardOpen removes the open segment.
func (l *Log) discardOpen() error {
	err := l.file.Close()
	l.file, l.open, l.list, l.end = nil, nil, nil, 0
	return errors.Join(err, durable.Remove(filepath.Join(l.dir, openName)))
}

// Last is the newest capture; ok is false while there is none.
func (l *Log) Last() (c Capture, ok bool, err error) {
	if len(l.list) > 0 {
		return l.list[len(l.list)-1].Capture, true, nil
	}
	if len(l.sealed) == 0 || l.last.Seq > 0 {
		return l.last, l.last.Seq > 0, nil
	}
	err = l.with(l.sealed[len(l.sealed)-1], func(s *segment) error {
		list, _, err := s.captures()
		if err == nil && len(list) > 0 {
			l.last, ok = list[len(list)-1].Capture, true
		}
		return err
	})
	return l.last, ok, err
}

// Append adds a capture, whose pages are the given ones, in ascending order; read reads the
// content of one. It is on the disk when Append returns, whole. After an error the log is as it was before.
func (l *Log) Append(ctx context.Context, c Capture, pages []uint32, read func(pgno uint32, page []byte) error) (err error) {
	if err := c.check(); err != nil {
		return fmt.Errorf("append to the change log: %w", err)
	}
	last, ok, err := l.Last()
	if err != nil {
		return fmt.Errorf("append to the change log: %w", err)
	}
	if ok && c.Seq <= last.Seq {
		return fmt.Errorf("append to the change log: capture %d after capture %d", c.Seq, last.Seq)
	}
	if err := l.begin(); err != nil {
		return fmt.Errorf("append to the change log: %w", err)
	}
	w := &partWriter{w: l.file, at: l.end, head: l.head, seed: l.seed, enc: l.enc}
	if err = w.capture(ctx, c, pages, read); err == nil {
		err = durable.Sync(l.file)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("append to the change log: %w", err), l.cutBack())
	}
	l.list = append(l.list, captured{c, l.end, w.at})
	l.end, l.open.size = w.at, w.at
	return nil
}

// cutBack takes back what was not appended. Where that fails nothing is appended any more, and
// the next Open cuts it off.
func (l *Log) cutBack() error {
	if len(l.list) == 0 {
		return l.discardOpen()
	}
	l.open.size = l.end
	err := errors.Join(l.file.Truncate(l.end), durable.Sync(l.file))
	l.closed = err != nil
	return err
}

// begin makes the open segment where there is none.
func (l *Log) begin() error {
	if l.closed {
		return errors.New("the log is closed")
	}
	if l.file != nil {
		return l.there()
	}
	head, err := appendDocument(nil, magicHead, 0, l.head, nil)
	if err != nil {
		return err
	}
	path := filepath.Join(l.dir, openName)
	f, err := durable.Create(path, fileMode)
	if err != nil {
		return err
	}
	if _, err = f.Write(head); err == nil {
		err = f.CommitNew() // one that is there is another process's
	}
	if err := errors.Join(err, f.Discard()); err != nil {
		return err
	}
	if l.file, err = openFile(path, os.O_RDWR); err != nil {
		return err
	}
	l.open = &segment{name: openName, r: l.file, size: int64(len(head)), head: l.head, seed: l.seed, start: int64(len(head))}
	l.end = l.open.start
	return nil
}

// ErrAway: the open segment is not in the log's directory any more. That was moved away, or another
// is in its place. Where it is back, or after another Open, the log goes on.
var ErrAway = errors.New("the change log is no longer where it was")

// there returns ErrAway where the open segment's name is not that file's.
func (l *Log) there() error {
	ours, err := l.file.Stat()
	if err != nil {
		return err
	}
	now, err := os.Lstat(filepath.Join(l.dir, openName))
	if errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(ours, now) {
		return fmt.Errorf("%w: %s", ErrAway, l.dir)
	}
	return err
}

// Cut is how many bytes of an unfinished capture Open cut off.
func (l *Log) Cut() int64 { return l.cut }

// OpenBytes is the size of the open segment, and since when it has been written: what
// decides when it is sealed. Zero where there is none.
func (l *Log) OpenBytes() (bytes int64, since time.Time) {
	if len(l.list) == 0 {
		return 0, time.Time{}
	}
	return l.end, l.list[0].At
}

// Seal proves every byte of the open segment, and ends it. Without captures it does nothing.
func (l *Log) Seal() (err error) {
	if len(l.list) == 0 {
		return nil
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("seal the change log: %w", err)
		}
	}()
	if err := l.there(); err != nil {
		return err
	}
	if _, err := l.open.prove(context.Background(), l.dec.frames, l.open.start); err != nil {
		return err
	}
	tail, err := l.open.appendEnd(l.list, l.end)
	if err != nil {
		return err
	}
	last := l.list[len(l.list)-1]
	s := Sealed{First: l.list[0].Seq, Last: last.Seq, At: last.At.UTC().Truncate(time.Second)}
	s.Name = sealedName(s.First, s.Last, s.At)
	if _, err = l.file.WriteAt(tail, l.end); err == nil {
		err = durable.Sync(l.file)
	}
	if err != nil {
		return errors.Join(err, l.cutBack())
	}
	err = l.file.Close() // Windows renames no open file
	l.file, l.open, l.list, l.end = nil, nil, nil, 0
	if err == nil {
		err = durable.RenameNew(filepath.Join(l.dir, openName), l.path(s))
	}
	if err != nil { // it may have its new name all the same
		sealed, errList := sealedIn(l.dir)
		if errList != nil {
			l.closed = true
			return errors.Join(err, errList)
		}
		l.sealed, l.last = sealed, Capture{}
		return errors.Join(err, l.recover()) // without the seal
	}
	l.sealed, l.last = append(l.sealed, s), last.Capture
	return nil
}

// with opens a sealed segment.
func (l *Log) with(s Sealed, fn func(*segment) error) error {
	f, err := openFile(l.path(s), os.O_RDONLY)
	if err != nil {
		return fmt.Errorf("read the change log: %w", err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return fmt.Errorf("read the change log: %w", err)
	}
	segment, err := openSegment(s.Name, f, fi.Size())
	if err != nil {
		return err
	}
	segment.last = s.Last
	return fn(segment)
}

// Close closes the open segment's file; nothing can be appended any more. Nothing is lost by not
// calling it.
func (l *Log) Close() error {
	l.closed = true
	l.dec.close()
	if l.file == nil {
		return nil
	}
	err := l.file.Close()
	l.file = nil
	return err
}
