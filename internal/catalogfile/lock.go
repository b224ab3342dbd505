package catalogfile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"

	"example.com/snapd/internal/durable"
)

const (
	// retryLock is how often a taken lock is tried again: flock cannot be
	// waited for and cancelled.
	retryLock = 5 * time.Millisecond
	// askPause outlasts every ServeRunning, which holds the lock for an instant.
	askPause = 500 * time.Millisecond

	maxHolder = 4 << 10 // bytes read of a lock file
)

// Lock is a lock on the backup directory across processes and within one. It
// ends with Unlock or with the process. The lock file stays.
type Lock struct{ fl *flock.Flock }

// Holder describes the holder of a lock, in the holder's own words. Zero when unknown.
type Holder struct {
	PID     int       `json:"pid"`
	Purpose string    `json:"purpose"`
	Since   time.Time `json:"since"`
}

func (h Holder) String() string {
	switch {
	case h.PID == 0:
		return "unknown process"
	case h.PID == os.Getpid():
		return fmt.Sprintf("%.80q, this process", h.Purpose)
	}
	return fmt.Sprintf("%.80q, pid %d", h.Purpose, h.PID)
}

// LockOperation takes the lock that lets one operation at a time write in the
// backup directory; purpose ("backup") is what others see meanwhile. With
// wait it waits until ctx ends. Errors: ErrBusy, which names the holder, with
// ctx's cause; ErrReadOnly; ErrNoDirectory; ErrUnsafe.
func (c *Catalog) LockOperation(ctx context.Context, wait bool, purpose string) (*Lock, error) {
	fl, err := c.take(ctx, operationLock, wait)
	if errors.Is(err, ErrBusy) {
		return nil, fmt.Errorf("another operation (%s) runs in %s: %w", c.holder(operationLock), c.dir, err)
	}
	if err != nil {
		return nil, fmt.Errorf("lock backup directory: %w", err)
	}
	c.sign(fl, purpose)
	return &Lock{fl: fl}, nil
}

// LockServe takes the lock of the one service per backup directory. Errors:
// ErrBusy, which names the holder; ErrReadOnly; ErrNoDirectory; ErrUnsafe.
func (c *Catalog) LockServe(ctx context.Context) (*Lock, error) {
	pause, cancel := context.WithTimeout(ctx, askPause)
	defer cancel()
	fl, err := c.take(pause, serveLock, true)
	if err := context.Cause(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("lock for serving: %w", err), release(fl))
	}
	if errors.Is(err, ErrBusy) {
		return nil, fmt.Errorf("another service (%s) runs on %s: %w; stop it first", c.holder(serveLock), c.dir, ErrBusy)
	}
	if err != nil {
		return nil, fmt.Errorf("lock for serving: %w", err)
	}
	c.sign(fl, "serve")
	return &Lock{fl: fl}, nil
}

// ServeRunning reports whether a service runs on the directory, and whose.
func (c *Catalog) ServeRunning() (holder Holder, running bool, err error) {
	path := filepath.Join(c.dir, serveLock)
	if err := lookOurs(c.dir, serveLock); errors.Is(err, ErrUnsafe) {
		return Holder{}, false, nil // no service has locked that: LockServe moves it away
	}
	fl := flock.New(path, flock.SetFlag(os.O_RDONLY|durable.OpenPlain))
	got, err := fl.TryRLock()
	if errors.Is(err, fs.ErrNotExist) {
		return Holder{}, false, nil
	}
	if err != nil {
		return Holder{}, false, fmt.Errorf("ask for a running service: %w", errors.Join(err, release(fl)))
	}
	if got {
		return Holder{}, false, release(fl)
	}
	holder = c.holder(serveLock)
	return holder, true, release(fl)
}

// Unlock gives the lock back. A second time does nothing.
func (l *Lock) Unlock() error {
	if !l.fl.Locked() {
		return nil
	}
	// A stale name in the file is not believed once the lock is free; clearing
	// it is for people who look.
	_ = rewriteLock(l.fl, nil)
	return release(l.fl)
}

func release(fl *flock.Flock) error {
	if fl == nil {
		return nil
	}
	if err := fl.Close(); err != nil {
		return fmt.Errorf("release %s: %w", filepath.Base(fl.Path()), err)
	}
	return nil
}

// lock takes the lock for changing catalog.json, held for milliseconds.
func (c *Catalog) lock(ctx context.Context) (unlock func() error, err error) {
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("the catalog is being written: %w", ended(ctx))
	}
	fl, err := c.take(ctx, lockName, true)
	if err != nil {
		<-c.turn
		if errors.Is(err, ErrBusy) {
			return nil, fmt.Errorf("another process holds %s: %w", lockName, err)
		}
		return nil, err
	}
	return func() error {
		defer func() { <-c.turn }()
		return release(fl)
	}, nil
}

// take locks the file name in the directory, making it if need be.
func (c *Catalog) take(ctx context.Context, name string, wait bool) (*flock.Flock, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	if err := errors.Join(c.checkLink(), c.CheckPlace()); err != nil {
		return nil, err
	}
	path := filepath.Join(c.dir, name)
	if err := lookOurs(c.dir, name); errors.Is(err, ErrUnsafe) {
		if err := c.moveAway(name); err != nil {
			return nil, err
		}
	}
	fl := flock.New(path, flock.SetFlag(os.O_CREATE|os.O_RDWR|durable.OpenPlain), flock.SetPermissions(0o600))
	for {
		got, err := fl.TryLock()
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%w: %s", ErrNoDirectory, c.dir)
		}
		if err != nil {
			return nil, errors.Join(explain(err), release(fl))
		}
		if got {
			return fl, nil
		}
		if !wait {
			return nil, errors.Join(ErrBusy, release(fl))
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(ended(ctx), release(fl))
		case <-time.After(retryLock):
		}
	}
}

// ended is why waiting for a lock ended: ErrBusy when the time was up, but not when
// the caller cancelled it.
func ended(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("%w: %w", ErrBusy, context.Cause(ctx))
	}
	return context.Cause(ctx)
}

// sign writes who holds the lock into its file. It is a courtesy for the error
// message of others: on a full disk, or where a locked file cannot be written,
// the lock is as good without.
func (c *Catalog) sign(fl *flock.Flock, purpose string) {
	text, err := json.Marshal(Holder{PID: os.Getpid(), Purpose: purpose, Since: c.now().UTC().Truncate(time.Second)})
	if err == nil {
		_ = rewriteLock(fl, append(text, '\n'))
	}
}

// holder reads the signature of a lock file; zero when it has none.
func (c *Catalog) holder(name string) Holder {
	f, err := openOurs(filepath.Join(c.dir, name), os.O_RDONLY)
	if err != nil {
		return Holder{}
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxHolder))
	var h Holder
	if err != nil || json.Unmarshal(text, &h) != nil {
		return Holder{}
	}
	return h
}
