package recorder

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/capture"
	"example.com/snapd/internal/changes"
	"example.com/snapd/internal/livedb"
)

// Dir is the directory of the change logs in a backup directory.
const Dir = changes.Folder

const (
	// sealEvery is how long a segment is appended to, at most.
	sealEvery = 5 * time.Minute
	// choreEvery is how often sealing and retention are looked at.
	choreEvery = 30 * time.Second
	// patience is how long a look waits for locks of the application.
	patience = 5 * time.Second
	// quietFailure is how long looks may fail for a reason that passes by itself, such as a lock, without a word.
	quietFailure = 30 * time.Second
)

// Host is what a recorder needs of the one who keeps the backups. It is called by several goroutines.
type Host interface {
	// Read returns the backups, newest first, and what is remembered.
	Read() ([]catalog.Entry, catalog.State, error)
	OpenArchive(catalog.Entry) (*archive.Reader, error)
	PageSeed(context.Context) (archive.Seed, error)
	// CheckPlace refuses a backup directory that went away, and another one in its place.
	CheckPlace() error
	// Update changes what is remembered; what names it.
	Update(what string, change func(*catalog.State))

	// Judge looks whether the database is still the one that was backed up, and records it. It waits for
	// an operation that is at work.
	Judge(context.Context) error
	// Begin has a new timeline begin, if the present one is still that one. locked: the caller holds the operation lock.
	Begin(ctx context.Context, present uint64, cause catalog.Cause, what string, locked bool) error
	// NeedBackup asks for a backup, unless the recorder is Ready by then; reason is the same for the same request.
	NeedBackup(reason string)
	Report(Event)
	Code(error) string // a stable word for it
}

// Options of New.
type Options struct {
	Database string // path
	Name     string // base name of the backups
	Dir      string // of the change logs
	Host     Host
	Now      func() time.Time
	Settings func() Settings // may change while the recorder runs
}

// Settings are how captures are made and kept.
type Settings struct {
	Every    time.Duration // between looks; 0: as capture.Pace says
	Tiers    changes.Tiers
	MaxBytes int64 // of all change logs; 0: no limit
}

// Recorder keeps the change log of one database.
type Recorder struct {
	o Options

	wake struct {
		sync.Mutex
		up context.CancelFunc // ends the waiting of Run
	}

	mu        sync.Mutex
	ended     bool
	suspended int // see Suspend
	timeline  uint64
	log       *changes.Log   // nil while there is none open
	chain     *capture.Chain // nil with it
	base      string         // id of the newest backup that the log builds on
	rotten    error          // damage that was found when the open segment was sealed, nil for none
	checked   Mark           // the last state that an anchor checked, and found nothing
	unfit     string         // id of a backup that no log can build on: it has another page size
	points    int            // of the log
	had       uint64         // the last timeline whose log had captures here
	looked    time.Time      // the last look that succeeded, or zero
	at        capture.Source // where that found the database

	failing  time.Time // since when looks fail, or zero
	stopped  *catalog.CapturesStopped
	reported bool // whether captures work, by this Recorder

	keep keeper

	// prove proves a sealed segment again; a test's fails.
	prove func(ctx context.Context, path string, s changes.Sealed) (from uint64, err error)
}

// New returns a recorder, which does nothing yet.
func New(o Options) *Recorder { return &Recorder{o: o, prove: changes.ProveAgain} }

// Run captures what is committed until ctx ends. Then it looks once more, and seals.
func (r *Recorder) Run(ctx context.Context) {
	if _, state, err := r.o.Host.Read(); err == nil {
		r.mu.Lock()
		r.stopped = state.CapturesStopped // of a process before this one
		r.mu.Unlock()
	}
	work := make(chan time.Time, 1)
	var house sync.WaitGroup
	house.Go(func() { r.housekeep(ctx, work) })
	for ctx.Err() == nil {
		r.watch(ctx, work)
	}
	close(work)
	house.Wait()
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	_, _ = r.look(end) // it has reported what is wrong
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
	r.finish()
}

// watch looks as often as the settings say, until they change, Wake is called or ctx ends.
func (r *Recorder) watch(ctx context.Context, work chan<- time.Time) {
	every := r.o.Settings().Every
	w, err := capture.NewWatch(r.o.Database, capture.Pace{Every: every})
	if err != nil { // it works all the same
		r.o.Host.Report(Event{Kind: Trouble, Message: "commits are looked for once a second", Err: err})
	}
	defer w.Close()
	chores := r.o.Now()
	for ctx.Err() == nil && r.o.Settings().Every == every {
		if now := r.o.Now(); !now.Before(chores) || chores.Sub(now) > choreEvery {
			chores = now.Add(choreEvery)
			r.chores(work)
		}
		wait, cancel := context.WithTimeout(ctx, chores.Sub(r.o.Now()))
		r.setWake(cancel)
		due, err := w.Next(wait)
		woken := err != nil && errors.Is(wait.Err(), context.Canceled)
		cancel()
		switch {
		case ctx.Err() != nil:
		case due == capture.Rest:
			r.rest()
		case due == capture.Look:
			out, err := r.look(ctx)
			if errors.Is(err, errWaiting) {
				r.o.Host.NeedBackup(r.wanting())
			}
			w.Looked(out, err)
		case woken:
			return // a new watch begins with a look
		}
	}
}

// wanting names what a backup is needed for.
func (r *Recorder) wanting() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return fmt.Sprint(r.timeline, " ", r.unfit)
}

func (r *Recorder) setWake(up context.CancelFunc) {
	r.wake.Lock()
	defer r.wake.Unlock()
	r.wake.up = up
}

// Wake has Run look at once: there is a new backup, or another timeline.
func (r *Recorder) Wake() {
	r.wake.Lock()
	defer r.wake.Unlock()
	if r.wake.up != nil {
		r.wake.up()
	}
}

// rest closes the connection of the last looks.
func (r *Recorder) rest() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.chain != nil {
		r.trouble(r.chain.Rest())
	}
}

// Suspend has no look be made, and no connection be open, until resume is called.
func (r *Recorder) Suspend() (resume func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.suspended++
	if r.chain != nil {
		r.trouble(r.chain.Rest())
	}
	return sync.OnceFunc(func() {
		r.mu.Lock()
		r.suspended--
		r.mu.Unlock()
		r.Wake()
	})
}

// What a look meets that is no error of it.
var (
	errWaiting   = errors.New("there is no backup that a change log could build on")
	errSuspended = errors.New("a restore is at work")
	errMoved     = errors.New("another timeline began")
	errOtherFile = errors.New("it is another file")
)

// endedError says that the log cannot go on: another timeline has to begin, for a cause.
type endedError struct {
	timeline uint64
	cause    catalog.Cause
	what     string
}

func (e *endedError) Error() string { return e.what }

// maxTurns bounds how often one look begins again.
const maxTurns = 4

// look captures what was committed.
func (r *Recorder) look(ctx context.Context) (out capture.Outcome, err error) {
	for range maxTurns {
		out, err = r.lookOnce(func() (capture.Outcome, error) {
			wait, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			return r.chain.Capture(wait, r.o.Now)
		}, ctx)
		again, turnErr := r.turn(ctx, err, false)
		if !again {
			err = turnErr
			break
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.outcome(ctx, err)
	if err == nil {
		r.at, r.looked = r.source(), r.o.Now()
	}
	return out, err
}

// Ready reports whether there is a backup that a log builds on. Else the host is to make one.
func (r *Recorder) Ready(ctx context.Context) bool {
	_, err := r.look(ctx)
	return !errors.Is(err, errWaiting)
}

// turn does what a look asks for that could not append, and says whether to look again.
func (r *Recorder) turn(ctx context.Context, err error, locked bool) (again bool, _ error) {
	var end *endedError
	switch {
	case errors.Is(err, errMoved):
		return true, err
	case errors.Is(err, errOtherFile):
		if !locked {
			if err := r.o.Host.Judge(ctx); err != nil {
				return false, err
			}
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.chain != nil {
			r.chain.Distrust()
		}
		return true, err
	case errors.As(err, &end):
		if err := r.o.Host.Begin(ctx, end.timeline, end.cause, end.what, locked); err != nil {
			return false, err
		}
		return true, err
	}
	return false, err
}

// lookOnce makes one look, with the log open, and keeps the account of it.
func (r *Recorder) lookOnce(capt func() (capture.Outcome, error), ctx context.Context) (out capture.Outcome, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.suspended > 0 || r.ended {
		return out, errSuspended
	}
	if err := r.o.Host.CheckPlace(); err != nil {
		return out, err
	}
	if err := r.rotten; err != nil { // what is appended to it could never be sealed
		r.close()
		return out, &endedError{r.timeline, catalog.NewLog, err.Error()}
	}
	if r.chain == nil {
		if err := r.open(ctx); err != nil {
			r.close()
			return out, err
		}
	}
	behind := ""
	r.chain.SetGate(func(d capture.Doubt, reason string) error {
		switch d {
		case capture.OtherFile:
			return errOtherFile
		case capture.Behind:
			behind = reason
		}
		return r.gate(d)
	})
	was, _ := r.chain.State()
	before := r.chain.Source()
	out, err = capt()
	switch {
	case err == nil:
	case errors.Is(err, errMoved):
		r.finish()
		return out, err
	case errors.Is(err, errBehind):
		r.finish()
		return out, &endedError{r.timeline, catalog.SetBack, "commits that were captured are gone: " + behind}
	case errors.Is(err, capture.ErrOtherShape):
		if r.points == 0 { // its base is all there is of it
			r.unfit = r.base
			r.close()
			return out, errWaiting
		}
		r.finish()
		return out, &endedError{r.timeline, catalog.NewLog, err.Error()}
	case errors.Is(err, errSuspended), errors.Is(err, errOtherFile), errors.Is(err, capture.ErrPast):
		return out, err
	default:
		if !livedb.Transient(err) && !errors.Is(err, livedb.ErrBusy) && !errors.Is(err, livedb.ErrMissing) {
			r.close() // what the log is now is found out when it is opened again
		}
		return out, err
	}
	if seq, _ := r.chain.State(); seq != was {
		r.points, r.had = r.points+1, r.timeline
		r.captured(out, before)
	} else {
		r.trouble(r.noteLook(before))
	}
	if bytes, _ := r.log.OpenBytes(); bytes >= changes.SealedBytes {
		r.trouble(r.seal())
	}
	return out, nil
}

var errBehind = errors.New("commits that were captured are gone")

// gate decides, with a state pinned, whether it may be appended.
func (r *Recorder) gate(d capture.Doubt) error {
	all, state, err := r.o.Host.Read()
	switch {
	case err != nil:
		return err
	case state.Restoring != nil:
		return errSuspended
	case catalog.PresentOf(slices.Values(all), state).Number != r.timeline:
		return errMoved
	case d == capture.Behind:
		return errBehind
	}
	return nil
}

// source is where the last look found the database.
func (r *Recorder) source() capture.Source {
	if r.chain == nil {
		return capture.Source{}
	}
	return r.chain.Source()
}

// SealOlder seals what was captured, if its first capture is so old: a sealed segment can be copied to another place,
// and changes.SealedIn lists it. While nothing is captured it does nothing.
func (r *Recorder) SealOlder(age time.Duration) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.log == nil {
		return nil
	}
	if _, since := r.log.OpenBytes(); since.IsZero() || r.o.Now().Sub(since).Abs() < age {
		return nil
	}
	return r.seal()
}

// seal ends the open segment.
func (r *Recorder) seal() error {
	if r.log == nil {
		return nil
	}
	err := r.log.Seal()
	if errors.Is(err, changes.ErrDamaged) {
		r.rotten = err
	}
	return err
}

// finish ends a log that is not appended to any more.
func (r *Recorder) finish() {
	r.trouble(r.seal())
	r.close()
}

// close gives up the log, as it is.
func (r *Recorder) close() {
	if r.chain != nil {
		_ = r.chain.Rest() // its connection has only read
	}
	if r.log != nil {
		_ = r.log.Close() // every capture was synced
	}
	r.chain, r.log, r.rotten = nil, nil, nil
}

// dir is where the log of a timeline is.
func (r *Recorder) dir(timeline uint64) string {
	return filepath.Join(r.o.Dir, strconv.FormatUint(timeline, 10))
}
