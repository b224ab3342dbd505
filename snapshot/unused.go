package snapshot

import (
	"context"
	"fmt"
	"slices"
	"time"

	"example.com/snapd/internal/livedb"
)

// Patience with those who have the database open when its file is to be replaced: one
// that looks at it and goes is no reason to give up, least of all another command of
// this program, which never stays.
const (
	guestPatience = time.Second
	program       = "snapd"
)

// mustBeUnused refuses a swap while somebody has the database open: an idle
// connection holds no lock, and would go on writing to the file that was replaced.
func (m *Manager) mustBeUnused(ctx context.Context) error {
	began := time.Now()
	for {
		users, err := m.users()
		if err != nil || len(users) == 0 {
			return err
		}
		patience := min(guestPatience, m.cfg.LockWait)
		if !slices.ContainsFunc(users, func(u livedb.User) bool { return u.Own || u.Command != program }) {
			patience = m.cfg.LockWait
		}
		if time.Since(began) >= patience {
			return m.inUse(users[0])
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// used is mustBeUnused without the patience.
func (m *Manager) used() error {
	users, err := m.users()
	if err != nil || len(users) == 0 {
		return err
	}
	return m.inUse(users[0])
}

// users are those who have the database open; none where the system does not tell.
func (m *Manager) users() ([]livedb.User, error) {
	users, known, err := livedb.Users(m.cfg.Database)
	if err != nil {
		return nil, fmt.Errorf("who uses the database: %w", err)
	}
	if !known {
		return nil, nil
	}
	return users, nil
}

// inUse is the refusal.
func (m *Manager) inUse(u livedb.User) error {
	who := fmt.Sprintf("process %d (%s)", u.PID, u.Command)
	if u.Own {
		who = "a connection of this process"
	}
	return hint(&sentinelError{ErrBusy, fmt.Errorf("%s is open in %s: its file cannot be replaced safely", m.cfg.Database, who)},
		"stop that process (or close that connection) and try again; a restore without --offline works beside open connections where the database is sound")
}

// lockOut keeps everybody away from the database file until unlock: nobody has
// it open, and SQLite gives nobody a lock. A file that is not there needs none.
func (m *Manager) lockOut(ctx context.Context) (unlock func(), err error) {
	if isMissing(m.cfg.Database) {
		return func() {}, nil
	}
	wait, cancel := m.lockContext(ctx)
	defer cancel()
	release, err := livedb.LockExclusive(wait, m.cfg.Database)
	if err != nil {
		return nil, hint(err, "stop whatever uses the database, then try again")
	}
	unlock = func() {
		if err := release(); err != nil {
			m.ev.emit(ctx, Event{Type: EventWarning, Operation: "restore", Err: err, Message: "the database's exclusive lock could not be released"})
		}
	}
	if err := m.mustBeUnused(ctx); err != nil {
		unlock()
		return nil, err
	}
	return unlock, nil
}
