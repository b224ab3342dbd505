// Package imagefs shows images of databases as the files of an io/fs file system: nothing is unpacked, and
// pages are read as they are asked for.
//
//	.
//	├── ID.db           each backup
//	└── points
//	    └── 1.4711.db   each recovery point of the change log
package imagefs

import (
	"errors"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
)

// Item is an image that can be opened.
type Item struct {
	ID    string
	Point bool // in the folder of points
	Bytes int64
	At    time.Time
}

// Source has the images.
type Source interface {
	// List returns them.
	List() ([]Item, error)
	// Find returns the one with exactly that id; fs.ErrNotExist where there is none.
	Find(id string, point bool) (Item, error)
	// Open opens one.
	Open(Item) (Image, error)
}

// Image is what Source opens.
type Image interface {
	io.ReaderAt
	io.Closer
}

const (
	folder = "points"
	ext    = ".db"
)

// FS is the file system of a Source. It is an fs.ReadDirFS and an fs.StatFS.
type FS struct{ Source Source }

var (
	_ fs.ReadDirFS = FS{}
	_ fs.StatFS    = FS{}
)

// Open opens a file or a directory. A file is an io.ReaderAt and an io.Seeker.
func (f FS) Open(name string) (fs.File, error) {
	info, err := f.stat("open", name)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		entries, err := f.entries(name)
		if err != nil {
			return nil, &fs.PathError{Op: "open", Path: name, Err: err}
		}
		return &directory{info: info, path: name, left: entries}, nil
	}
	image, err := f.Source.Open(info.item)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return &file{SectionReader: io.NewSectionReader(image, 0, info.item.Bytes), info: info, image: image}, nil
}

// Stat describes a file without opening it.
func (f FS) Stat(name string) (fs.FileInfo, error) { return f.stat("stat", name) }

func (f FS) stat(op, name string) (info, error) {
	fail := func(err error) (info, error) { return info{}, &fs.PathError{Op: op, Path: name, Err: err} }
	if !fs.ValidPath(name) {
		return fail(fs.ErrInvalid)
	}
	if name == "." || name == folder {
		return info{name: path.Base(name), dir: true}, nil
	}
	dir, base := path.Split(name)
	id, isImage := strings.CutSuffix(base, ext)
	if !isImage || dir != "" && dir != folder+"/" {
		return fail(fs.ErrNotExist)
	}
	item, err := f.Source.Find(id, dir != "")
	if err != nil {
		return fail(err)
	}
	return info{name: base, item: item}, nil
}

// ReadDir lists a directory, by name.
func (f FS) ReadDir(name string) ([]fs.DirEntry, error) {
	info, err := f.stat("readdir", name)
	if err != nil {
		return nil, err
	}
	if !info.dir {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: errors.New("not a directory")}
	}
	list, err := f.entries(name)
	if err != nil {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: err}
	}
	return list, nil
}

// entries are those of the directory that name is.
func (f FS) entries(name string) (list []fs.DirEntry, err error) {
	items, err := f.Source.List()
	if err != nil {
		return nil, err
	}
	if name == "." {
		list = append(list, fs.FileInfoToDirEntry(info{name: folder, dir: true}))
	}
	for _, i := range items {
		if i.Point == (name == folder) {
			list = append(list, fs.FileInfoToDirEntry(info{name: i.ID + ext, item: i}))
		}
	}
	slices.SortFunc(list, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return list, nil
}

// info describes a file or directory.
type info struct {
	name string
	dir  bool
	item Item
}

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return i.item.Bytes }
func (i info) ModTime() time.Time { return i.item.At }
func (i info) IsDir() bool        { return i.dir }
func (i info) Sys() any           { return nil }

// Mode allows reading alone.
func (i info) Mode() fs.FileMode {
	if i.dir {
		return fs.ModeDir | 0o500
	}
	return 0o400
}

// file is an open image, with Read, ReadAt and Seek from the section reader.
type file struct {
	*io.SectionReader
	info  info
	image Image
}

func (f *file) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *file) Close() error               { return f.image.Close() }

// directory is an open directory.
type directory struct {
	info info
	path string
	left []fs.DirEntry
}

func (d *directory) Stat() (fs.FileInfo, error) { return d.info, nil }
func (d *directory) Close() error               { return nil }

func (d *directory) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.path, Err: errors.New("is a directory")}
}

// ReadDir returns the next n entries, all that are left where n is not above zero.
func (d *directory) ReadDir(n int) ([]fs.DirEntry, error) {
	if n <= 0 {
		n = len(d.left)
	} else if len(d.left) == 0 {
		return nil, io.EOF
	}
	n = min(n, len(d.left))
	list := d.left[:n]
	d.left = d.left[n:]
	return list, nil
}
