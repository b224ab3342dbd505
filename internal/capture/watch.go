package capture

import (
	"context"
	"errors"
	"fmt"
	"time"

	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/sqlitefile"
	"example.com/snapd/internal/walfollow"
)

// Due is what Watch.Next waited for.
type Due int

const (
	Look Due = iota + 1 // Chain.Capture
	Rest                // Chain.Rest: nothing was committed for a while
)

// Pace says how often a database is looked at. Its zero value is the default.
type Pace struct {
	Every   time.Duration // between looks while there are commits; a second
	Silence time.Duration // without commits after which the database is left alone; five seconds
}

const (
	// lockShare is the least ratio of the time between looks to the time for which one holds
	// a lock that writers wait for.
	lockShare = 50
	// mostGlance is the time between two glances at the index while there are commits: a log that
	// grows fast is looked at early. Where it needs that they come faster, down to leastGlance apart.
	mostGlance  = 50 * time.Millisecond
	leastGlance = 2 * time.Millisecond
	// idlePoll is the time between looks at the files' times where there are no notices, or
	// none has come so far; trustedPoll that where notices come.
	idlePoll    = time.Second
	trustedPoll = 30 * time.Second
	// maxBackoff is the longest time between looks that fail.
	maxBackoff = time.Minute
	// maxPassing is after how many failures the intervals no longer grow where it passes by itself.
	maxPassing = 2
)

// Watch decides when a database is looked at:
//
//	idle       nothing was committed for Silence. It is not opened or read: a notice of the
//	           system, or a change of the files' times, begins the next look.
//	active     a look every Every, where the index or the files' times changed; earlier when
//	           the log was begun again, or grew past Outcome.Early. There are no notices.
//	           Once nothing is committed for Every, a notice takes the place of glances
//	           at the index.
//	last look  Silence after the last commit, with the notices on again: where it finds
//	           nothing, Rest is due, and the database is idle.
//
// A look that fails is made again, at growing intervals. For one goroutine; the database is
// watched by another one until Close.
type Watch struct {
	pace  Pace
	files files

	next    time.Time     // a look, or zero while idle
	begun   time.Time     // the look that is under way, or the last one
	span    time.Duration // since the look before that one
	until   time.Time     // then the last look is due
	quiet   time.Time     // no look before
	noticed bool          // a write ended the idle time
	resting bool          // Rest is due
	listens bool          // notices are on, while active
	failed  int           // looks in a row

	seen   *walfollow.Position // by the last look; nil without a log
	early  int64               // the log's frame with which a look is due at once
	hold   Hold
	glance time.Duration // between two at the index

	trusted bool // a notice has come
	missed  bool // one did not
}

// files is what Watch sees of a database without opening it.
type files interface {
	Changed() <-chan struct{}
	Poll() bool
	Pause()
	Resume() error
	// Index is the header of the log's index; ok is false where it is not to be had.
	Index() (x sqlitefile.WALIndex, ok bool)
	// Reopen looks for the index again: the application may have deleted it.
	Reopen()
	Close()
}

// NewWatch watches the database at path. With an error it works all the same, and notices
// commits within a second.
func NewWatch(path string, pace Pace) (*Watch, error) {
	w, err := livedb.Watch(path)
	if err != nil {
		err = fmt.Errorf("watch the database: %w", err)
	}
	return newWatch(&liveFiles{Watcher: w, path: path}, pace), err
}

func newWatch(f files, pace Pace) *Watch {
	if pace.Every <= 0 {
		pace.Every = time.Second
	}
	if pace.Silence <= 0 {
		pace.Silence = max(5*time.Second, 2*pace.Every)
	}
	now := time.Now()
	w := &Watch{pace: pace, files: f, next: now, until: now}
	w.files.Pause()
	return w
}

// Next waits until something is due: a look at first, then what the outcomes of looks and the
// database itself call for. Its error is the context's.
func (w *Watch) Next(ctx context.Context) (Due, error) {
	for {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		now := time.Now()
		switch {
		case w.resting:
			w.resting, w.next = false, time.Time{}
			return Rest, nil
		case w.due(now):
			w.span, w.begun, w.noticed = now.Sub(w.begun), now, false
			w.files.Poll()
			if !now.Before(w.until) {
				_ = w.files.Resume() // without notices Poll notices it
			}
			return Look, nil
		}
		w.wait(ctx, now)
	}
}

// due reports whether a look is, and puts off one that would find nothing.
func (w *Watch) due(now time.Time) bool {
	switch {
	case w.next.IsZero():
		return false
	case now.Before(w.next):
		return w.failed == 0 && !now.Before(w.quiet) && w.grew()
	case now.Before(w.until) && w.failed == 0 && !w.noticed && w.hold != Pinned && !w.changed():
		if w.next = now.Add(w.pace.Every); w.next.After(w.until) {
			w.next = w.until
		}
		w.listen()
		return false
	}
	return true
}

// listen has a notice end a silence, where notices come and looks go by the index: one that is lost costs no more than Every.
func (w *Watch) listen() {
	if w.trusted && w.seen != nil && !w.listens {
		w.listens = w.files.Resume() == nil
	}
}

// pause ends the notices: while there are commits there would be one for each.
func (w *Watch) pause() {
	w.listens = false
	w.files.Pause()
}

// grew reports whether the log calls for an early look.
func (w *Watch) grew() bool {
	if w.seen == nil {
		return false
	}
	x, ok := w.files.Index()
	return ok && (x.Salts != w.seen.Salts || x.LastFrame >= w.early)
}

// changed reports whether there may be commits since the last look. By the files' times two writes in
// one tick of their clock are one; the last look is later than that.
func (w *Watch) changed() bool {
	if w.seen != nil {
		if x, ok := w.files.Index(); ok {
			x.Copied = w.seen.Copied
			return x != *w.seen
		}
	}
	return w.files.Poll()
}

// wait waits for a moment at which something may be due.
func (w *Watch) wait(ctx context.Context, now time.Time) {
	var d time.Duration
	var notices <-chan struct{}
	idle := w.next.IsZero()
	switch {
	case idle && w.trusted:
		d, notices = trustedPoll, w.files.Changed()
	case idle:
		d, notices = idlePoll, w.files.Changed()
	case w.listens:
		d, notices = w.next.Sub(now), w.files.Changed()
	default:
		if d = w.next.Sub(now); w.seen != nil {
			d = min(d, w.glance)
		}
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-notices:
		w.trusted = !w.missed
		w.wake()
	case <-timer.C:
		if !idle || !w.files.Poll() {
			return
		}
		select {
		case <-notices: // both at once
			w.trusted = !w.missed
		default:
			w.trusted, w.missed = false, w.missed || w.trusted
		}
		w.wake()
	}
}

// wake ends the idle time: something was written. A moment later more of it is there.
func (w *Watch) wake() {
	w.pause()
	w.noticed, w.next, w.glance = true, time.Now().Add(w.pace.Every/10), leastGlance
	if w.next.Before(w.quiet) {
		w.next = w.quiet
	}
	w.until = w.next.Add(w.pace.Silence)
}

// Looked takes the outcome of the look that was due.
func (w *Watch) Looked(out Outcome, err error) {
	now := time.Now()
	last := !w.begun.Before(w.until)
	found := out.Way == Followed || out.Way == Compared
	if err == nil && last && !found {
		w.failed, w.resting, w.listens = 0, true, false
		return
	}
	w.pause()
	if err != nil {
		if w.failed++; passes(err) {
			w.failed = min(w.failed, maxPassing)
		}
		w.next = now.Add(min(w.pace.Every<<min(w.failed, 16), max(maxBackoff, w.pace.Every)))
		return
	}
	w.failed = 0
	if found {
		w.until = w.begun.Add(w.pace.Silence)
	}
	// What is committed now is to be on the disk within Every.
	took := now.Sub(w.begun)
	w.quiet = now.Add(lockShare * out.Locked)
	w.next = w.begun.Add(max(w.pace.Every-2*took, w.pace.Every/2))
	if w.next.Before(w.quiet) {
		w.next = w.quiet
	}
	w.plan(out, found)
}

// passes reports whether the application at its work was in the way: it commits meanwhile.
func passes(err error) bool {
	return (livedb.Transient(err) || errors.Is(err, livedb.ErrBusy)) && !errors.Is(err, ErrExclusive)
}

// plan decides what glances go by until the next look.
func (w *Watch) plan(out Outcome, found bool) {
	before := w.seen
	w.seen, w.early, w.hold = out.Log, out.Early, out.Hold
	if w.seen == nil {
		return
	}
	w.files.Reopen()
	w.glance = mostGlance
	switch {
	case w.hold == LetGo:
		w.glance = leastGlance
		return
	case before == nil || !found:
		return
	}
	grown := w.seen.LastFrame
	if before.Salts == w.seen.Salts {
		grown -= before.LastFrame
	}
	if room := w.early - w.seen.LastFrame; grown > 0 { // two glances before it is full
		at := time.Duration(float64(w.span) * float64(room) / float64(2*grown))
		w.glance = min(w.glance, max(at, leastGlance))
	}
}

// Close ends the watching.
func (w *Watch) Close() { w.files.Close() }

// liveFiles are those of a database.
type liveFiles struct {
	*livedb.Watcher
	path  string
	index *livedb.File // nil where it cannot be read
}

func (f *liveFiles) Index() (x sqlitefile.WALIndex, ok bool) {
	if f.index == nil {
		return x, false
	}
	return f.index.LogIndex()
}

func (f *liveFiles) Reopen() {
	before := f.index
	f.index, _ = livedb.OpenIndex(f.path) // looks are made every Every without it
	f.drop(before)
}

func (f *liveFiles) drop(index *livedb.File) {
	if index != nil {
		_ = index.Close() // only read
	}
}

func (f *liveFiles) Close() {
	f.drop(f.index)
	f.index = nil
	f.Watcher.Close()
}
