package capture

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/sqlitefile"
	"example.com/snapd/internal/testdb"
	"example.com/snapd/internal/walfollow"
)

// fakeFiles are a database's as a test has them.
type fakeFiles struct {
	mu       sync.Mutex
	notices  chan struct{}
	silent   bool // the system gives no notices
	paused   bool
	written  int // times
	polled   int // written at the last poll
	polls    int
	index    sqlitefile.WALIndex
	hasIndex bool
	glances  int
}

func (f *fakeFiles) Changed() <-chan struct{} { return f.notices }
func (f *fakeFiles) Reopen()                  {}
func (f *fakeFiles) Close()                   {}

func (f *fakeFiles) Pause() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.paused = true
}

// last is the index as the last write left it.
func (f *fakeFiles) last() sqlitefile.WALIndex {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.index
}

func (f *fakeFiles) Resume() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.paused = false
	select {
	case <-f.notices:
	default:
	}
	f.polled = f.written
	return nil
}

func (f *fakeFiles) Poll() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.polls++
	differs := f.polled != f.written
	f.polled = f.written
	return differs
}

func (f *fakeFiles) Index() (sqlitefile.WALIndex, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.glances++
	return f.index, f.hasIndex
}

func (f *fakeFiles) write(frames int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.written++
	if f.index.LastFrame += frames; f.index.LastFrame > 1000 {
		f.index.LastFrame, f.index.Salts[3] = frames, f.index.Salts[3]+1
	}
	f.index.Changes++
	if f.paused || f.silent {
		return
	}
	select {
	case f.notices <- struct{}{}:
	default:
	}
}

// diary runs a Watch for so long, next to an application that writes so many frames at the given
// times, and says what was due when.
func diary(t *testing.T, f *fakeFiles, pace Pace, locked, span time.Duration, writes map[time.Duration]int64) string {
	t.Helper()
	var due []string
	synctest.Test(t, func(t *testing.T) {
		f.notices = make(chan struct{}, 1)
		begin := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), span)
		defer cancel()
		for at, frames := range writes {
			time.AfterFunc(at, func() { f.write(frames) })
		}
		w := newWatch(f, pace)
		defer w.Close()
		seen := uint32(0)
		for {
			what, err := w.Next(ctx)
			if err != nil {
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Error(err)
				}
				return
			}
			at := time.Since(begin).Seconds()
			if what == Rest {
				due = append(due, fmt.Sprintf("%.2f rest", at))
				continue
			}
			out := Outcome{Way: Nothing}
			if f.hasIndex {
				out.Log = &walfollow.Position{}
				*out.Log = f.last()
				out.Early = out.Log.LastFrame + earlyFrames
			}
			if n := f.last().Changes; n != seen {
				out.Way, seen, out.Locked = Followed, n, locked
				due = append(due, fmt.Sprintf("%.2f", at))
			} else {
				due = append(due, fmt.Sprintf("%.2f nothing", at))
			}
			w.Looked(out, nil)
		}
	})
	return strings.Join(due, ", ")
}

func TestWhenToLook(t *testing.T) {
	const s, ms = time.Second, time.Millisecond
	commits := func(from, to, each time.Duration, frames int64) map[time.Duration]int64 {
		m := map[time.Duration]int64{}
		for at := from; at < to; at += each + time.Microsecond { // nothing happens at the same instant
			m[at] = frames
		}
		return m
	}
	for _, v := range []struct {
		name   string
		files  *fakeFiles
		locked time.Duration
		span   time.Duration
		writes map[time.Duration]int64
		want   string
	}{
		{"nothing", &fakeFiles{hasIndex: true}, 0, 60 * s, nil, "0.00 nothing, 0.00 rest"},
		{"one commit", &fakeFiles{hasIndex: true}, 0, 60 * s, commits(10*s+1, 10*s+2, s, 2),
			"0.00 nothing, 0.00 rest, 10.10, 15.10 nothing, 15.10 rest"},
		{"without notices", &fakeFiles{hasIndex: true, silent: true}, 0, 60 * s, commits(10*s+555*ms, 11*s, s, 2),
			"0.00 nothing, 0.00 rest, 11.10, 16.10 nothing, 16.10 rest"},
		{"some seconds of work", &fakeFiles{hasIndex: true}, 0, 60 * s, commits(10*s+5*ms, 13*s, 10*ms, 1),
			"0.00 nothing, 0.00 rest, 10.11, 11.11, 12.11, 13.11, 18.11 nothing, 18.11 rest"},
		{"the log grows early", &fakeFiles{hasIndex: true}, 0, 12 * s, commits(10*s+5*ms, 11*s, 10*ms, 5),
			"0.00 nothing, 0.00 rest, 10.11, 10.61, 11.61"},
		{"each commit begins the log again", &fakeFiles{hasIndex: true}, 0, 11*s + 300*ms, commits(10*s+5*ms, 11*s, 300*ms, 600),
			"0.00 nothing, 0.00 rest, 10.11, 10.36, 10.65, 10.96"},
		{"no log", &fakeFiles{}, 0, 60 * s, commits(10*s+5*ms, 12*s, 10*ms, 1),
			"0.00 nothing, 0.00 rest, 10.11, 11.11, 12.11, 17.11 nothing, 17.11 rest"},
		{"writers wait", &fakeFiles{}, 100 * ms, 21 * s, commits(10*s+5*ms, 20*s, 10*ms, 1),
			"0.00 nothing, 0.00 rest, 10.11, 15.11, 20.11"},
	} {
		t.Run(v.name, func(t *testing.T) {
			if got := diary(t, v.files, Pace{}, v.locked, v.span, v.writes); got != v.want {
				t.Errorf("%s\nwant %s", got, v.want)
			}
		})
	}
}

// Idle means idle: a notice costs nothing while none comes, else a look at the files' times each second.
func TestIdleWatch(t *testing.T) {
	for _, silent := range []bool{false, true} {
		f := &fakeFiles{hasIndex: true, silent: silent}
		diary(t, f, Pace{}, 0, time.Minute, map[time.Duration]int64{time.Millisecond: 1})
		polls, glances := f.polls, f.glances
		f = &fakeFiles{hasIndex: true, silent: silent}
		diary(t, f, Pace{}, 0, 11*time.Minute, map[time.Duration]int64{time.Millisecond: 1})
		most := 600
		if !silent {
			most = 20
		}
		if n := f.polls - polls; n > most || n == 0 {
			t.Errorf("notices: %v: %d polls in ten idle minutes", !silent, n)
		}
		if f.glances != glances {
			t.Errorf("%d glances at the index of an idle database", f.glances-glances)
		}
	}
}

// After a burst there are no glances until the database is left alone: a notice ends that.
func TestWatchAfterABurst(t *testing.T) {
	glances := func(span time.Duration, writes map[time.Duration]int64) int {
		f := &fakeFiles{hasIndex: true}
		diary(t, f, Pace{}, 0, span, writes)
		return f.glances
	}
	const s, ms = time.Second, time.Millisecond
	one := map[time.Duration]int64{10*s + 1: 2}
	early, late := glances(11*s+500*ms, one), glances(15*s, one)
	if n := late - early; n > 10 {
		t.Errorf("%d glances in 3.5 s without a commit", n)
	}
	f := &fakeFiles{hasIndex: true}
	writes := map[time.Duration]int64{10*s + 1: 2}
	for at := 13*s + 333*ms; at < 13*s+400*ms; at += 5*ms + 1 {
		writes[at] = 100
	}
	if got, want := diary(t, f, Pace{}, 0, 14*s, writes), "0.00 nothing, 0.00 rest, 10.10, 13.35, 13.39"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

// A system that gives some notices and not others is not trusted again.
func TestUntrustedNotices(t *testing.T) {
	f := &fakeFiles{hasIndex: true}
	minute := time.Minute + 345678*time.Microsecond
	writes := map[time.Duration]int64{minute: 1, 2 * minute: 1, 4 * minute: 1, 6 * minute: 1}
	got := ""
	synctest.Test(t, func(t *testing.T) {
		time.AfterFunc(90*time.Second, func() {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.silent = true
		})
		f.notices = make(chan struct{}, 1)
		begin := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 8*minute)
		defer cancel()
		for at, n := range writes {
			time.AfterFunc(at, func() { f.write(n) })
		}
		w, seen := newWatch(f, Pace{}), uint32(0)
		for {
			what, err := w.Next(ctx)
			if err != nil {
				return
			}
			if what == Rest {
				continue
			}
			out := Outcome{Way: Nothing}
			if n := f.last().Changes; n != seen {
				out.Way, seen = Followed, n
				got += fmt.Sprintf("%.1f ", time.Since(begin).Seconds())
			}
			w.Looked(out, nil)
		}
	})
	// The second one comes with the poll of the trusted; those after it within a second.
	if want := "60.4 125.5 241.6 362.7 "; got != want {
		t.Errorf("looked at %s, want %s", got, want)
	}
}

// A look that fails is made again, less and less often, and what it missed is there in the end. What
// fails while the application is at work would lose what it commits: it stays within seconds.
func TestLooksThatFail(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{errors.New("no space"), "0 2 6 14 30 62 122 182 242"},
		{ErrExclusive, "0 2 6 14 30 62 122 182 242"},
		{fmt.Errorf("%w: %w", ErrExclusive, livedb.ErrBusy), "0 2 6 14 30 62 122 182 242"},
		{livedb.ErrMoving, "0 2 6 10 14 18 22 26 30"},
		{livedb.ErrBusy, "0 2 6 10 14 18 22 26 30"},
	} {
		t.Run(c.err.Error(), func(t *testing.T) { looksThatFail(t, c.err, c.want) })
	}
}

func looksThatFail(t *testing.T, fails error, want string) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatch(&fakeFiles{notices: make(chan struct{}, 1)}, Pace{})
		begin := time.Now()
		var at []string
		for range 9 {
			if what, err := w.Next(t.Context()); what != Look || err != nil {
				t.Fatal(what, err)
			}
			at = append(at, fmt.Sprint(int(time.Since(begin).Seconds())))
			w.Looked(Outcome{}, fails)
		}
		if got := strings.Join(at, " "); got != want {
			t.Errorf("looked at %s, want %s", got, want)
		}
		if _, err := w.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.Looked(Outcome{Way: Nothing}, nil)
		if what, err := w.Next(t.Context()); what != Rest || err != nil {
			t.Fatal(what, err)
		}
	})
}

// A Watch with a real database and its Chain: what is committed is captured, then there is rest, and
// nothing stays behind.
func TestWatchAndCapture(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	for _, mode := range []string{"wal", "delete"} {
		path := filepath.Join(t.TempDir(), "data.db")
		a := testdb.StartChurn(t, path, 1, "PRAGMA journal_mode="+mode+"; "+testdb.ChurnSchema)
		s := newScene(t, path)
		w, err := NewWatch(path, Pace{Every: 100 * time.Millisecond, Silence: 300 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		captured := 0
		for rests := 0; rests < 3; {
			what, err := w.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if what == Rest {
				if err := s.chain.Rest(); err != nil {
					t.Fatal(err)
				}
				if rests++; rests < 3 {
					a.Exec(0, "INSERT INTO t(a) VALUES(1)")
				}
				continue
			}
			out, err := s.chain.Capture(t.Context(), time.Now)
			if err != nil {
				t.Fatal(err)
			}
			if out.Way != Nothing {
				captured++
			}
			w.Looked(out, nil)
		}
		w.Close()
		if captured != 2 {
			t.Errorf("%s: %d captures of 2 commits", mode, captured)
		}
		a.Stop()
		s.close()
	}
}
