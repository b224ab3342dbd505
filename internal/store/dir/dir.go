// Package dir keeps copies in a directory: of another disk, or of a file system that is mounted from elsewhere.
//
// An object is a file. It is written under a temporary name next to its own, synced, read back through another descriptor, and
// renamed so that nothing is replaced. The directory has a marker file, made when the place was first used: a directory without
// the marker, or with another one, is not the place, such as a mount point whose disk is not there. Every call opens the directory,
// compares the marker, and works below the descriptor that it has from there on.
package dir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/store"
)

// abandoned is how old a temporary file is that no process will finish.
const abandoned = 24 * time.Hour

// Options says which place is expected.
type Options struct {
	// ID is that of the place when it was used before, "" for one that never was: then the marker is made when it is missing.
	ID string
	// ReadOnly: nothing is written there. A place without a marker is read as it is, where no ID says that it had one.
	ReadOnly bool
	// Limit is for what is written; nil for none.
	Limit *store.Limiter
}

// Dir is a directory as a store.
type Dir struct {
	path     string
	id       string
	unmarked bool // it has no marker, and is only read
	limit    *store.Limiter

	mu     sync.Mutex
	swept  map[string]bool // directories whose temporary files were looked at
	shared bool            // a taken name was once found by looking only
}

var _ store.Store = (*Dir)(nil)

// Open returns the store in the directory path, which must exist. Errors: [store.ErrGone].
func Open(ctx context.Context, path string, options Options) (*Dir, error) {
	if !filepath.IsAbs(path) {
		return nil, fmt.Errorf("open %q: the path of a directory with copies is absolute", path)
	}
	d := &Dir{path: filepath.Clean(path), id: options.ID, limit: options.Limit, swept: map[string]bool{}}
	id, err := store.Bounded(ctx, func() (string, error) {
		root, err := d.open()
		if err != nil {
			return "", err
		}
		defer root.Close()
		id, err := marker(root)
		switch {
		case !errors.Is(err, store.ErrUnmarked) || options.ID != "":
		case options.ReadOnly:
			return "", nil
		default:
			id, err = mark(root)
		}
		return id, err
	})
	if err != nil {
		return nil, d.wrap("open", "", err)
	}
	if options.ID != "" && id != options.ID {
		return nil, d.wrap("open", "", store.ErrAnotherPlace)
	}
	d.id, d.unmarked = id, id == ""
	return d, nil
}

// ID is the id of the place, for Options the next time.
func (d *Dir) ID() string { return d.id }

// String is the file URL of the directory.
func (d *Dir) String() string { return URL(d.path) }

// URL is the file URL of a directory.
func URL(path string) string {
	return (&url.URL{Scheme: "file", Path: "/" + strings.TrimPrefix(filepath.ToSlash(path), "/")}).String()
}

// Abilities implements [store.Store].
func (d *Dir) Abilities() store.Abilities {
	d.mu.Lock()
	defer d.mu.Unlock()
	a := store.Abilities{Exclusive: !d.shared, Checksum: "sha256"}
	if d.shared {
		a.Reason = "the file system can neither rename without replacing nor make hard links"
	}
	return a
}

// open opens the directory.
func (d *Dir) open() (*os.Root, error) {
	root, err := os.OpenRoot(d.path)
	if err == nil {
		return root, nil
	}
	info, errStat := os.Stat(d.path)
	if errors.Is(errStat, fs.ErrNotExist) || errors.Is(errStat, syscall.ENOTDIR) || errStat == nil && !info.IsDir() {
		err = fmt.Errorf("%w: %w: make the directory, or mount its disk", store.ErrGone, err)
	}
	return nil, err
}

// enter opens the directory if it is the place.
func (d *Dir) enter() (*os.Root, error) {
	root, err := d.open()
	if err != nil {
		return nil, err
	}
	if d.unmarked {
		return root, nil
	}
	id, err := marker(root)
	if err == nil && id != d.id {
		err = store.ErrAnotherPlace
	}
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return root, nil
}

// marker reads the id of the place.
func marker(root *os.Root) (string, error) {
	return store.ReadMarker(root.OpenFile(store.MarkerName, os.O_RDONLY|durable.OpenPlain, 0))
}

// mark makes the marker. Of two that do so at once, one id stays, and both get it.
func mark(root *os.Root) (string, error) {
	f, err := durable.CreateIn(root, store.MarkerName, 0o600)
	if err != nil {
		return "", err
	}
	_, err = f.Write([]byte(store.NewMarker()))
	if err == nil {
		_, err = f.CommitNew()
	}
	if err := errors.Join(err, f.Discard()); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	return marker(root)
}

// wrap adds the operation and the name to err, and says which of the store's errors it is.
func (d *Dir) wrap(op, name string, err error) error {
	var kind error
	switch {
	case err == nil:
		return nil
	case store.IsSource(err), errors.Is(err, errNoObject), errors.Is(err, store.ErrGone):
	case op == "put" && errors.Is(err, fs.ErrExist):
		kind = store.ErrExists
	case op != "put" && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)):
		kind = store.ErrMissing
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		kind = store.ErrDenied
	case durable.IsNoSpace(err):
		kind = store.ErrFull
	}
	where := strings.TrimSuffix(d.path+"/"+name, "/")
	if kind == nil {
		return fmt.Errorf("%s %s: %w", op, where, err)
	}
	return fmt.Errorf("%s %s: %w: %w", op, where, kind, err)
}

// errNoObject: what has the name is a directory, or something else that is not a file.
var errNoObject = fmt.Errorf("%w: what has its name is no file", store.ErrMissing)

// object returns what is known about the file.
func object(name string, info fs.FileInfo) store.Object {
	return store.Object{Name: name, Size: info.Size(), Modified: info.ModTime(), Version: version(info)}
}

// version distinguishes two files of one name: Put gives each the time of the moment, to the nanosecond where the file system has that.
func version(info fs.FileInfo) string {
	return strconv.FormatInt(info.ModTime().UnixNano(), 36) + "-" + strconv.FormatInt(info.Size(), 36)
}

// Stat implements [store.Store]. The Checksum is missing: a file has none that could be trusted more than its bytes.
func (d *Dir) Stat(ctx context.Context, name string) (store.Object, error) {
	if err := store.CheckName(name); err != nil {
		return store.Object{}, err
	}
	info, err := store.Bounded(ctx, func() (fs.FileInfo, error) {
		root, err := d.enter()
		if err != nil {
			return nil, err
		}
		defer root.Close()
		return lstat(root, name)
	})
	if err != nil {
		return store.Object{}, d.wrap("stat", name, err)
	}
	return object(name, info), nil
}

// lstat takes regular files only.
func lstat(root *os.Root, name string) (fs.FileInfo, error) {
	info, err := root.Lstat(name)
	if err == nil && !info.Mode().IsRegular() {
		return nil, errNoObject
	}
	return info, err
}

// Delete implements [store.Store].
func (d *Dir) Delete(ctx context.Context, name string) error {
	if err := store.CheckName(name); err != nil {
		return err
	}
	_, err := store.Bounded(ctx, func() (struct{}, error) {
		root, err := d.enter()
		if err != nil {
			return struct{}{}, err
		}
		defer root.Close()
		if _, err := lstat(root, name); err != nil {
			return struct{}{}, err
		}
		return struct{}{}, durable.RemoveIn(root, name)
	})
	return d.wrap("delete", name, err)
}

// Get implements [store.Store].
func (d *Dir) Get(ctx context.Context, name, want string, off, n int64) (io.ReadCloser, error) {
	if err := store.CheckGet(name, off); err != nil {
		return nil, err
	}
	f, err := store.Bounded(ctx, func() (*os.File, error) {
		root, err := d.enter()
		if err != nil {
			return nil, err
		}
		defer root.Close()
		if _, err := lstat(root, name); err != nil {
			return nil, err
		}
		return root.OpenFile(name, os.O_RDONLY|durable.OpenPlain, 0)
	})
	if err != nil {
		return nil, d.wrap("get", name, err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errNoObject
	}
	if err == nil && want != "" && version(info) != want {
		err = store.ErrChanged
	}
	if err == nil {
		_, err = f.Seek(off, io.SeekStart)
	}
	if err != nil {
		return nil, d.wrap("get", name, errors.Join(err, f.Close()))
	}
	if n < 0 {
		n = max(0, info.Size()-off)
	}
	return store.Exactly(ctx, f, n), nil
}
