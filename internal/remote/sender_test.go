package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/store"
	"example.com/snapd/internal/store/storetest"
)

// machine is a backup directory with files, and its sender's host.
type machine struct {
	t     *testing.T
	dir   string
	seals int

	mu               sync.Mutex // guards what follows
	captures, sealed int        // the last ones; Seal makes a segment of those in between
	local            Local
	events           []Event
	rotten           map[string]bool // archives that are damaged here, too, and files of segments
	rots             map[string]bool // archives that are found damaged while they are sent

	suspected []string
	opening   func() error // what opening an archive returns; nil: the archive
}

func newMachine(t *testing.T) *machine {
	m := &machine{t: t, dir: t.TempDir()}
	m.local.Next = 1
	m.local.State = catalog.State{PageSeed: "5ec3e7", Timeline: &catalog.Present{Timeline: catalog.Timeline{Number: 1}}}
	return m
}

func (m *machine) backup(seq, capture int) catalog.Entry {
	e := backup(seq, capture)
	m.write(e.File, int(e.ArchiveBytes))
	m.mu.Lock()
	defer m.mu.Unlock()
	m.local.Backups = append([]catalog.Entry{e}, m.local.Backups...)
	m.local.Next = max(m.local.Next, e.Seq+1)
	return e
}

func (m *machine) segment(first, last int) {
	s := segment(1, first, last)
	s.Path = m.write(fmt.Sprintf("%d-%d", first, last), int(s.Size))
	m.mu.Lock()
	defer m.mu.Unlock()
	m.local.Segments = append(m.local.Segments, s)
}

func (m *machine) write(name string, size int) string {
	path := filepath.Join(m.dir, name)
	content := strings.Repeat(name+" ", size)[:size]
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		m.t.Fatal(err)
	}
	return path
}

func (m *machine) Local(context.Context) (Local, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.local
	l.Backups, l.Segments = slices.Clone(l.Backups), slices.Clone(l.Segments)
	return l, nil
}

func (m *machine) Open(_ context.Context, e catalog.Entry) (File, error) {
	if m.opening != nil {
		return nil, m.opening()
	}
	f, err := os.Open(filepath.Join(m.dir, e.File))
	if err == nil && m.rots[e.ID] {
		return rotting{f}, nil
	}
	return f, err
}

// rotting is an archive whose second half is not what it was.
type rotting struct{ *os.File }

func (r rotting) ReadAt(p []byte, off int64) (int, error) {
	if fi, err := r.Stat(); err != nil || off+int64(len(p)) > fi.Size()/2 {
		return 0, errors.Join(archive.ErrDamaged, err)
	}
	return r.File.ReadAt(p, off)
}

func (m *machine) WholeSegment(path string) error {
	if m.rotten[filepath.Base(path)] {
		return errors.New("the disk is bad")
	}
	return nil
}

func (m *machine) Suspect(_ context.Context, e catalog.Entry) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.suspected = append(m.suspected, e.ID)
	for i := range m.local.Backups {
		if m.local.Backups[i].ID == e.ID {
			m.local.Backups[i].Verification.State = catalog.Failed
		}
	}
}

func (m *machine) Whole(_ context.Context, e catalog.Entry) error {
	if m.rotten[e.ID] {
		return errors.New("the disk is bad")
	}
	return nil
}

func (m *machine) Seal() error {
	m.seals++
	m.mu.Lock()
	first, last := m.sealed+1, m.captures
	m.sealed = last
	m.mu.Unlock()
	if first <= last {
		m.segment(first, last)
	}
	return nil
}

func (m *machine) Report(e Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.events = append(m.events, e)
}

func (m *machine) Code(err error) string {
	for _, known := range []error{store.ErrGone, store.ErrFull, store.ErrDenied, store.ErrThrottled, ErrOtherWriter, ErrOtherPlace} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	return "failed"
}

// reported counts the events of a kind; says must be in the last one.
func (m *machine) reported(k EventKind, says ...string) (n int) {
	m.t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	text := ""
	for _, e := range m.events {
		if e.Kind == k {
			n++
			text = fmt.Sprint(e.Message, " ", e.Err)
		}
	}
	for _, s := range says {
		if !strings.Contains(text, s) {
			m.t.Errorf("%q does not say %q", text, s)
		}
	}
	return n
}

// sender sends from m to s.
func (m *machine) sender(s store.Store, settings Settings) *Sender {
	if settings.Period == 0 {
		settings.Period = DefaultPeriod
	}
	return New(Options{Name: "offsite", Where: "memory:", Database: "data.db", Dir: m.dir, Host: m, Now: time.Now,
		Open:     func(context.Context, string) (Place, error) { return Place{Store: s}, nil },
		Settings: func() Settings { return settings }})
}

// drain sends all that is there.
func (m *machine) drain(s *Sender) {
	draining := make(chan struct{})
	close(draining)
	s.Run(m.t.Context(), draining)
}

func (m *machine) ledger() Ledger {
	m.t.Helper()
	l, err := ReadLedger(m.dir, "offsite")
	if err != nil {
		m.t.Fatal(err)
	}
	return l
}

// contents are the names of backups and segments in s; their bytes must be the files'.
func (m *machine) contents(s *storetest.Memory) (names []string) {
	m.t.Helper()
	for _, name := range s.Names() {
		n, ok := Parse(name)
		if !ok || n.Kind != Backup && n.Kind != Segment {
			continue
		}
		file := n.ID + ".db.zst"
		if n.Kind == Segment {
			file = fmt.Sprintf("%d-%d", n.First, n.Last)
		}
		want, err := os.ReadFile(filepath.Join(m.dir, file))
		if err != nil || !bytes.Equal(want, s.Bytes(name)) {
			m.t.Errorf("%s is not what is here: %v", name, err)
		}
		names = append(names, short(n))
	}
	return names
}

func TestSend(t *testing.T) {
	t.Parallel()
	m, s := newMachine(t), storetest.NewMemory()
	m.backup(1, 0)
	m.backup(2, 100)
	m.segment(1, 100)
	m.segment(101, 110)
	m.drain(m.sender(s, Settings{Delete: true}))
	if got := strings.Join(m.contents(s), " "); got != "data_1 data_2 1/1-100 1/101-110" {
		t.Errorf("%s is there", got)
	}
	if m.reported(Sent) != 2 || m.reported(SentMore) != 2 || m.reported(Failing) > 0 {
		t.Errorf("%+v", m.events)
	}
	lists := s.Count(storetest.List)
	l := m.ledger()
	local, _ := m.Local(t.Context())
	st := Judge(l, local, day0.Add(3*time.Hour))
	if st.State != Current || st.Backups != 2 || *st.Newest != "data_2" || *st.LagSeconds != 0 || st.Proof != "stored" || st.Pending != 0 {
		t.Errorf("%+v", st)
	}
	if lists != 1 {
		t.Errorf("%d lists", lists)
	}
	// What is known of the backups is there, too.
	d, err := DecodeDocument(bytes.NewReader(s.Bytes("catalog/000000001.json.zst")))
	if err != nil || len(d.Backups) != 2 || d.PageSeed != "5ec3e7" || d.Database != l.Database || d.Backups[0].Checksum == "" {
		t.Errorf("%+v, %v", d, err)
	}
	// Another start sends nothing again, also when the ledger is lost but for whose place it is.
	puts := s.Count(storetest.Put)
	l.Copies = nil
	if err := l.write(m.dir); err != nil {
		t.Fatal(err)
	}
	m.drain(m.sender(s, Settings{Delete: true}))
	if n := s.Count(storetest.Put) - puts; n != 1 || m.reported(Sent) != 2 {
		t.Errorf("%d more objects, one of which is the claim", n)
	}
	if e := m.ledger().Copies; len(e) != 7 || !slices.ContainsFunc(e, func(c Copy) bool { return c.Entry != nil && c.Entry.ID == "data_2" && c.Checksum != "" }) {
		t.Errorf("%+v", e)
	}
}

// Lost: a copy, an object without an owner, or the remote for good, when the process dies at the wrong moment.
func TestKilledAtEveryStep(t *testing.T) {
	t.Parallel()
	for name, begun := range map[string]bool{"a remote that is in use": true, "a new one": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			killedAtEveryStep(t, begun)
		})
	}
}

func killedAtEveryStep(t *testing.T, begun bool) {
	settings := Settings{Delete: true, Keep: catalog.Policy{Last: 2, Daily: catalog.None}}
	prepare := func() (*machine, *storetest.Memory) {
		m, s := newMachine(t), storetest.NewMemory()
		m.backup(1, 0)
		m.segment(1, 100)
		if begun {
			m.drain(m.sender(s, settings))
		}
		m.backup(2, 100)
		m.segment(101, 110)
		m.backup(3, 110)
		m.segment(111, 120)
		return m, s
	}
	m, s := prepare()
	total := 0
	s.Before(func(context.Context, storetest.Op, string) error { total++; return nil })
	m.drain(m.sender(s, settings))
	want := "data_2 data_3 1/101-110 1/111-120"
	if got := strings.Join(m.contents(s), " "); got != want || total < 13 || begun != (m.reported(Removed) == 1) {
		t.Fatalf("%s after %d operations: %+v", got, total, m.events)
	}
	for step := 1; step <= total; step++ {
		for _, late := range []bool{false, true} { // killed before the operation, or once it had its effect
			m, s := prepare()
			n, dead, over := 0, make(chan struct{}), make(chan struct{})
			die := func() {
				if n++; n == step {
					close(dead)
					<-over
				}
			}
			if late {
				s.After(func(storetest.Op, string) error { die(); return nil })
			} else {
				s.Before(func(context.Context, storetest.Op, string) error { die(); return nil })
			}
			gone := make(chan struct{})
			go func() {
				defer close(gone)
				m.drain(m.sender(s, settings))
			}()
			select {
			case <-dead:
			case <-gone:
			}
			s.Before(nil)
			s.After(nil)
			m.drain(m.sender(s, settings))
			if got := strings.Join(m.contents(s), " "); got != want {
				t.Errorf("killed at %d, %v: %s is there", step, late, got)
			}
			if m.reported(Failing)+m.reported(Fenced)+m.reported(Damaged) > 0 {
				t.Errorf("killed at %d, %v: %+v", step, late, m.events)
			}
			l := m.ledger()
			local, _ := m.Local(t.Context())
			if st := Judge(l, local, day0.Add(4*time.Hour)); st.State != Current || st.Damaged > 0 || *st.Newest != "data_3" {
				t.Errorf("killed at %d, %v: %+v", step, late, st)
			}
			// Of the dead one nothing may happen any more; this one is not really dead, and meets the claim of the other.
			close(over)
			<-gone
			if got := strings.Join(m.contents(s), " "); got != want {
				t.Errorf("killed at %d, %v: %s is there after the dead one went on", step, late, got)
			}
		}
	}
}

func TestSecondWriter(t *testing.T) {
	t.Parallel()
	first, second, s := newMachine(t), newMachine(t), storetest.NewMemory()
	first.backup(1, 0)
	one := first.sender(s, Settings{})
	first.drain(one)
	second.backup(1, 0)
	second.backup(2, 0)
	for range 2 {
		second.drain(second.sender(s, Settings{}))
	}
	if second.reported(Fenced, "another snapd", fmt.Sprint(os.Getpid()), "data.db") != 2 {
		t.Errorf("%+v", second.events)
	}
	if got := strings.Join(first.contents(s), " "); got != "data_1" || len(s.Names()) != 5 {
		t.Errorf("%v is there", s.Names())
	}
	local, _ := second.Local(t.Context())
	if st := Judge(second.ledger(), local, day0); st.State != Stopped || st.Error == nil {
		t.Errorf("%+v", st)
	}
	// The first one says it with its next object, and goes on.
	first.backup(2, 0)
	if _, err := one.work(t.Context()); err != nil {
		t.Fatal(err)
	}
	if first.reported(Intruder, "was refused", fmt.Sprint(os.Getpid()), "data.db") != 1 || !slices.Contains(first.contents(s), "data_2") {
		t.Errorf("%+v", first.events)
	}
}

func TestCopyOfADirectoryIsRefused(t *testing.T) {
	t.Parallel()
	m, s := newMachine(t), storetest.NewMemory()
	m.backup(1, 0)
	m.drain(m.sender(s, Settings{}))
	other := newMachine(t)
	if err := os.CopyFS(other.dir, os.DirFS(m.dir)); err != nil {
		t.Fatal(err)
	}
	other.local = m.local
	other.backup(2, 0)
	for range 2 {
		other.drain(other.sender(s, Settings{}))
	}
	if other.reported(Fenced) != 2 || slices.Contains(m.contents(s), "data_2") {
		t.Errorf("%+v", other.events)
	}
	m.backup(2, 0)
	m.drain(m.sender(s, Settings{}))
	if !slices.Contains(m.contents(s), "data_2") {
		t.Errorf("the first one is stopped: %+v", m.events)
	}
}

// A machine that was cloned as a whole cannot be distinguished from the first one. The one that started last goes on.
func TestCloneOfAMachine(t *testing.T) {
	t.Parallel()
	m, s := newMachine(t), storetest.NewMemory()
	m.backup(1, 0)
	one := m.sender(s, Settings{})
	m.drain(one)
	m.drain(m.sender(s, Settings{}))
	m.backup(2, 0)
	_, err := one.work(t.Context())
	if !errors.Is(err, ErrOtherWriter) || slices.Contains(m.contents(s), "data_2") {
		t.Errorf("%v", err)
	}
}

func TestAnotherPlace(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.backup(1, 0)
	m.drain(m.sender(storetest.NewMemory(), Settings{}))
	empty := storetest.NewMemory()
	m.drain(m.sender(empty, Settings{}))
	if m.reported(Fenced, "snapd.json is gone") != 1 || len(empty.Names()) > 0 {
		t.Errorf("%+v, %v", m.events, empty.Names())
	}
}
