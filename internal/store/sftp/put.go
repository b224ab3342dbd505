package sftp

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"time"

	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/store"
)

// abandoned is how old a temporary file is that no process will finish, by the server's clock.
const abandoned = 24 * time.Hour

// Put implements [store.Store]. The Checksum is that of the bytes that were read back.
func (s *SFTP) Put(ctx context.Context, name string, src io.ReaderAt, size int64) (store.Object, error) {
	if err := store.CheckPut(name, size); err != nil {
		return store.Object{}, err
	}
	source, leave := store.Source(ctx, src)
	defer leave() // what was given up may still read
	sent := ""    // the checksum of what an earlier try sent
	return do(ctx, s, "put", name, func(now *session, again bool) (store.Object, error) {
		return s.put(ctx, now, name, source, size, &sent, again)
	})
}

func (s *SFTP) put(ctx context.Context, now *session, name string, src io.ReaderAt, size int64, sent *string, again bool) (_ store.Object, err error) {
	if err := s.here(now); err != nil {
		return store.Object{}, err
	}
	if info, err := now.Lstat(s.path(name)); err == nil {
		if again && *sent != "" && info.Size() == size && s.readBack(ctx, now, name, size, *sent) == nil { // the answer to an earlier try got lost
			return s.stored(now, name, *sent)
		}
		if info.IsDir() {
			return store.Object{}, errors.New("a directory has this name")
		}
		return store.Object{}, store.ErrExists
	}
	if err := s.room(now, size); err != nil {
		return store.Object{}, err
	}
	dir := path.Dir(name)
	if err := s.mkdirs(now, dir); err != nil {
		return store.Object{}, fmt.Errorf("make the directory: %w", err)
	}
	s.sweep(now, dir)
	temp := path.Join(dir, durable.TempName(path.Base(name)))
	f, err := now.OpenFile(s.path(temp), os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return store.Object{}, err
	}
	defer func() {
		if temp != "" {
			_ = now.Remove(s.path(temp)) // or the sweep does it
		}
	}()
	*sent, err = write(now, f, src, size)
	if err := errors.Join(err, f.Close()); err != nil {
		if errRoom := s.room(now, size); errRoom != nil && !store.IsSource(err) && !broken(err) { // the server says no more than that something failed
			return store.Object{}, errors.Join(errRoom, err)
		}
		return store.Object{}, err
	}
	if err := s.readBack(ctx, now, temp, size, *sent); err != nil {
		return store.Object{}, fmt.Errorf("read back: %w", err)
	}
	linked, err := s.rename(now, temp, name)
	if err != nil {
		return store.Object{}, err
	}
	if !linked {
		temp = "" // it is the object now
	}
	return s.stored(now, name, *sent)
}

func (s *SFTP) stored(now *session, name, sum string) (store.Object, error) {
	info, err := s.lstat(now, name)
	if err != nil {
		return store.Object{}, err
	}
	put := object(name, info)
	put.Checksum = sum
	return put, nil
}

// room fails when the server says that there is none. Not all say.
func (s *SFTP) room(now *session, size int64) error {
	if _, ok := now.HasExtension("statvfs@openssh.com"); !ok {
		return nil
	}
	if free, err := now.StatVFS(s.place.dir()); err == nil && free.Bavail*free.Frsize < uint64(size) {
		return fmt.Errorf("%w: %d bytes are free, %d needed", store.ErrFull, free.Bavail*free.Frsize, size)
	}
	return nil
}

// mkdirs makes the directories of an object, never that of the place.
func (s *SFTP) mkdirs(now *session, dir string) error {
	if dir == "." {
		return nil
	}
	if info, err := now.Stat(s.path(dir)); err == nil && info.IsDir() {
		return nil
	}
	if err := s.mkdirs(now, path.Dir(dir)); err != nil {
		return err
	}
	err := now.Mkdir(s.path(dir))
	if info, errStat := now.Stat(s.path(dir)); err != nil && errStat == nil && info.IsDir() {
		return nil // another one was first
	}
	return err
}

// writer is what a remote file has, without what would write it another way.
type writer interface {
	ReadFrom(r io.Reader) (int64, error)
	Sync() error
}

// write sends size bytes, and returns their checksum.
func write(now *session, f writer, src io.ReaderAt, size int64) (string, error) {
	hash := sha256.New()
	n, err := f.ReadFrom(&limited{io.TeeReader(io.NewSectionReader(src, 0, size), hash), size})
	if err == nil && n < size {
		err = io.ErrUnexpectedEOF
	}
	if err == io.ErrUnexpectedEOF {
		return "", store.ShortSource(n, size)
	}
	if err != nil {
		return "", fmt.Errorf("after %d of %d bytes: %w", n, size, err)
	}
	if _, ok := now.HasExtension("fsync@openssh.com"); ok {
		if err := f.Sync(); err != nil {
			return "", fmt.Errorf("sync: %w", err)
		}
	}
	return "sha256:" + hex.EncodeToString(hash.Sum(nil)), nil
}

// limited says how much is to come: the library sends several packets at once only then.
type limited struct {
	io.Reader
	size int64
}

func (l *limited) Size() int64 { return l.size }

// readBack compares what the server has with what was sent.
func (s *SFTP) readBack(ctx context.Context, now *session, name string, size int64, want string) error {
	f, err := now.Open(s.path(name))
	if err != nil {
		return err
	}
	defer f.Close()
	hash := sha256.New()
	buf := make([]byte, max(1, min(size, window)))
	for off := int64(0); off < size; {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		p := buf[:min(int64(len(buf)), size-off)]
		n, err := f.ReadAt(p, off)
		hash.Write(p[:n])
		if off += int64(n); n < len(p) && err == io.EOF {
			return fmt.Errorf("the server has %d bytes, sent were %d", off, size)
		} else if err != nil && err != io.EOF {
			return err
		}
	}
	if got := "sha256:" + hex.EncodeToString(hash.Sum(nil)); got != want {
		return fmt.Errorf("the server has bytes with %s, sent were bytes with %s", got, want)
	}
	return nil
}

// rename gives the temporary file its name. linked says that it has both then.
func (s *SFTP) rename(now *session, temp, name string) (linked bool, err error) {
	why := "the server has no hard links: a taken name is found by looking first"
	if _, ok := now.HasExtension("hardlink@openssh.com"); ok {
		err := now.Link(s.path(temp), s.path(name))
		if err == nil || broken(err) {
			return true, err
		}
		if _, errStat := now.Lstat(s.path(name)); errStat == nil { // the server says no more than that something failed
			return false, store.ErrExists
		}
		why = "the file system of the server has no hard links: a taken name is found by looking first"
	}
	if err := now.Rename(s.path(temp), s.path(name)); err != nil {
		if _, errStat := now.Lstat(s.path(name)); errStat == nil && !broken(err) {
			return false, store.ErrExists
		}
		return false, err
	}
	s.mu.Lock()
	s.replaces = why
	s.mu.Unlock()
	return false, nil
}

// sweep removes the temporary files that a crash left in a directory, once.
func (s *SFTP) sweep(now *session, dir string) {
	s.mu.Lock()
	done := s.swept[dir]
	s.swept[dir] = true
	s.mu.Unlock()
	if done {
		return
	}
	infos, _ := now.ReadDir(s.path(dir)) // what cannot be swept now is swept some other time
	for _, info := range infos {
		if strings.HasPrefix(info.Name(), durable.TempPrefix) && info.Mode().IsRegular() && time.Since(info.ModTime()) > abandoned {
			_ = now.Remove(s.path(path.Join(dir, info.Name())))
		}
	}
}
