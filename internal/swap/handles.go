package swap

import (
	"context"
	"errors"
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
	User livedb.User // the zero User for one that could not be seen
}

func (e *InUseError) Error() string {
	who := fmt.Sprintf("%s (pid %d)", e.User.Command, e.User.PID)
	switch {
	case e.User.Own:
		who = "a connection of this process"
	case e.User.PID == 0:
		who = "a process that cannot be seen from here (another user's, or in another container)"
	}
	return fmt.Sprintf("%s has %s open: its file cannot be replaced safely", who, e.Path)
}

// Is makes errors.Is(err, livedb.ErrBusy) true.
func (e *InUseError) Is(target error) bool { return target == livedb.ErrBusy }

// Hint is the next step.
func (e *InUseError) Hint() string {
	return "stop that process (or close that connection) and try again"
}

// UnknownUseError says why it is not known whether the database is open. It matches ErrUnsafe.
type UnknownUseError struct{ Path, Why string }

func (e *UnknownUseError) Error() string {
	return fmt.Sprintf("whether a program has %s open is not known, and its file would have to be replaced: %s", e.Path, e.Why)
}

// Is makes errors.Is(err, ErrUnsafe) true.
func (e *UnknownUseError) Is(target error) bool { return target == ErrUnsafe }

// Hint is the next step.
func (e *UnknownUseError) Hint() string {
	return "stop all programs that use the database, then repeat the restore or recovery with --force; or run this as the database's owner"
}

// Unused returns an *InUseError where a process has the database open now: an idle
// connection holds no lock, and would go on writing to the file that was replaced. Where
// the system does not say, it returns an *UnknownUseError, unless AssumeUnused is set.
func (t *Target) Unused() error {
	usage, err := livedb.UsageOf(t.Database)
	if err != nil {
		return fmt.Errorf("who has the database open: %w", err)
	}
	switch {
	case len(usage.Users) > 0:
		first := slices.IndexFunc(usage.Users, func(u livedb.User) bool { return u.Own || u.Command != ownProgram })
		return &InUseError{Path: t.Database, User: usage.Users[max(first, 0)]}
	case usage.Unseen:
		return &InUseError{Path: t.Database}
	case usage.Unknown != "" && !t.AssumeUnused:
		return &UnknownUseError{t.Database, usage.Unknown}
	}
	return nil
}

// WaitUnused is Unused after some patience.
func (t *Target) WaitUnused(ctx context.Context) error {
	began := time.Now()
	for {
		err := t.Unused()
		var inUse *InUseError
		if !errors.As(err, &inUse) {
			return err
		}
		patience := min(shortWait, t.LockWait)
		if !inUse.User.Own && inUse.User.Command == ownProgram {
			patience = t.LockWait
		}
		if time.Since(began) >= patience {
			return err
		}
		if err := pause(ctx, handlePoll); err != nil {
			return err
		}
	}
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
		usage, err := livedb.UsageOf(quarantine)
		if err != nil {
			return fmt.Errorf("who has the replaced database open: %w", err)
		}
		if !usage.InUse() {
			return nil
		}
		if pause(ctx, handlePoll) != nil {
			who := "a process"
			if len(usage.Users) > 0 {
				who = fmt.Sprintf("%s (pid %d)", usage.Users[0].Command, usage.Users[0].PID)
			}
			t.warn(Warning{Path: quarantine, Message: who + " opened the database while it was being replaced: restart it"})
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
