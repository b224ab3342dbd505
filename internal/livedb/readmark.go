package livedb

import (
	"context"
	"time"
)

// A transaction that begins while the log is wholly in the database file, or empty, holds
// read mark 0, and nothing can be copied from the log into the file until it ends. The
// log grows, and each commit past the first 1000 pages (SQLite's wal_autocheckpoint) sorts
// all of it for a checkpoint that is then refused. One that begins after the next commit
// holds a mark of its own, up to which the log is copied once, and no more is tried.
//
// So where commits come fast enough to suffer, the next one is waited for. Where
// none comes in time there is no writer to hinder, or not yet.

const (
	// readMarkWaitPerGiB is how long a commit is waited for, for each GiB of the image:
	// little compared with the seconds that a backup of it takes.
	readMarkWaitPerGiB = 50 * time.Millisecond
	// maxReadMarkWait is how long it is waited for at most.
	maxReadMarkWait = 2 * time.Second
	// readMarkPoll is how often it is looked for.
	readMarkPoll = 2 * time.Millisecond
)

// readMarkWait is how long avoidReadMark0 may wait; for small images not at all.
func (i Info) readMarkWait() time.Duration {
	wait := min(time.Duration(float64(i.Bytes())/(1<<30)*float64(readMarkWaitPerGiB)), maxReadMarkWait)
	if wait < readMarkPoll {
		return 0
	}
	return wait
}

// avoidReadMark0 begins the transaction again until it does not hold read mark 0, or wait
// has passed. What is left until ctx's deadline bounds the wait as well, by its half: a
// snapshot that hinders a writer is better than none.
func (t *Tx) avoidReadMark0(ctx context.Context, wait time.Duration) error {
	if deadline, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(deadline)/2)
	}
	for until := time.Now().Add(wait); ; {
		if mark, ok := t.conn.ReadMark(); !ok || mark > 0 || !time.Now().Before(until) {
			return nil
		}
		timer := time.NewTimer(readMarkPoll)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
		if err := t.conn.Exec(ctx, "COMMIT; BEGIN"); err != nil {
			return err
		}
		if err := t.pin(ctx); err != nil {
			return err
		}
	}
}
