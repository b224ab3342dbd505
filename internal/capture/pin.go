package capture

import (
	"context"
	"errors"
	"time"

	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/sqlitefile"
	"example.com/snapd/internal/walfollow"
)

// Between looks the connection of the last one stays open, so that the log's index lives on and
// counts commits. While commits come faster than looks can follow, its read transaction stays
// open, too: no writer can begin the log again then, and nothing is missed. But the log grows.
// So the transaction ends once the log is long, and the next look comes with the log's new
// beginning, when what the last one did not see is still behind it:
//
//	frames   250 ......... heldFrames ──▶ begun again: 1 ... 250
//	         pinned ...... let go ....... watched ........ pinned
//
// It is never held on read mark 0, with which no checkpoint could copy anything: on any other
// one it delays only the new beginning.

const (
	// earlyFrames is by how much a log may grow before it is looked at again: a quarter of where
	// SQLite begins it again by default, so that what was not seen by then is not yet overwritten.
	earlyFrames = 250
	// fireRate is how many frames a second are too many to follow without a pin: the log is begun
	// again after a quarter of a second.
	fireRate = 4000
	// burstBegins is the time from the first commit after a rest to the look for which it is noticed, about.
	burstBegins = 100 * time.Millisecond
	// defaultCheckpoint is the number of frames from which SQLite tries to begin the log again.
	defaultCheckpoint = 1000
)

// heldFrames is how long the log may be for the transaction to be held: beyond what the
// application leaves by itself it grows by 48 MiB at most, and some more until the next look.
func heldFrames(pageSize int) int64 {
	return min(4*defaultCheckpoint, defaultCheckpoint+48<<20/int64(pageSize))
}

// Hold says what is held between two looks.
type Hold int

const (
	Free   Hold = iota
	Pinned      // a read transaction
	LetGo       // none until the log is begun again: then a look is due at once
)

// pin is what is held between two looks.
type pin struct {
	tx     *livedb.Tx   // with or without its transaction; nil for none
	log    [2]livedb.ID // the -wal and -shm that it uses
	pinned bool         // with
	fire   bool         // commits come faster than looks
	begun  time.Time    // the last look, once its state was pinned
	grown  int64        // frames since the look before; more than any for commits that were missed
}

// missedFrames stands for frames that were missed.
const missedFrames = 1 << 40

// judge notes how much the log grew between two looks.
func (p *pin) judge(out Outcome, from, to *walfollow.Position) {
	switch {
	case from == nil || to == nil || out.Behind:
		p.grown = 0
	case out.Way == Compared:
		p.grown = missedFrames
	case from.Salts == to.Salts:
		p.grown = to.LastFrame - from.LastFrame
	default:
		p.grown = to.LastFrame // and what the log had before
	}
}

// take keeps the transaction of a look, which began then, or its connection.
func (p *pin) take(ctx context.Context, tx *livedb.Tx, out *Outcome, begun time.Time) error {
	since := begun.Sub(p.begun)
	if p.tx == nil { // after a rest commits begin shortly before the look
		since = min(since, burstBegins)
	}
	p.begun = begun
	switch rate := float64(p.grown) / since.Seconds(); {
	case p.grown >= 2*earlyFrames && rate >= fireRate:
		p.fire = true
	case rate < fireRate/4:
		p.fire = false
	}
	before := *p
	p.tx, p.pinned = nil, false
	if out.Log == nil { // the next commit begins it
		return errors.Join(tx.Close(), before.close())
	}
	limit := heldFrames(tx.Info().PageSize)
	mark, ok := tx.Conn().ReadMark()
	switch {
	case p.fire && ok && mark > 0 && out.Log.LastFrame+earlyFrames <= limit:
		p.pinned = true
		out.Hold, out.Early = Pinned, limit
	case p.fire:
		out.Hold, out.Early = LetGo, out.Log.LastFrame+limit
	default:
		out.Early = out.Log.LastFrame + earlyFrames
	}
	if !p.pinned {
		if err := tx.Release(ctx); err != nil {
			return errors.Join(err, tx.Close(), before.close())
		}
	}
	p.tx, p.log = tx, logOf(tx)
	return before.close()
}

// ready is called before a look. Where the log was deleted under the connection that is held, as by an
// administrator after a crash of the application, SQLite would go on with the old index: every
// connection of a process to one database file shares it.
func (p *pin) ready() error {
	if p.tx == nil || logOf(p.tx) == p.log {
		return nil
	}
	return p.close()
}

// logOf identifies the log and its index that are there now; zero for none.
func logOf(tx *livedb.Tx) (ids [2]livedb.ID) {
	ids[0], _ = livedb.Identify(sqlitefile.WAL(tx.Path()))
	ids[1], _ = livedb.Identify(sqlitefile.SHM(tx.Path()))
	return ids
}

// letGo ends the transaction that is held, if one is.
func (p *pin) letGo() error {
	if !p.pinned {
		return nil
	}
	p.pinned = false
	if err := p.tx.Release(context.Background()); err != nil {
		return errors.Join(err, p.close())
	}
	return nil
}

func (p *pin) close() error {
	tx := p.tx
	p.tx, p.pinned = nil, false
	return tx.Close()
}
