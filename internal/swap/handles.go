package swap

import (
	"context"
	"fmt"
	"slices"
	"time"

	"example.com/snapd/internal/livedb"
)

const (
	// shortWait is the patience with a program that has the database open: one that
	// looks at it and goes is no reason to give up.
	shortWait = time.Second
	// ownProgram is waited for as long as for a lock: its commands never stay.
	ownProgram = "snapd"
	// handlePoll is how often open handles are looked for.
	handlePoll = 20 * time.Millisecond
)

// InUseError says who has the database open. It matches livedb.ErrBusy.
type InUseError struct {
	Path string
	User livedb.User
}

func (e *InUseError) Error() string {
	who := fmt.Sprintf("%s (pid %d)", e.User.Command, e.User.PID)
	if e.User.Own {
		who = "a connection of this process"
	}
	return fmt.Sprintf("%s has %s open: its file cannot be replaced safely", who, e.Path)
}

// Is makes errors.Is(err, livedb.ErrBusy) true.
func (e *InUseError) Is(target error) bool { return target == livedb.ErrBusy }

// Hint is the next step.
func (e *InUseError) Hint() string {
	return "stop that process (or close that connection) and try again; a restore without --offline works next to open connections where the database is sound"
}

// Unused returns an *InUseError where a process has the database open now: an idle
// connection holds no lock, and would go on writing to the file that was replaced.
// Where the system cannot say who has, it returns nil.
func (t *Target) Unused() error {
	users, err := t.users()
	if err != nil || len(users) == 0 {
		return err
	}
	return &InUseError{Path: t.Database, User: users[0]}
}

// WaitUnused is Unused after some patience.
func (t *Target) WaitUnused(ctx context.Context) error {
	began := time.Now()
	for {
		users, err := t.users()
		if err != nil || len(users) == 0 {
			return err
		}
		patience := min(shortWait, t.LockWait)
		if !slices.ContainsFunc(users, func(u livedb.User) bool { return u.Own || u.Command != ownProgram }) {
			patience = t.LockWait
		}
		if time.Since(began) >= patience {
			return &InUseError{Path: t.Database, User: users[0]}
		}
		if err := pause(ctx, handlePoll); err != nil {
			return err
		}
	}
}

func (t *Target) users() ([]livedb.User, error) {
	users, known, err := livedb.Users(t.Database)
	if err != nil {
		return nil, fmt.Errorf("who has the database open: %w", err)
	}
	if !known {
		return nil, nil
	}
	return users, nil
}

// waitForStragglers waits, with all others locked out, for processes that opened the
// replaced file in the instant before the rename, where it lives on as the
// quarantine and so could not be made unusable: they would write a -wal for the old
// file next to the new one.
func (t *Target) waitForStragglers(ctx context.Context, quarantine string) error {
	if quarantine == "" {
		return nil
	}
	if missing, err := isMissing(quarantine); err != nil || missing {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, t.LockWait)
	defer cancel()
	for {
		users, known, err := livedb.Users(quarantine)
		if err != nil {
			return fmt.Errorf("who has the replaced database open: %w", err)
		}
		if !known || len(users) == 0 {
			return nil
		}
		if pause(ctx, handlePoll) != nil {
			t.warn(Warning{Path: quarantine, Message: fmt.Sprintf(
				"%s (pid %d) opened the database while it was being replaced: restart it", users[0].Command, users[0].PID)})
			return nil
		}
	}
}

// pause returns the context's error when that ends within d.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
