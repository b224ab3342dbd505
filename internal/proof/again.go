package proof

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/integrity"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/catalogfile"
	"example.com/snapd/internal/failure"
	"example.com/snapd/internal/remote"
	"example.com/snapd/internal/schedule"
)

const (
	// lookEvery is how often what is due is looked for, at most.
	lookEvery = time.Hour
	// workFor is how long a share is read without a rest, which is restFor times as long: nothing waits for it, and
	// what it takes it takes from the application.
	workFor, restFor = 50 * time.Millisecond, 3
)

// Again proves the stored backups again while a service is at work, by their bytes: a share each day, and all of them within
// schedule.ProveAll. It takes no operation lock. Look and Wait belong to one goroutine.
type Again struct {
	Catalog *catalogfile.Catalog
	Now     func() time.Time
	// Found hears of a backup that is damaged, and marked failed, or that could not be read.
	Found func(ctx context.Context, e catalog.Entry, err error)
	// Verify proves one that is not verified, and whose bytes are sound.
	Verify func(ctx context.Context, id string)

	looked time.Time     // when Look looked what is due
	wait   time.Duration // until it does so again
	work   sync.WaitGroup
	busy   atomic.Bool
	lost   atomic.Bool
}

// Look begins to read a share where one is due, and goes on with that after it has returned, until ctx ends. It reports whether
// a backup was found damaged since it was called last.
func (a *Again) Look(ctx context.Context, now time.Time) (lost bool) {
	lost = a.lost.Swap(false)
	if a.busy.Load() || now.Sub(a.looked).Abs() < a.wait {
		return lost
	}
	a.looked, a.wait = now, lookEvery
	all, state, err := a.Catalog.Read()
	if err != nil || a.Catalog.CheckPlace() != nil {
		return lost // what is wrong is reported by those who write there
	}
	if state.BackupsRead != nil {
		if since := now.Sub(*state.BackupsRead).Abs(); since < schedule.ProveEvery {
			a.wait = min(lookEvery, schedule.ProveEvery-since)
			return lost
		}
	}
	if list := share(all, now); len(list) > 0 {
		a.wait = schedule.ProveEvery // also where that cannot be remembered
		a.busy.Store(true)
		a.work.Go(func() {
			defer a.busy.Store(false)
			a.read(ctx, list)
		})
	}
	return lost
}

// Wait waits for the end of what Look began.
func (a *Again) Wait() { a.work.Wait() }

// share are the backups to read again now, those first that were proven the longest time ago. What was proven within a day is not
// read, nor what another directory made and no person has accepted.
func share(all []catalog.Entry, now time.Time) []catalog.Entry {
	var total int64
	var order []catalog.Entry
	for _, e := range all {
		total += e.ArchiveBytes
		if e.Accepted() && now.Sub(provenAt(e, now)) >= schedule.ProveEvery {
			order = append(order, e)
		}
	}
	slices.SortFunc(order, func(a, b catalog.Entry) int {
		return cmp.Or(provenAt(a, now).Compare(provenAt(b, now)), cmp.Compare(a.Seq, b.Seq))
	})
	return schedule.Share(order, total, func(e catalog.Entry) int64 { return e.ArchiveBytes }, func(e catalog.Entry) bool {
		at := provenAt(e, now)
		return !at.IsZero() && now.Sub(at) >= schedule.ProveAll-schedule.ProveEvery
	})
}

// provenAt is when e was proven last. A proof of the future was made by a clock that was wrong, and counts as none: the zero time.
func provenAt(e catalog.Entry, now time.Time) time.Time {
	if at := e.Verification.At; at != nil && !at.After(now) {
		return *at
	}
	return time.Time{}
}

// read reads a share.
func (a *Again) read(ctx context.Context, list []catalog.Entry) {
	var same []proved // as they were before
	for _, e := range list {
		p, err := a.prove(ctx, e)
		switch {
		case ctx.Err() != nil, a.Catalog.CheckPlace() != nil: // the rest is for the next time
			_, _ = a.keep(ctx, nil, same)
			return
		case errors.Is(err, failure.ErrCorrupt) && e.Verification.State == catalog.Failed:
			same = append(same, p)
		case errors.Is(err, failure.ErrCorrupt):
			n, kept := a.keep(ctx, nil, []proved{p})
			if n > 0 {
				a.lost.Store(true)
			}
			if n > 0 || kept != nil { // else it was proven or deleted meanwhile
				a.Found(ctx, e, errors.Join(err, kept))
			}
		case errors.Is(err, failure.ErrNotFound) && a.deleted(e):
		case err != nil:
			a.Found(ctx, e, err)
		case e.Verification.State != catalog.Verified:
			a.Verify(ctx, e.ID)
		default:
			same = append(same, p)
		}
	}
	at := a.Now().UTC()
	if _, err := a.keep(ctx, &at, same); err != nil {
		a.Found(ctx, catalog.Entry{}, err)
	}
}

// deleted reports whether the catalog has the backup no more.
func (a *Again) deleted(e catalog.Entry) bool {
	_, err := a.Catalog.Get(e.ID)
	return errors.Is(err, failure.ErrNotFound)
}

// proved is a backup with its verification after a reading.
type proved struct {
	catalog.Entry
	now catalog.Verification
}

// prove reads all bytes of e from the disk, and again where they are not sound. The error is ErrCorrupt where they are damaged; any other
// says why that is not known.
func (a *Again) prove(ctx context.Context, e catalog.Entry) (p proved, err error) {
	p = proved{e, e.Verification}
	began := time.Now()
	rest := func(int64) {
		if worked := time.Since(began); worked >= workFor {
			pause(ctx, restFor*worked)
			began = time.Now()
		}
	}
	read := func() (integrity.Report, error) {
		return readAll(ctx, a.Catalog, e, catalogfile.Uncached(a.Catalog), archive.CopyOptions{Workers: 1, Progress: rest})
	}
	report, err := read()
	if err == nil && report.Damaged() {
		err = &failure.CorruptError{What: Named(e), Report: report}
		if doubt := confirmed(err, read); doubt != nil {
			return p, doubt
		}
		p.now = Verdict(report, a.Now().UTC())
		return p, a.withCopies(e, err)
	}
	if err == nil {
		p.now.At = new(a.Now().UTC())
	}
	return p, err
}

// withCopies names the remotes that have a sound copy of a damaged backup.
func (a *Again) withCopies(e catalog.Entry, err error) error {
	list := []catalog.Entry{e}
	(&remote.Copies{Dir: a.Catalog.Dir()}).Fill(list)
	var names []string
	for _, c := range list[0].Copies {
		if c.State != catalog.CopyFailed {
			names = append(names, c.Remote)
		}
	}
	if len(names) == 0 {
		return err
	}
	return fmt.Errorf("%w; it is also at remote %s, for restore --from", err, strings.Join(names, ", "))
}

// keep records verifications of backups that were not proven otherwise meanwhile, in one update, and that a share was read at a time, nil
// for not. It returns how many it recorded.
func (a *Again) keep(ctx context.Context, at *time.Time, list []proved) (n int, err error) {
	if len(list) == 0 && at == nil {
		return 0, nil
	}
	relink := false
	err = a.Catalog.Update(context.WithoutCancel(ctx), func(tx *catalogfile.Tx) error {
		n = 0
		for _, p := range list {
			now, err := tx.Get(p.ID)
			if err != nil || !sameProof(now.Verification, p.Verification) {
				continue
			}
			relink = relink || now.Verification.State != p.now.State
			now.Verification = p.now
			if err := tx.Put(now); err != nil {
				return err
			}
			n++
		}
		if at != nil {
			tx.State().BackupsRead = at
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("record the proof of stored backups: %w", err)
	}
	if relink {
		err = a.Catalog.LinkLatest()
	}
	return n, err
}

// sameProof reports whether a and b are of the same proof.
func sameProof(a, b catalog.Verification) bool {
	return a.State == b.State && a.Level == b.Level && (a.At == nil) == (b.At == nil) && (a.At == nil || a.At.Equal(*b.At))
}

// pause waits for d, or the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
