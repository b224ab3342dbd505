package dir

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/store"
)

// Put implements [store.Store]. The Checksum is that of the bytes that were read back.
func (d *Dir) Put(ctx context.Context, name string, src io.ReaderAt, size int64) (store.Object, error) {
	if err := store.CheckPut(name, size); err != nil {
		return store.Object{}, err
	}
	source, leave := store.Source(ctx, src)
	put, err := store.Bounded(ctx, func() (store.Object, error) { return d.put(ctx, name, source, size) })
	leave() // a put that was given up may still run
	return put, d.wrap("put", name, err)
}

func (d *Dir) put(ctx context.Context, name string, src io.ReaderAt, size int64) (_ store.Object, err error) {
	root, err := d.enter()
	if err != nil {
		return store.Object{}, err
	}
	defer root.Close()
	if info, err := root.Lstat(name); err == nil && info.IsDir() {
		return store.Object{}, errors.New("a directory has this name")
	} else if err == nil {
		return store.Object{}, fs.ErrExist
	}
	if err := durable.Fits(d.path, size); err != nil {
		return store.Object{}, err
	}
	if err := durable.MkdirAllIn(root, path.Dir(name), 0o700); err != nil {
		return store.Object{}, fmt.Errorf("make the directory: %w", err)
	}
	d.sweep(root, path.Dir(name))
	f, err := durable.CreateIn(root, name, 0o600)
	if err != nil {
		return store.Object{}, err
	}
	defer func() { err = errors.Join(err, f.Discard()) }()
	sum, err := digest(d.limit.Writer(ctx, f), io.NewSectionReader(src, 0, size), size)
	if err != nil {
		return store.Object{}, err
	}
	now := time.Now()
	if err := root.Chtimes(f.Temp(), now, now); err != nil && !errors.Is(err, fs.ErrPermission) { // some servers keep their own time
		return store.Object{}, err
	}
	if err := f.Sync(); err != nil {
		return store.Object{}, err
	}
	if err := readBack(ctx, root, f.Temp(), size, sum); err != nil {
		return store.Object{}, err
	}
	exclusive, err := f.CommitNew()
	if err != nil {
		return store.Object{}, err
	}
	if !exclusive {
		d.mu.Lock()
		d.shared = true
		d.mu.Unlock()
	}
	info, err := lstat(root, name)
	if err != nil {
		return store.Object{}, err
	}
	put := object(name, info)
	put.Checksum = sum
	return put, nil
}

// digest copies size bytes of r to w, and returns their checksum.
func digest(w io.Writer, r io.Reader, size int64) (string, error) {
	hash := sha256.New()
	n, err := io.CopyBuffer(io.MultiWriter(w, hash), struct{ io.Reader }{r}, make([]byte, max(1, min(size, 1<<20))))
	if err == nil && n < size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return "", fmt.Errorf("after %d of %d bytes: %w", n, size, err)
	}
	return "sha256:" + hex.EncodeToString(hash.Sum(nil)), nil
}

// readBack compares what is stored with what was written. The pages that were written leave memory first where the system
// takes that advice, so that it is the disk or the server that answers.
func readBack(ctx context.Context, root *os.Root, name string, size int64, want string) error {
	f, err := root.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	durable.DropCached(f)
	got, err := digest(io.Discard, store.Exactly(ctx, f, size), size)
	if err != nil {
		return fmt.Errorf("read back: %w", err)
	}
	if got != want {
		return fmt.Errorf("read back: the stored bytes have %s, want %s: the file system does not keep what is written", got, want)
	}
	return nil
}

// sweep removes the temporary files that a crash left in a directory, once.
func (d *Dir) sweep(root *os.Root, dir string) {
	d.mu.Lock()
	done := d.swept[dir]
	d.swept[dir] = true
	d.mu.Unlock()
	if done {
		return
	}
	entries, _ := readDir(root, dir) // what cannot be swept now is swept some other time
	for _, entry := range entries {
		name := path.Join(dir, entry.Name())
		if !strings.HasPrefix(entry.Name(), durable.TempPrefix) {
			continue
		}
		if info, err := lstat(root, name); err == nil && time.Since(info.ModTime()) > abandoned {
			_ = root.Remove(name)
		}
	}
}
