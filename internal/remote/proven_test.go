package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
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
	sender := m.sender(s, Settings{Delete: true})
	m.drain(sender)
	if got := strings.Join(m.contents(s), " "); got != "data_1" || fmt.Sprint(m.suspected) != "[data_2]" || m.reported(Notice, "data_2", "damaged") != 1 {
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
