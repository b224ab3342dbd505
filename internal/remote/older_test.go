package remote

import (
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/store/storetest"
)

// Lost: what is made from now on, whose numbers are those of what is at the remote: it is never sent, or is removed there as the oldest.
func TestDirectoryThatIsOlderThanTheRemote(t *testing.T) {
	t.Parallel()
	again := func(m *machine, seq, capture int) {
		e := backup(seq, capture)
		e.ID, e.File, e.CreatedAt = e.ID+"_again", e.ID+"_again.db.zst", e.CreatedAt.Add(time.Hour)
		m.write(e.File, int(e.ArchiveBytes))
		m.local.Backups = append([]catalog.Entry{e}, m.local.Backups...)
		m.local.Next = max(m.local.Next, uint64(seq)+1)
	}
	for name, c := range map[string]struct {
		becomes func(m *machine, was Local, ledger []byte)
		says    string
	}{
		"its catalog was lost": {func(m *machine, _ Local, _ []byte) {
			m.local = Local{Next: 1}
			again(m, 1, 0)
		}, "backup number 3 is there, and the next one here would have number 2"},
		"its catalog was lost, and numbers went on": {func(m *machine, _ Local, _ []byte) {
			m.local = Local{Next: 4, State: catalog.State{Timeline: &catalog.Present{Timeline: catalog.Timeline{Number: 1}}}}
			again(m, 4, 0)
		}, "timeline 2 is there, and the database is on timeline 1 here"},
		"it was put back as it was": {func(m *machine, was Local, ledger []byte) {
			m.local = was
			if err := os.WriteFile(ledgerPath(m.dir, "offsite"), ledger, 0o600); err != nil {
				m.t.Fatal(err)
			}
			s := segment(2, 21, 24)
			s.Path = m.write("21-24", int(s.Size))
			m.local.Segments = append(m.local.Segments, s)
		}, "capture 30 of timeline 2 is there, and the last one here is 24"},
		"it was put back as it was, and passed what is there": {func(m *machine, was Local, ledger []byte) {
			m.local = was
			if err := os.WriteFile(ledgerPath(m.dir, "offsite"), ledger, 0o600); err != nil {
				m.t.Fatal(err)
			}
			s := segment(2, 21, 34)
			s.Path = m.write("21-34", int(s.Size))
			m.local.Segments = append(m.local.Segments, s)
			again(m, 4, 0)
		}, "began to write at"},
		"its catalog was put back, and passed what is there": {func(m *machine, was Local, _ []byte) {
			m.local = was
			m.local.Backups = m.local.Backups[1:]
			m.local.State.Timeline = &catalog.Present{Timeline: catalog.Timeline{Number: 3}}
			again(m, 3, 0)
			again(m, 4, 0)
		}, "backup number 3 is data_3 there, and data_3_again here"},
	} {
		t.Run(name, func(t *testing.T) {
			m, s := newMachine(t), storetest.NewMemory()
			settings := Settings{Delete: true}
			for seq := range 3 {
				m.backup(seq+1, 0)
			}
			onTimeline2(m, 1, 20)
			m.drain(m.sender(s, settings))
			was, _ := m.Local(t.Context())
			ledger, err := os.ReadFile(ledgerPath(m.dir, "offsite"))
			if err != nil {
				t.Fatal(err)
			}
			onTimeline2(m, 21, 30)
			m.drain(m.sender(s, settings))
			before := s.Names()
			c.becomes(m, was, ledger)
			m.drain(m.sender(s, settings))
			if m.reported(Fenced, "is older than what was sent", c.says) != 1 || !slices.Equal(s.Names(), before) {
				t.Errorf("%+v\n%v\n%v", m.events, s.Names(), before)
			}
			f := m.ledger().Failure
			if f == nil || !m.ledger().Stopped || !strings.Contains(f.Message, "snapd remote adopt offsite") {
				t.Errorf("%+v", f)
			}
			// What it says is what to do.
			sender := m.sender(s, settings)
			a, err := Adopt(t.Context(), sender.o, catalog.PresentOf(slices.Values(m.local.Backups), m.local.State).Number, begun)
			if err != nil || a.Number < 4 || a.Timeline < 3 {
				t.Fatalf("%+v, %v", a, err)
			}
			m.local.Next = a.Number
			m.local.State.Timeline = &catalog.Present{Timeline: catalog.Timeline{Number: a.Timeline}}
			e := m.backup(int(a.Number), 0)
			m.local.Backups[0].Timeline.Number = a.Timeline
			m.drain(sender)
			now := m.names(s)
			for _, n := range before {
				if p, _ := Parse(n); (p.Kind == Backup || p.Kind == Segment) && !slices.Contains(now, short(p)) {
					t.Errorf("%s is gone", n)
				}
			}
			if !slices.Contains(now, e.ID) || m.ledger().Failure != nil {
				t.Errorf("%v, %+v", now, m.ledger().Failure)
			}
		})
	}
}

// Lost: every capture from then on, without a word: the change log was removed while the service was at work, and its numbers begin again.
func TestLogThatBeginsAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, s := newMachine(t), storetest.NewMemory()
		m.backup(1, 0)
		m.segment(1, 50)
		sender := m.sender(s, Settings{})
		go sender.Run(t.Context(), nil)
		synctest.Wait()
		m.mu.Lock()
		m.local.Segments = nil
		m.mu.Unlock()
		m.segment(1, 3)
		sender.Changed()
		synctest.Wait()
		if m.reported(Fenced, "capture 50 of timeline 1 is there, and the last one here is 3") != 1 || !m.ledger().Stopped {
			t.Errorf("%+v", m.events)
		}
	})
}

// onTimeline2 adds a segment of timeline 2, and has the database on it.
func onTimeline2(m *machine, first, last int) {
	m.segment(first, last)
	m.local.Segments[len(m.local.Segments)-1].Name.Timeline = 2
	m.local.State.Timeline = &catalog.Present{Timeline: catalog.Timeline{Number: 2}}
}

// A log that is gone, or was joined, is not older: the recorder begins another timeline, or goes on.
func TestDirectoryThatIsNotOlder(t *testing.T) {
	t.Parallel()
	m, s := newMachine(t), storetest.NewMemory()
	m.backup(1, 0)
	for first := 1; first < 40; first += 10 {
		m.segment(first, first+9)
	}
	m.drain(m.sender(s, Settings{}))
	m.local.Segments = nil
	m.drain(m.sender(s, Settings{}))
	m.segment(1, 40)
	m.drain(m.sender(s, Settings{}))
	m.backup(2, 60) // what came before it was removed
	m.local.Segments = m.local.Segments[:0]
	m.segment(61, 70)
	m.drain(m.sender(s, Settings{}))
	if m.reported(Fenced)+m.reported(Failing) > 0 {
		t.Errorf("%+v", m.events)
	}
}

// Lost: the copies of a remote that was moved, or the way to have it go on where it is now.
func TestRemoteThatWasMoved(t *testing.T) {
	t.Parallel()
	m, s := newMachine(t), storetest.NewMemory()
	m.backup(1, 0)
	m.drain(m.sender(s, Settings{}))
	there := storetest.NewMemory()
	o := m.sender(there, Settings{}).o
	o.Where = "memory:elsewhere"
	for range 2 { // the second start says it, too
		m.drain(New(o))
		f := m.ledger().Failure
		if f == nil || !strings.Contains(f.Message, "it was memory: before") || !strings.Contains(f.Message, "snapd remote adopt offsite") || m.ledger().Where != "memory:" {
			t.Errorf("%+v", f)
		}
	}
	if len(there.Names()) > 0 {
		t.Errorf("%v is there", there.Names())
	}
	if _, err := Adopt(t.Context(), o, 1, begun); err != nil {
		t.Fatal(err)
	}
	m.backup(2, 0)
	m.local.Backups[0].Timeline.Number = 2
	m.drain(New(o))
	if got := strings.Join(m.contents(there), " "); got != "data_2" || m.ledger().Where != "memory:elsewhere" {
		t.Errorf("%s is there: %+v", got, m.events)
	}
}
