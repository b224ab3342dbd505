package remote

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/snapd/internal/store"
	"example.com/snapd/internal/store/storetest"
)

// begun is a directory that goes on where it has to.
func begun(Adopted) error { return nil }

// Lost: every copy from then on, and the word of it, where a directory has a remote and could not be put behind the history there.
func TestAdoptThatIsCutShort(t *testing.T) {
	t.Parallel()
	old, s := newMachine(t), storetest.NewMemory()
	old.backup(1, 0)
	old.drain(old.sender(s, Settings{}))
	m := newMachine(t)
	m.local.Next = 2
	m.backup(2, 0)
	full := errors.New("no space")
	if _, err := Adopt(t.Context(), m.sender(s, Settings{}).o, 1, func(Adopted) error { return full }); !errors.Is(err, full) {
		t.Fatal(err)
	}
	m.drain(m.sender(s, Settings{}))
	local, _ := m.Local(t.Context())
	if st := Judge(m.ledger(), local, day0.Add(4*time.Hour)); st.State != Stopped {
		t.Errorf("%s: %+v", st.State, m.events)
	}
}

// Lost: the history at the remote, when a new machine goes on with it; or the new machine's backups, when the old one comes back.
func TestAdopt(t *testing.T) {
	t.Parallel()
	old, s := newMachine(t), storetest.NewMemory()
	old.backup(1, 0)
	old.segment(1, 100)
	before := old.sender(s, Settings{Delete: true})
	old.drain(before)
	m := newMachine(t)
	m.backup(1, 0)
	sender := m.sender(s, Settings{Delete: true})
	a, err := Adopt(t.Context(), sender.o, 1, begun)
	if err != nil || a.Timeline != 2 || a.Number != 2 || !strings.Contains(a.Before, "data.db") {
		t.Fatalf("%+v, %v", a, err)
	}
	// What the machine made before is not of that history; what it makes from now on is sent.
	e := m.backup(2, 0)
	m.local.Backups[0].Timeline.Number = 2
	m.drain(sender)
	if got := strings.Join(m.names(s), " "); got != "data_1 data_2 1/1-100" || m.reported(Failing)+m.reported(Fenced) > 0 {
		t.Errorf("%s is there: %+v", got, m.events)
	}
	// It knows the backups of the old machine by the catalog that is there, so that their retention goes on.
	known := 0
	for _, c := range m.ledger().Copies {
		if c.Entry != nil {
			known++
		}
	}
	if known != 2 || e.ID != "data_2" {
		t.Errorf("%d backups are known", known)
	}
	// The old one comes back, and stops.
	old.backup(3, 0)
	if _, err := before.work(t.Context()); !errors.Is(err, ErrOtherWriter) {
		t.Errorf("the old one: %v", err)
	}
	old.drain(old.sender(s, Settings{}))
	if old.reported(Fenced) != 1 || len(m.names(s)) != 3 {
		t.Errorf("%v, %+v", m.names(s), old.events)
	}
}

// names are those of backups and segments.
func (m *machine) names(s *storetest.Memory) (names []string) {
	for _, name := range s.Names() {
		if n, ok := Parse(name); ok && (n.Kind == Backup || n.Kind == Segment) {
			names = append(names, short(n))
		}
	}
	return names
}

// A place that was emptied is begun again where a person says so.
func TestAdoptAnEmptiedPlace(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.backup(1, 0)
	m.drain(m.sender(storetest.NewMemory(), Settings{}))
	empty := storetest.NewMemory()
	sender := m.sender(empty, Settings{})
	if a, err := Adopt(t.Context(), sender.o, 1, begun); err != nil || a.Before != "" {
		t.Fatalf("%+v, %v", a, err)
	}
	m.backup(2, 0)
	m.local.Backups[0].Timeline.Number = 2
	m.drain(sender)
	if got := strings.Join(m.contents(empty), " "); got != "data_2" {
		t.Errorf("%s is there: %+v", got, m.events)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault func(op storetest.Op, name string) error
		no    []string
	}{
		"all is well": {nil, nil},
		"read only": {func(op storetest.Op, _ string) error {
			if op == storetest.Put {
				return store.ErrDenied
			}
			return nil
		}, []string{"store an object"}},
		"not to be removed": {func(op storetest.Op, _ string) error {
			if op == storetest.Delete {
				return store.ErrDenied
			}
			return nil
		}, []string{"remove it"}},
	} {
		s := storetest.NewMemory()
		s.Before(func(_ context.Context, op storetest.Op, name string) error {
			if c.fault == nil {
				return nil
			}
			return c.fault(op, name)
		})
		var no []string
		for _, p := range Check(t.Context(), Place{Store: s}) {
			if !p.OK {
				no = append(no, p.What)
			}
		}
		if strings.Join(no, ",") != strings.Join(c.no, ",") {
			t.Errorf("%s: %q", name, no)
		}
		if left := s.Names(); len(left) > 0 && name != "not to be removed" {
			t.Errorf("%s: %v is left", name, left)
		}
	}
}

func TestVerify(t *testing.T) {
	t.Parallel()
	m, s := newMachine(t), storetest.NewMemory()
	m.backup(1, 0)
	m.segment(1, 9)
	m.drain(m.sender(s, Settings{}))
	name := Name{Kind: Backup, Number: 1, ID: "data_1"}.String()
	rotten := s.Bytes(name)
	rotten[3] ^= 4
	s.Body(func(of string, _ int64, body []byte) []byte { // rot that the store does not know of
		if of == name {
			return rotten
		}
		return body
	})
	for _, readBack := range []bool{false, true} {
		v, copies, err := Verify(t.Context(), s, m.ledger(), readBack, time.Now())
		if err != nil || v.Objects != len(m.ledger().Copies) || (len(v.Damaged) == 1) != readBack {
			t.Errorf("read back %v: %+v, %v", readBack, v, err)
		}
		if err := Remember(m.dir, "offsite", copies); err != nil {
			t.Fatal(err)
		}
	}
	local, _ := m.Local(t.Context())
	if st := Judge(m.ledger(), local, day0); st.Damaged != 1 || st.Newest != nil {
		t.Errorf("%+v", st)
	}
	s.Body(nil)
	s.Before(func(context.Context, storetest.Op, string) error { return store.ErrThrottled })
	if _, _, err := Verify(t.Context(), s, m.ledger(), true, time.Now()); !errors.Is(err, store.ErrThrottled) {
		t.Errorf("what could not be found out: %v", err)
	}
}

// Lost: the trust in a sealed catalog, to what the owner of the store put there.
func TestSealedCatalogHasOnlyItsOwn(t *testing.T) {
	t.Parallel()
	s, m := newSite(t, true), newMachine(t)
	if err := s.place.Delete(t.Context(), describing); err != nil {
		t.Fatal(err)
	}
	m.backup(1, 0)
	m.drain(m.sender(s.place, Settings{Delete: true})) // as long as there are no recipients
	forged := backup(7, 0)
	m.local.Next = 8
	n := Name{Kind: Backup, Number: 7, ID: forged.ID}
	s.place.Set(n.String(), []byte("forged"))
	text, err := EncodeDocument(Document{Format: documentFormat, Backups: []Stored{{Object: n.String(), Size: 6, Entry: forged}}})
	if err != nil {
		t.Fatal(err)
	}
	s.place.Set(Name{Kind: Catalog, Number: 7}.String(), text)
	sender := m.sender(s.place, Settings{Delete: true})
	sender.o.Sealed = true
	sender.o.Open = func(context.Context, string) (Place, error) { return Place{Store: s.place, Sealed: s.to}, nil }
	m.drain(sender)
	sealed, err := s.to.Get(t.Context(), Name{Kind: Catalog, Number: 8}.String(), "", 0, -1)
	if err != nil {
		t.Fatalf("there is no sealed catalog after recipients were configured: %v", err)
	}
	defer sealed.Close()
	d, err := DecodeDocument(sealed)
	if err != nil || len(d.Backups) != 1 || d.Backups[0].Entry.ID != "data_1" {
		t.Errorf("%+v, %v", d.Backups, err)
	}
	if !slices.Contains(s.place.Names(), n.String()) {
		t.Error("of which only the name is known was removed")
	}
}

// Lost: the store's patience, to an object with the last number that there is: what comes after it would never be found again.
func TestLastNumbers(t *testing.T) {
	t.Parallel()
	for _, n := range []Name{{Kind: Catalog, Number: maxNumber}, {Kind: Writer, Number: maxNumber}, {Kind: Backup, Number: maxNumber, ID: "data_9"}} {
		t.Run(string(n.Kind), func(t *testing.T) {
			t.Parallel()
			m, s := newMachine(t), storetest.NewMemory()
			m.backup(1, 0)
			s.Set(n.String(), []byte("{\"refused\": true}"))
			sender := m.sender(s, Settings{})
			if n.Kind != Backup {
				m.drain(sender)
				if m.reported(Failing) != 1 || !strings.Contains(m.ledger().Failure.Message, errLastNumber.Error()) {
					t.Errorf("%+v", m.events)
				}
			}
			if _, err := Adopt(t.Context(), sender.o, 1, begun); (n.Kind != Catalog) != errors.Is(err, errLastNumber) {
				t.Errorf("adopt: %v", err)
			}
		})
	}
}
