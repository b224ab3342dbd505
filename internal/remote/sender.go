package remote

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/message"
	"example.com/snapd/internal/store"
)

const (
	// pace is the least time between two copies of what was just captured.
	pace = 10 * time.Second
	// firstRetry and lastRetry bound the time between attempts at a remote that failed.
	firstRetry, lastRetry = 10 * time.Second, 5 * time.Minute
	// proveEvery is how often a share of the copies is read back; all of them come up within proveAll.
	proveEvery, proveAll = 24 * time.Hour, 30 * 24 * time.Hour
)

// Host is what a sender needs of the one who keeps the backups. It is called from the sender's goroutine.
type Host interface {
	// Local is what there is to send.
	Local(context.Context) (Local, error)
	// Open opens an archive. What is read of it is proven on the way: else reading fails.
	Open(context.Context, catalog.Entry) (File, error)
	// Whole proves the archive of a backup as it lies here, byte for byte; WholeSegment does that of a segment.
	Whole(context.Context, catalog.Entry) error
	WholeSegment(path string) error
	// Suspect has a backup verified whose archive was not what it should be.
	Suspect(context.Context, catalog.Entry)
	// Seal ends the open segment of the change log, if it has captures.
	Seal() error
	Report(Event)
	Code(error) string // a stable word for it
}

// Place is an opened remote.
type Place struct {
	Store  store.Store // objects as they lie there
	Sealed store.Store // seals what is put, under names with the suffix; nil: nothing is sealed
	// Recipients are the public keys for which it seals.
	Recipients []string
	// ID identifies the place, where its store has such a thing.
	ID string
}

// to is where an object is put, and under which name there.
func (p Place) to(n Name) (store.Store, string) {
	if !n.Sealed {
		return p.Store, n.String()
	}
	n.Sealed = false // the store that seals adds the suffix
	return p.Sealed, n.String()
}

// EventKind says what an Event is about.
type EventKind int

// The kinds of events.
const (
	Sent     EventKind = iota // a backup is there; Message says how it was proven
	SentMore                  // a segment is there
	Removed                   // a backup was removed there
	Failing                   // the remote cannot be used, for Err; this is tried again
	Working                   // it can be used again
	Fenced                    // another writes there, or is who the place belongs to; nothing more is sent
	Intruder                  // another tried to write there, and was refused
	Damaged                   // a copy is not what was stored
	Proven                    // a share of the copies was read back
	Notice                    // worth a look
)

// Event is what a sender reports.
type Event struct {
	Kind    EventKind
	Backup  string // id; "" for none
	Point   string // id of the newest recovery point of a segment
	Bytes   int64
	Message string
	Err     error
}

// Settings are what may change while a sender runs.
type Settings struct {
	Keep   catalog.Policy
	Delete bool
	Points time.Duration // how long recovery points stay at most
	Period time.Duration // how old what is there may be while there is newer here
}

// Options of New.
type Options struct {
	Name     string // of the remote
	Where    string // for people, without secrets
	Database string // file name
	Dir      string // the backup directory
	Sealed   bool   // recipients are configured: nothing may be sent that is not sealed
	// Open opens the remote. id is that of the Place when it was opened first, "" before.
	Open     func(ctx context.Context, id string) (Place, error)
	Host     Host
	Now      func() time.Time
	Settings func() Settings
	// As is what the sender was configured with. A [Group] begins it again where that is another.
	As any
}

// Sender keeps one remote up to date.
type Sender struct {
	o    Options
	wake chan struct{}
	run  string // of this process

	// Of the goroutine of Run.
	ledger   Ledger
	place    *Place // nil: not opened, or given up after an error
	failures int
	captured time.Time // since when there is something to seal; zero for nothing
	saved    time.Time // when the ledger was written
	unsaved  bool
	me       note
	// sealedBefore names the recipients that the ledger had when the remote was opened: what was sent before is sealed for those.
	sealedBefore string
	immovable    map[string]bool // what stays until the next day: the store does not let it go, or it is not proven here
	refused      bool            // the store did so, and that was said
	next         string          // after a failure
	unsent       error           // why something could not be read here in the last round; nil for nothing
	draining     <-chan struct{} // closed when it is to end

	asked     chan struct{}            // holds at most one notice that a round is asked for
	moving    atomic.Pointer[movement] // of the present round; nil for none
	abandoned atomic.Bool              // another one may be in its place: nothing is written down any more

	mu     sync.Mutex // guards what follows
	hinted time.Time  // a capture was made
	asks   []*ask     // for the next round
	over   error      // it has ended, and why
}

// New returns a sender, which does nothing yet.
func New(o Options) *Sender {
	return &Sender{o: o, wake: make(chan struct{}, 1), asked: make(chan struct{}, 1), run: newToken(), next: "; this is tried again by itself", immovable: map[string]bool{}}
}

// Changed has the sender look for what to send.
func (s *Sender) Changed() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Captured has the sender seal and send, in a while, what was just captured.
func (s *Sender) Captured() {
	s.mu.Lock()
	first := s.hinted.IsZero()
	if first {
		s.hinted = s.o.Now()
	}
	s.mu.Unlock()
	if first {
		s.Changed()
	}
}

// takeCaptured is since when captures wait.
func (s *Sender) takeCaptured() (since time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	since, s.hinted = s.hinted, time.Time{}
	return since
}

// Run sends until ctx ends, or until what was there when draining was closed is sent, or cannot be.
func (s *Sender) Run(ctx context.Context, draining <-chan struct{}) {
	over := errOver
	defer func() { s.end(over) }()
	var err error
	s.ledger, err = openLedger(s.o.Dir, s.o.Name)
	if err != nil {
		over = err
		s.o.Host.Report(Event{Kind: Fenced, Err: err, Message: "nothing is sent to " + s.o.Name})
		return
	}
	s.configure()
	s.draining = draining
	for ctx.Err() == nil {
		last, asks := closed(draining), s.takeAsks()
		if len(asks) > 0 {
			s.prepare()
		}
		wait, err := s.work(ctx)
		s.answer(asks, err)
		switch {
		case stops(err):
			over = err
			s.fail(err)
			s.o.Host.Report(Event{Kind: Fenced, Err: err, Message: "nothing more is sent to " + s.o.Name})
			return
		case err != nil && ctx.Err() == nil:
			s.fail(err)
			wait = retryAfter(s.failures)
		}
		if last {
			return
		}
		s.sleep(ctx, wait, draining)
	}
}

// stops reports whether nothing may be sent any more until a person has decided.
func stops(err error) bool {
	return errors.Is(err, ErrOtherWriter) || errors.Is(err, ErrOtherPlace) || errors.Is(err, ErrOlder)
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// sleep waits for something to do; negative: for a call of Changed alone. While a remote fails, changes do not hurry it.
func (s *Sender) sleep(ctx context.Context, wait time.Duration, draining <-chan struct{}) {
	var timer <-chan time.Time
	if wait >= 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		timer = t.C
	}
	wake := s.wake
	if s.failures > 0 {
		wake = nil
	}
	select {
	case <-ctx.Done():
	case <-draining:
	case <-s.asked:
	case <-wake:
	case <-timer:
	}
}

// retryAfter is how long to wait after so many failures.
func retryAfter(failures int) time.Duration { return min(lastRetry, firstRetry<<min(failures-1, 10)) }

// configure remembers in the ledger what is configured.
func (s *Sender) configure() {
	set := s.o.Settings()
	l := &s.ledger
	if l.Database == "" {
		l.Where = s.o.Where // else it is where the copies are
	}
	l.Sealed, l.Retired, l.Period, l.Keep = s.o.Sealed, false, set.Period, set.Keep
	s.save()
}

// save writes the ledger. Where that fails the next start lists the store all the same.
func (s *Sender) save() {
	if s.abandoned.Load() {
		return
	}
	s.saved, s.unsaved = s.o.Now(), false
	if err := s.ledger.write(s.o.Dir); err != nil {
		s.o.Host.Report(Event{Kind: Notice, Err: err, Message: "what is at a remote could not be written down"})
	}
}

// fail remembers a failure, after which what is there is found out again.
func (s *Sender) fail(err error) {
	s.place = nil
	s.failures++
	s.trouble(err)
}

// trouble remembers a failure. The first one is reported, and one of another kind.
func (s *Sender) trouble(err error) {
	code := s.o.Host.Code(err)
	was, stopped := s.ledger.Failure, stops(err)
	if was != nil && was.Code == code && s.ledger.Stopped == stopped {
		return
	}
	f := Failure{Since: s.o.Now().UTC(), Code: code, Message: err.Error()}
	if advice := message.HintOf(err); advice != "" {
		f.Message += "; " + advice
	}
	if was != nil {
		f.Since = was.Since
	}
	s.ledger.Failure, s.ledger.Stopped = &f, stopped
	s.save()
	if !stopped {
		s.o.Host.Report(Event{Kind: Failing, Err: err, Message: fmt.Sprintf("remote %s cannot be used%s", s.o.Name, s.next)})
	}
}

// works remembers that the remote can be used.
func (s *Sender) works() {
	s.failures = 0
	if was := s.ledger.Failure; was != nil {
		s.ledger.Failure, s.ledger.Stopped = nil, false
		s.save()
		s.o.Host.Report(Event{Kind: Working, Message: fmt.Sprintf("remote %s can be used again", s.o.Name)})
	}
}

// nextProof is when a share is to be read back.
func (s *Sender) nextProof() time.Time { return s.ledger.Proven.Add(proveEvery) }
