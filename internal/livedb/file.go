package livedb

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
)

// ID is a file's identity on this machine: device and inode number on Unix,
// volume serial number and file index on Windows.
type ID struct{ Dev, Ino uint64 }

// File reads a database file. ReadAt may be called concurrently.
type File struct {
	d     *descriptor
	close sync.Once
}

// descriptor is an open file of ours. Its fields are guarded by held's mutex.
type descriptor struct {
	*os.File
	id   ID
	use  use
	keep bool // may not be closed while its file can still be opened
	refs int  // users of it
}

// use is what a descriptor serves; descriptors are shared only within one use.
type use int

const (
	reading  use = iota
	locking      // LockExclusive's: one user at a time
	indexing     // of a -shm
)

// held has every descriptor of a database file or a -shm that this package has open.
var held struct {
	sync.Mutex
	all []*descriptor
}

// Open opens the database file at path for reading. Only regular files are
// opened (ErrNotRegular); a missing one is ErrMissing.
func Open(path string) (*File, error) {
	real, err := Resolve(path)
	if err != nil {
		return nil, missing(err)
	}
	d, err := acquire(real, os.O_RDONLY, reading)
	if err != nil {
		return nil, missing(err)
	}
	return &File{d: d}, nil
}

// acquire returns a descriptor of the file at the resolved path real: a kept one
// that fits, or a new one.
func acquire(real string, flag int, why use) (*descriptor, error) {
	held.Lock()
	defer held.Unlock()
	dropDeleted()
	fi, err := regular(real)
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	id, err := idOf(real, fi)
	if err != nil {
		return nil, err
	}
	for _, d := range held.all {
		if d.keep && d.id == id && d.use == why && (why != locking || d.refs == 0) {
			d.refs++
			return d, nil
		}
	}
	f, err := os.OpenFile(real, flag|openPlain, 0)
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	d := &descriptor{File: f, id: id, use: why, keep: mustKeep(why), refs: 1}
	held.all = append(held.all, d)
	if fi, err = f.Stat(); err == nil { // the path may have got another file since
		d.id, err = idOf(real, fi)
	}
	if err == nil && !fi.Mode().IsRegular() {
		d.keep = false // no lock of SQLite's is on such a thing
		err = notRegular(real)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open: %w", err), d.release())
	}
	return d, nil
}

// mustKeep reports whether closing a descriptor would drop SQLite's locks.
func mustKeep(why use) bool {
	if why == indexing {
		return !locksPerHandle // OFD locking leaves the locks on a -shm as they are
	}
	return !closeIsHarmless()
}

// release gives up one use of d and closes it where that is harmless; held is locked.
func (d *descriptor) release() error {
	d.refs--
	if d.keep || d.refs > 0 {
		return nil
	}
	held.all = slices.DeleteFunc(held.all, func(x *descriptor) bool { return x == d })
	return d.File.Close()
}

// dropDeleted closes kept descriptors of deleted files that nothing else in this
// process has open; held is locked. Such a file cannot be opened again, so no
// lock can appear between the look and the close.
func dropDeleted() {
	held.all = slices.DeleteFunc(held.all, func(d *descriptor) bool {
		if !d.keep || d.refs > 0 || !deleted(d.File) {
			return false
		}
		if others, known := otherDescriptors(d.id); !known || others > 0 {
			return false
		}
		d.File.Close() // nothing was written through it
		return true
	})
}

// isOurs reports whether descriptor number fd of this process is one of held; held is locked.
func isOurs(fd uintptr) bool {
	return slices.ContainsFunc(held.all, func(d *descriptor) bool { return d.Fd() == fd })
}

// ReadAt reads as io.ReaderAt says.
func (f *File) ReadAt(p []byte, off int64) (int, error) { return f.d.ReadAt(p, off) }

// Descriptor is what the file says of itself may be asked of. It must not be closed.
func (f *File) Descriptor() *os.File { return f.d.File }

// ID returns the identity of the open file, even if its path names another by now.
func (f *File) ID() ID { return f.d.id }

// Size returns the file's present size in bytes.
func (f *File) Size() (int64, error) {
	fi, err := f.d.Stat()
	if err != nil {
		return 0, fmt.Errorf("size: %w", err)
	}
	return fi.Size(), nil
}

// Close ends the use of f. It closes the descriptor only where that is harmless
// (see the package documentation). It may be called twice; no ReadAt may run then.
func (f *File) Close() error {
	var err error
	f.close.Do(func() {
		held.Lock()
		defer held.Unlock()
		err = f.d.release()
	})
	return err
}
