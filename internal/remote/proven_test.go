package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/snapd/internal/store"
	"example.com/snapd/internal/store/seal"
	"example.com/snapd/internal/store/storetest"
)

// Lost: the good copies, one after the other, for those of a backup that has rotted here.
func TestDamagedArchiveIsNotSent(t *testing.T) {
	t.Parallel()
	m, s := newMachine(t), storetest.NewMemory()
	m.backup(1, 0)
	m.backup(2, 0)
	m.rots = map[string]bool{"data_2": true}
	m.drain(m.sender(s, Settings{Delete: true}))
	if got := strings.Join(m.contents(s), " "); got != "data_1" || fmt.Sprint(m.suspected) != "[data_2]" || m.reported(Notice, "data_2", "damaged") != 1 {
		t.Errorf("%s is there, %v is suspected: %+v", got, m.suspected, m.events)
	}
}

// Lost: the alarm about an archive that has rotted, where copies are sealed: it is no failure of the remote.
func TestDamagedArchiveIsNotSealed(t *testing.T) {
	t.Parallel()
	m, s := newMachine(t), storetest.NewMemory()
	key, ids := newKey(t)
	m.backup(1, 0)
	m.backup(2, 0)
	m.rots = map[string]bool{"data_2": true}
	m.drain(m.sealing(s, Settings{Delete: true}, key))
	if got := strings.Join(opens(t, s, ids), " "); got != "data_1" || fmt.Sprint(m.suspected) != "[data_2]" || m.reported(Failing) > 0 {
		t.Errorf("%s is there, %v is suspected: %+v", got, m.suspected, m.events)
	}
}

// Lost: a segment that is damaged there in part, for one that is damaged here as well.
func TestDamagedSegmentStaysWhereTheOneHereIsNotWhole(t *testing.T) {
	t.Parallel()
	for _, whole := range []bool{true, false} {
		m, s := newMachine(t), storetest.NewMemory()
		m.backup(1, 0)
		m.segment(1, 9)
		m.drain(m.sender(s, Settings{Delete: true}))
		l := m.ledger()
		for i := range l.Copies {
			if n, _ := Parse(l.Copies[i].Name); n.Kind == Segment {
				l.Copies[i].Damaged = "bits"
			}
		}
		if err := l.write(m.dir); err != nil {
			t.Fatal(err)
		}
		m.rotten = map[string]bool{"1-9": !whole}
		m.drain(m.sender(s, Settings{Delete: true}))
		if deleted := s.Count(storetest.Delete) > 0; deleted != whole || whole != (m.reported(Notice) == 0) {
			t.Errorf("whole %v: deleted %v, %+v", whole, deleted, m.events)
		}
		if got := strings.Join(m.contents(s), " "); got != "data_1 1/1-9" {
			t.Errorf("whole %v: %s is there", whole, got)
		}
	}
}

// files is a store that has no checksum of what it has, as directories.
type files struct{ *storetest.Memory }

func (f files) Stat(ctx context.Context, name string) (store.Object, error) {
	o, err := f.Memory.Stat(ctx, name)
	o.Checksum = ""
	return o, err
}

func (f files) List(ctx context.Context, prefix, after string) iter.Seq2[store.Object, error] {
	return func(yield func(store.Object, error) bool) {
		for o, err := range f.Memory.List(ctx, prefix, after) {
			if o.Checksum = ""; !yield(o, err) {
				return
			}
		}
	}
}

// Lost: the copy that a person relies on, which has the right size and other bytes, because nobody had noted what was stored.
func TestCopiesWithoutNotesAreComparedWithWhatIsHere(t *testing.T) {
	t.Parallel()
	m, s := newMachine(t), storetest.NewMemory()
	e := m.backup(1, 0)
	m.backup(2, 0)
	m.segment(1, 9)
	m.drain(m.sender(files{s}, Settings{Delete: true}))
	forget := func() {
		l := m.ledger()
		l.Copies = nil
		if err := l.write(m.dir); err != nil {
			t.Fatal(err)
		}
	}
	forget()
	gets := s.Count(storetest.Get)
	m.drain(m.sender(files{s}, Settings{Delete: true}))
	if m.reported(Damaged) > 0 || s.Count(storetest.Get)-gets < 3 {
		t.Errorf("%d reads, %+v", s.Count(storetest.Get)-gets, m.events)
	}
	for _, c := range m.ledger().Copies {
		if n, _ := Parse(c.Name); (n.Kind == Backup || n.Kind == Segment) && (c.ReadBack == nil || c.Checksum == "") {
			t.Errorf("%+v", c)
		}
	}
	forget()
	name := Name{Kind: Backup, Number: 1, ID: e.ID}.String()
	rotten := s.Bytes(name)
	rotten[7] ^= 1
	s.Set(name, rotten)
	m.drain(m.sender(files{s}, Settings{Delete: true}))
	if got := strings.Join(m.contents(s), " "); got != "data_1 data_2 1/1-9" {
		t.Errorf("%s is there: %+v", got, m.events)
	}
}

// sealing is a machine whose copies are sealed for some keys.
func (m *machine) sealing(s *storetest.Memory, settings Settings, keys ...seal.Key) *Sender {
	m.t.Helper()
	var names []string
	for _, k := range keys {
		names = append(names, k.Recipient)
	}
	to, err := seal.ParseRecipients(names)
	if err != nil {
		m.t.Fatal(err)
	}
	if settings.Period == 0 {
		settings.Period = DefaultPeriod
	}
	return New(Options{Name: "offsite", Where: "memory:", Database: "data.db", Dir: m.dir, Host: m, Now: time.Now, Sealed: true,
		Open: func(context.Context, string) (Place, error) {
			return Place{Store: s, Sealed: seal.New(s, to, seal.Identities{}, m.t.TempDir()), Recipients: to.Strings()}, nil
		},
		Settings: func() Settings { return settings }})
}

func newKey(t *testing.T) (seal.Key, seal.Identities) {
	t.Helper()
	key, err := seal.Generate(false)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "key.txt")
	if err := os.WriteFile(file, []byte(key.Identity), 0o600); err != nil {
		t.Fatal(err)
	}
	ids, err := seal.ReadIdentities(file)
	if err != nil {
		t.Fatal(err)
	}
	return key, ids
}

// opens reports which of the copies an identity opens, and what is inside.
func opens(t *testing.T, s *storetest.Memory, ids seal.Identities) (names []string) {
	t.Helper()
	for o, err := range s.List(t.Context(), "", "") {
		n, ok := Parse(o.Name)
		if err != nil || !ok || !n.Sealed || n.Kind != Backup && n.Kind != Segment {
			continue
		}
		inside, err := seal.Open(t.Context(), s, o, ids)
		if errors.Is(err, seal.ErrNoIdentity) {
			continue
		} else if err != nil {
			t.Fatal(err)
		}
		r, err := inside.Get(t.Context(), 0, -1)
		if err == nil {
			_, err = io.Copy(io.Discard, r)
		}
		if err != nil {
			t.Errorf("%s: %v", o.Name, err)
		}
		names = append(names, short(n))
	}
	return names
}

// Lost: what was sent before a second key was added, with the first sheet.
func TestRecipientIsAdded(t *testing.T) {
	t.Parallel()
	m, s := newMachine(t), storetest.NewMemory()
	one, ids1 := newKey(t)
	two, ids2 := newKey(t)
	m.backup(1, 0)
	m.backup(2, 9)
	m.segment(1, 9)
	m.segment(10, 19)
	m.drain(m.sealing(s, Settings{Delete: true}, one))
	all := "data_1 data_2 1/1-9 1/10-19"
	if got := strings.Join(opens(t, s, ids1), " "); got != all {
		t.Fatalf("%s is there", got)
	}
	// All there are for the first key alone: none is removed as long as nothing else can be restored.
	m.drain(m.sealing(s, Settings{Delete: true}, one, two))
	local, _ := m.Local(t.Context())
	if st := Judge(m.ledger(), local, day0); s.Count(storetest.Delete) > 0 || st.OtherKeys < 4 || st.State != Current {
		t.Errorf("%d were removed: %+v", s.Count(storetest.Delete), st)
	}
	// The next backup is for both. Then the others come up, one at a time.
	m.backup(3, 19)
	missing := 0
	s.Before(func(_ context.Context, op storetest.Op, name string) error {
		if n, ok := Parse(name); ok && n.Kind != Catalog && n.Kind != Writer {
			switch op {
			case storetest.Delete:
				missing++
			case storetest.Put:
				missing--
			}
		}
		if missing > 1 {
			t.Errorf("%d are missing at once", missing)
		}
		return nil
	})
	m.drain(m.sealing(s, Settings{Delete: true}, one, two))
	all = "data_1 data_2 data_3 1/1-9 1/10-19"
	for i, ids := range []seal.Identities{ids1, ids2} {
		if got := strings.Join(opens(t, s, ids), " "); got != all {
			t.Errorf("key %d opens %s", i+1, got)
		}
	}
	if st := Judge(m.ledger(), local, day0); st.OtherKeys > 1 { // the catalog before the newest
		t.Errorf("%+v", st)
	}
	puts := s.Count(storetest.Put)
	m.drain(m.sealing(s, Settings{Delete: true}, two, one))
	if n := s.Count(storetest.Put) - puts; n != 1 {
		t.Errorf("%d objects for the same keys, one of which is the claim", n)
	}
}

// Lost: copies, with the second sheet, that were sent for the first key by a service that was killed before it had noted that.
func TestRecipientIsAddedAfterAKill(t *testing.T) {
	t.Parallel()
	for name, oldList := range map[string]bool{"the list shows it": false, "the list does not show it yet": true} {
		t.Run(name, func(t *testing.T) {
			m, s := newMachine(t), storetest.NewMemory()
			one, _ := newKey(t)
			two, ids2 := newKey(t)
			m.backup(1, 0)
			m.drain(m.sealing(s, Settings{Delete: true}, one))
			s.FreezeList(oldList)
			m.backup(2, 9)
			m.segment(10, 19)
			m.drain(m.sealing(s, Settings{Delete: true}, one))
			l := m.ledger()
			l.Copies = slices.DeleteFunc(l.Copies, func(c Copy) bool { n, _ := Parse(c.Name); return n.ID == "data_2" || n.Kind == Segment })
			if err := l.write(m.dir); err != nil {
				t.Fatal(err)
			}
			m.backup(3, 19)
			m.drain(m.sealing(s, Settings{Delete: true}, one, two))
			s.FreezeList(false)
			if got := strings.Join(opens(t, s, ids2), " "); got != "data_1 data_2 data_3 1/10-19" {
				t.Errorf("the second key opens %s: %+v", got, m.events)
			}
		})
	}
}

// A store that lets nothing go keeps what is for other keys, and so does a copy of what is not here any more.
func TestRecipientIsAddedWhereNothingCanBeReplaced(t *testing.T) {
	t.Parallel()
	for name, settings := range map[string]Settings{"delete = false": {}, "damaged here": {Delete: true}, "gone here": {Delete: true}} {
		t.Run(name, func(t *testing.T) {
			m, s := newMachine(t), storetest.NewMemory()
			one, ids1 := newKey(t)
			two, _ := newKey(t)
			m.backup(1, 0)
			m.drain(m.sealing(s, settings, one))
			switch name {
			case "damaged here":
				m.rotten = map[string]bool{"data_1": true}
			case "gone here":
				m.local.Backups = nil
			}
			m.backup(2, 0)
			m.drain(m.sealing(s, settings, one, two))
			if got := strings.Join(opens(t, s, ids1), " "); got != "data_1 data_2" || s.Count(storetest.Delete) > 0 {
				t.Errorf("%s is there", got)
			}
		})
	}
}

// disordered is a store whose list is not in order, or does not end.
type disordered struct {
	*storetest.Memory
	name func(i int) string
}

func (d disordered) List(context.Context, string, string) iter.Seq2[store.Object, error] {
	return func(yield func(store.Object, error) bool) {
		for i := 0; yield(store.Object{Name: d.name(i)}, nil); i++ {
		}
	}
}

// Lost: the service, whose memory a store takes that never stops to list.
func TestListWithoutAnEnd(t *testing.T) {
	t.Parallel()
	for name, of := range map[string]func(int) string{
		"the same again":   func(int) string { return "writers/000000001.json" },
		"backwards":        func(i int) string { return fmt.Sprintf("writers/%09d.json", 900-i) },
		"others for ever":  func(i int) string { return fmt.Sprintf("x%09d", i) },
		"what is not ours": func(i int) string { return "backups/" + fmt.Sprintf("%09d", i) },
	} {
		_, err := list(t.Context(), disordered{storetest.NewMemory(), of})
		if err == nil || !strings.Contains(err.Error(), "the list of what is there") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Lost: a log that can be read, and a status that fits on a page, for what another wrote.
func TestNotesOfOthersAreBounded(t *testing.T) {
	t.Parallel()
	n := note{Host: strings.Repeat("\x1b[31mä\n", 3000), PID: 7, Database: strings.Repeat("x", 60000), At: day0}
	if s := n.String(); len(s) > 5*maxNamed || strings.ContainsAny(s, "\x1b\n") || !strings.Contains(s, "pid 7") {
		t.Errorf("%d bytes: %.100q", len(s), s)
	}
	// Those who are refused, each with a directory of its own, leave no more than some notes.
	first, s := newMachine(t), storetest.NewMemory()
	first.backup(1, 0)
	first.drain(first.sender(s, Settings{}))
	for range 2 * maxRefused {
		other := newMachine(t)
		other.backup(1, 0)
		other.drain(other.sender(s, Settings{}))
		if other.reported(Fenced) != 1 {
			t.Errorf("%+v", other.events)
		}
	}
	notes := 0
	for _, name := range s.Names() {
		if n, ok := Parse(name); ok && n.Kind == Writer {
			notes++
		}
	}
	if notes > 1+maxRefused {
		t.Errorf("%d notes", notes)
	}
	// The one who holds it goes on.
	first.backup(2, 0)
	first.drain(first.sender(s, Settings{}))
	if got := strings.Join(first.contents(s), " "); got != "data_1 data_2" {
		t.Errorf("%s is there: %+v", got, first.events)
	}
}

// Lost: the knowledge of how much is lost, when a segment is missing in between.
func TestNewestDoesNotGoOverAHole(t *testing.T) {
	t.Parallel()
	b1, b2 := backup(1, 0), backup(2, 100) // at 60 and 120 minutes; captures are numbered by minutes
	for name, c := range map[string]struct {
		there  []Copy
		minute int
	}{
		"no hole":              {copies(b1, segment(1, 1, 100), segment(1, 101, 130)), 130},
		"a hole":               {copies(b1, segment(1, 1, 70), segment(1, 90, 130)), 70},
		"a backup after it":    {copies(b1, b2, segment(1, 1, 70), segment(1, 90, 130)), 130},
		"a hole after it, too": {copies(b1, b2, segment(1, 101, 125), segment(1, 127, 130)), 125},
		"nothing to begin":     {copies(b1, segment(1, 70, 130)), 60},
		"joined and damaged":   {copies(b1, segment(1, 1, 100), segment(1, 1, 10), func() Copy { c := copies(segment(1, 101, 140))[0]; c.Damaged = "bits"; return c }()), 100},
	} {
		if _, at := Newest(c.there); !at.Equal(day0.Add(time.Duration(c.minute) * time.Minute)) {
			t.Errorf("%s: %s after the beginning, want %d minutes", name, at.Sub(day0), c.minute)
		}
	}
}

// Lost: the daily proof, for years, after a clock that was set ahead for a moment.
func TestProofsOfTheFuture(t *testing.T) {
	t.Parallel()
	m, s := newMachine(t), storetest.NewMemory()
	m.backup(1, 0)
	m.drain(m.sender(s, Settings{}))
	l := m.ledger()
	future := time.Now().AddDate(5, 0, 0)
	l.Proven = &future
	for i := range l.Copies {
		l.Copies[i].ReadBack = &future
	}
	if err := l.write(m.dir); err != nil {
		t.Fatal(err)
	}
	m.drain(m.sender(s, Settings{}))
	if p := m.ledger().Proven; p.After(time.Now()) {
		t.Errorf("the last proof was %s", p)
	}
	if list := share(m.ledger().Copies, time.Now()); len(list) != 1 {
		t.Errorf("%+v are read back", list)
	}
}
