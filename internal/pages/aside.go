package pages

import (
	"context"
	"time"
)

// A snapshot that begins while the log is wholly in the database file, or empty, holds
// read mark 0, and nothing can be copied from the log into the file until it ends. The
// log grows, and each commit past the first 1000 pages (SQLite's wal_autocheckpoint) sorts
// all of it for a checkpoint that is then refused. One that begins after the next commit
// holds a mark of its own, up to which the log is copied once, and no more is tried.
//
// So where commits come fast enough to suffer, the next one is waited for. Where
// none comes in time nobody is hindered, or not yet.

const (
	// asideFor is how long a commit is waited for, for each GiB of the image: little
	// beside the seconds that a backup of it takes.
	asideFor = 50 * time.Millisecond
	// asideMost is how long it is waited for at most.
	asideMost = 2 * time.Second
	// asidePoll is how often it is looked for.
	asidePoll = 2 * time.Millisecond
)

// aside is how long s may wait; for small images not at all.
func (i Info) aside() time.Duration {
	wait := min(time.Duration(float64(i.Bytes())/(1<<30)*float64(asideFor)), asideMost)
	if wait < asidePoll {
		return 0
	}
	return wait
}

// stepAside begins the snapshot anew until it does not hold read mark 0, or wait has passed.
// What is left until ctx's deadline bounds the wait as well, by its half: a snapshot that
// hinders somebody is better than none.
func (s *Snapshot) stepAside(ctx context.Context, wait time.Duration) error {
	if deadline, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(deadline)/2)
	}
	for until := time.Now().Add(wait); ; {
		if mark, ok := s.conn.ReadMark(); !ok || mark > 0 || !time.Now().Before(until) {
			return nil
		}
		t := time.NewTimer(asidePoll)
		select {
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		case <-t.C:
		}
		if err := s.conn.Exec(ctx, "COMMIT; BEGIN; PRAGMA schema_version"); err != nil {
			return err
		}
		var err error
		if s.info, _, err = readInfo(ctx, s.conn); err != nil {
			return err
		}
	}
}
