// Package sftp keeps copies on a server that is reached by SSH.
//
// An object is a file, as in package dir, with the same marker of the place. It is written under a temporary name, synced where
// the server can, read back, and given its name by a hard link, which never replaces; on a server without hard links by a rename,
// which does not replace either on OpenSSH, but is not bound to. Of directories the protocol syncs nothing. A file's time has seconds
// only, so that objects have no Version.
package sftp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net"
	"os"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"example.com/snapd/internal/store"
)

// Options are what a URL does not say.
type Options struct {
	// ID is that of the place when it was used before, "" for one that never was.
	ID string
	// ReadOnly: nothing is written there. A place without a marker is read as it is, where no ID says that it had one.
	ReadOnly bool
	// Env looks up HOME and SSH_AUTH_SOCK; nil is the process's environment.
	Env func(name string) string
	// Retrying hears of each failure that is tried again, and when.
	Retrying func(err error, wait time.Duration)
	// Patience is how long that is done without a success; 0 is until the context ends.
	Patience time.Duration
	// Limit is for what is sent; nil for none.
	Limit *store.Limiter

	Wait time.Duration // for tests: before the first retry
}

// SFTP is a directory on a server as a store.
type SFTP struct {
	place    Place
	unmarked bool // only read: a place without a marker will do
	again    store.Retry
	dial     dialer

	dialing  sync.Mutex // held while a connection is made
	mu       sync.Mutex // for what follows
	id       string
	now      *session        // nil without a connection
	swept    map[string]bool // directories whose temporary files were looked at
	replaces string          // why the server may replace a name that is taken
}

var _ store.Store = (*SFTP)(nil)

// Open logs in, and returns the store in the directory, which must exist.
func Open(ctx context.Context, place Place, options Options) (*SFTP, error) {
	env := options.Env
	if env == nil {
		env = os.Getenv
	}
	s := &SFTP{place: place, unmarked: options.ReadOnly && options.ID == "", again: store.Retry{Heard: options.Retrying, Patience: options.Patience, First: options.Wait}, dial: place.dial(env, options.Limit), id: options.ID, swept: map[string]bool{}}
	// The first one must do: a place that was just configured is wrong or right at once.
	_, err := s.session(ctx)
	return s, s.wrap("open", "", err)
}

// Close ends the connection. The store may be used again.
func (s *SFTP) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now
	s.now = nil
	if now == nil {
		return nil
	}
	return now.close()
}

// ID is the id of the place, for Options the next time.
func (s *SFTP) ID() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.id
}

// String is the URL of the place.
func (s *SFTP) String() string { return s.place.String() }

// Abilities implements [store.Store].
func (s *SFTP) Abilities() store.Abilities {
	s.mu.Lock()
	defer s.mu.Unlock()
	return store.Abilities{Exclusive: s.replaces == "", Checksum: "sha256", Reason: s.replaces}
}

// session returns the connection that there is, or makes one and compares the marker of the place.
func (s *SFTP) session(ctx context.Context) (*session, error) {
	s.dialing.Lock()
	defer s.dialing.Unlock()
	s.mu.Lock()
	now, id := s.now, s.id
	s.mu.Unlock()
	if now != nil && !now.over() {
		return now, nil
	}
	now, err := store.Bounded(ctx, func() (*session, error) { return s.dial(ctx) })
	if err != nil {
		return nil, err
	}
	found, err := store.Bounded(ctx, func() (string, error) { return s.marker(now, id == "" && !s.unmarked) })
	if s.unmarked && errors.Is(err, store.ErrUnmarked) {
		err = nil
	}
	if err == nil && id != "" && found != id {
		err = store.ErrAnotherPlace
	}
	if err != nil {
		return nil, errors.Join(err, now.close())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now, s.id = now, found
	return now, nil
}

// marker returns the id of the place, and makes one where that is allowed.
func (s *SFTP) marker(now *session, make bool) (string, error) {
	if info, err := now.Stat(s.place.dir()); errors.Is(err, fs.ErrNotExist) || err == nil && !info.IsDir() {
		return "", fmt.Errorf("%w: make the directory on the server, or mount its disk", store.ErrGone)
	} else if err != nil {
		return "", err
	}
	name := s.path(store.MarkerName)
	read := func() (string, error) { return store.ReadMarker(now.Open(name)) }
	id, err := read()
	if !errors.Is(err, store.ErrUnmarked) || !make {
		return id, err
	}
	f, err := now.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	if err == nil {
		_, err = f.Write([]byte(store.NewMarker()))
		err = errors.Join(err, f.Close())
	}
	if id, errRead := read(); errRead == nil { // another one may have made it just now
		return id, nil
	}
	return "", err
}

// drop forgets a connection that broke.
func (s *SFTP) drop(broken *session) {
	s.mu.Lock()
	if s.now == broken {
		s.now = nil
	}
	s.mu.Unlock()
	broken.close()
}

// path is a name on the server.
func (s *SFTP) path(name string) string { return path.Join(s.place.dir(), name) }

// broken reports whether the connection is what failed, and not what was asked for.
func broken(err error) bool {
	var network net.Error
	var closed *ssh.OpenChannelError
	return errors.Is(err, sftp.ErrSSHFxConnectionLost) || errors.Is(err, sftp.ErrSSHFxNoConnection) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrClosedPipe) || errors.As(err, &network) || errors.As(err, &closed)
}

func transient(err error) bool {
	return broken(err) && !store.IsSource(err) && !errors.Is(err, store.ErrDenied)
}

// do runs an operation on a connection: another one when that breaks, until ctx ends.
func do[T any](ctx context.Context, s *SFTP, op, name string, f func(now *session, again bool) (T, error)) (value T, err error) {
	err = s.again.Do(ctx, transient, func(again bool) error {
		now, err := s.session(ctx)
		if err != nil {
			return s.wrap(op, name, err)
		}
		value, err = store.Bounded(ctx, func() (T, error) { return f(now, again) })
		if err != nil && (broken(err) && !store.IsSource(err) || ctx.Err() != nil) {
			s.drop(now) // what was given up may still hold it
		}
		return s.wrap(op, name, err)
	})
	if err != nil && err == context.Cause(ctx) { // before the first try
		err = s.wrap(op, name, err)
	}
	return value, err
}

// wrap adds the operation and the name to err, and says which of the store's errors it is.
func (s *SFTP) wrap(op, name string, err error) error {
	if err == nil {
		return nil
	}
	var kind error
	switch {
	case store.IsSource(err), errors.Is(err, store.ErrGone), errors.Is(err, store.ErrDenied), errors.Is(err, store.ErrMissing), errors.Is(err, store.ErrExists), errors.Is(err, store.ErrFull):
	case op != "put" && errors.Is(err, fs.ErrNotExist):
		kind = store.ErrMissing
	case errors.Is(err, fs.ErrPermission):
		kind = store.ErrDenied
	case broken(err):
		kind = store.ErrThrottled
	}
	where := strings.TrimSuffix("sftp://"+s.place.Host+"/"+strings.TrimPrefix(s.path(name), "/"), "/")
	if kind == nil {
		return fmt.Errorf("%s %s: %w", op, where, err)
	}
	return fmt.Errorf("%s %s: %w: %w", op, where, kind, err)
}

// here fails when the marker of the place is gone: the connection stays when a disk of the server goes.
func (s *SFTP) here(now *session) error {
	if _, err := now.Lstat(s.path(store.MarkerName)); errors.Is(err, fs.ErrNotExist) {
		if s.unmarked && s.ID() == "" {
			return nil
		}
		return store.ErrUnmarked
	} else if err != nil {
		return err
	}
	return nil
}

// lstat takes regular files only. A name that is missing because the place is, is ErrGone.
func (s *SFTP) lstat(now *session, name string) (os.FileInfo, error) {
	info, err := now.Lstat(s.path(name))
	if err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: what has its name is no file", store.ErrMissing)
	}
	if err != nil && !broken(err) {
		if gone := s.here(now); gone != nil {
			return nil, gone
		}
		if above, errAbove := now.Stat(path.Dir(s.path(name))); errAbove == nil && !above.IsDir() {
			err = fs.ErrNotExist // the server says no more than that something failed
		}
	}
	return info, err
}

func object(name string, info os.FileInfo) store.Object {
	return store.Object{Name: name, Size: info.Size(), Modified: info.ModTime()}
}

// Stat implements [store.Store].
func (s *SFTP) Stat(ctx context.Context, name string) (store.Object, error) {
	if err := store.CheckName(name); err != nil {
		return store.Object{}, err
	}
	return do(ctx, s, "stat", name, func(now *session, _ bool) (store.Object, error) {
		info, err := s.lstat(now, name)
		if err != nil {
			return store.Object{}, err
		}
		return object(name, info), nil
	})
}

// Delete implements [store.Store].
func (s *SFTP) Delete(ctx context.Context, name string) error {
	if err := store.CheckName(name); err != nil {
		return err
	}
	_, err := do(ctx, s, "delete", name, func(now *session, again bool) (struct{}, error) {
		_, err := s.lstat(now, name)
		if again && errors.Is(err, fs.ErrNotExist) {
			return struct{}{}, nil // the answer to an earlier try got lost
		}
		if err != nil {
			return struct{}{}, err
		}
		return struct{}{}, now.Remove(s.path(name))
	})
	return err
}

// List implements [store.Store].
func (s *SFTP) List(ctx context.Context, prefix, after string) iter.Seq2[store.Object, error] {
	return func(yield func(store.Object, error) bool) {
		last, enough := after, false
		err := s.again.Do(ctx, transient, func(bool) error {
			now, err := s.session(ctx)
			if err != nil {
				return err
			}
			tree := store.Tree{
				ReadDir: func(dir string) ([]fs.DirEntry, error) {
					if err := s.here(now); err != nil {
						return nil, err
					}
					infos, err := now.ReadDir(s.path(dir))
					if errors.Is(err, fs.ErrNotExist) { // because the place is, perhaps
						err = cmp.Or(s.here(now), err)
					}
					entries := make([]fs.DirEntry, len(infos))
					for i, info := range infos {
						entries[i] = fs.FileInfoToDirEntry(info)
					}
					return entries, err
				},
				Object: func(name string, entry fs.DirEntry) (store.Object, error) {
					info, err := entry.Info()
					if err != nil {
						return store.Object{}, err
					}
					return object(name, info), nil
				},
			}
			err = tree.List(ctx, prefix, last, func(o store.Object, _ error) bool {
				last = o.Name
				enough = !yield(o, nil)
				return !enough
			})
			if err != nil && broken(err) {
				s.drop(now)
			}
			return err
		})
		if err != nil && !enough {
			yield(store.Object{}, s.wrap("list", prefix, err))
		}
	}
}
