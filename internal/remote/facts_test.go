package remote

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/changes"
	"example.com/snapd/internal/points"
	"example.com/snapd/internal/store"
	"example.com/snapd/internal/store/storetest"
)

// Lost: the timelines of the one who wrote there before, where its catalog breaks off while it is read or is damaged: the new machine's
// history would be on one of those.
func TestAdoptWithACatalogThatIsNotRead(t *testing.T) {
	t.Parallel()
	for name, wrong := range map[string]func(s *storetest.Memory, catalog string){
		"it breaks off": func(s *storetest.Memory, catalog string) {
			s.Body(func(name string, _ int64, body []byte) []byte {
				if name == catalog {
					return body[:len(body)/2]
				}
				return body
			})
		},
		"it is damaged": func(s *storetest.Memory, catalog string) { s.Set(catalog, []byte("nothing")) },
	} {
		t.Run(name, func(t *testing.T) {
			old, s := newMachine(t), storetest.NewMemory()
			old.backup(1, 0)
			old.local.Backups[0].Timeline.Number = 5
			old.local.State.Timeline = &catalog.Present{Timeline: catalog.Timeline{Number: 5}}
			old.drain(old.sender(s, Settings{}))
			wrong(s, Name{Kind: Catalog, Number: 1}.String())
			m := newMachine(t)
			a, err := Adopt(t.Context(), m.sender(s, Settings{}).o, 1, begun)
			if err == nil && a.Timeline <= 5 {
				t.Errorf("timeline %d is given again", a.Timeline)
			}
			s.Body(nil)
			if err != nil {
				_, err = Adopt(t.Context(), m.sender(s, Settings{}).o, 1, begun)
			}
			if err != nil {
				t.Errorf("it cannot be adopted any more: %v", err)
			}
		})
	}
}

// Lost: the retention of what another machine made, for ever, because its catalog broke off once.
func TestCatalogThatBreaksOffIsReadAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		old, s := newMachine(t), storetest.NewMemory()
		old.backup(1, 0)
		old.drain(old.sender(s, Settings{}))
		m := newMachine(t)
		sender := m.sender(s, Settings{})
		a, err := Adopt(t.Context(), sender.o, 1, begun)
		if err != nil {
			t.Fatal(err)
		}
		m.local.Next = a.Number
		m.local.State.Timeline = &catalog.Present{Timeline: catalog.Timeline{Number: a.Timeline}}
		broken := false
		s.Body(func(name string, _ int64, body []byte) []byte {
			if n, _ := Parse(name); n.Kind == Catalog && !broken {
				broken = true
				return body[:1]
			}
			return body
		})
		go sender.Run(t.Context(), nil)
		time.Sleep(time.Hour)
		synctest.Wait()
		for _, c := range m.ledger().Copies {
			if n, _ := Parse(c.Name); n.Kind == Backup && c.Entry == nil {
				t.Errorf("%s is known by its name only: %+v", c.Name, m.events)
			}
		}
		if !broken {
			t.Error("no catalog was read")
		}
	})
}

// Lost: the last copy of an old backup, which is removed as damaged because it was once read otherwise than it is stored.
func TestOneReadingIsNoDamage(t *testing.T) {
	t.Parallel()
	m, s := newMachine(t), storetest.NewMemory()
	m.backup(1, 0)
	m.drain(m.sender(s, Settings{}))
	flips := 0
	s.Body(func(name string, _ int64, body []byte) []byte {
		if n, _ := Parse(name); n.Kind != Backup || flips == 0 {
			return body
		}
		flips--
		body = slices.Clone(body)
		body[9] ^= 1
		return body
	})
	for _, flips = range []int{1, 2} {
		damaged := flips == 2
		v, _, err := Verify(t.Context(), s, m.ledger(), true, time.Now())
		if err != nil || (len(v.Damaged) == 1) != damaged || flips > 0 {
			t.Errorf("damaged %v: %+v, %v", damaged, v, err)
		}
	}
}

// Lost: for ever the good name of a copy that is whole again, and with it its place in the retention.
func TestDamagedCopyIsReadAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, s := newMachine(t), storetest.NewMemory()
		m.backup(1, 0)
		m.backup(2, 0)
		sender := m.sender(s, Settings{Delete: true})
		go sender.Run(t.Context(), nil)
		synctest.Wait()
		m.mu.Lock()
		m.local.Backups = m.local.Backups[:1] // the first one is there alone
		m.mu.Unlock()
		name := Name{Kind: Backup, Number: 1, ID: "data_1"}.String()
		whole := s.Bytes(name)
		rotten := slices.Clone(whole)
		rotten[7] ^= 1
		s.Body(func(of string, _ int64, body []byte) []byte {
			if of == name {
				return rotten
			}
			return body
		})
		time.Sleep(proveAll + time.Hour)
		if m.reported(Damaged) != 1 {
			t.Errorf("%+v", m.events)
		}
		s.Body(nil)
		time.Sleep(proveAll + time.Hour)
		for _, c := range m.ledger().Copies {
			if c.Damaged != "" {
				t.Errorf("%s: %s", c.Name, c.Damaged)
			}
		}
		if m.reported(Damaged) != 1 {
			t.Errorf("%+v", m.events)
		}
	})
}

// Lost: what is known of an object that is not what is here: read back, it is what it is.
func TestReadingBackProvesNoOtherObject(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int{"other bytes": 1000, "another size": 900} {
		m, s := newMachine(t), storetest.NewMemory()
		e := m.backup(1, 0)
		m.drain(m.sender(s, Settings{}))
		object := Name{Kind: Backup, Number: 1, ID: e.ID}.String()
		s.Set(object, []byte(strings.Repeat("x", size)))
		l := m.ledger()
		l.Copies = nil
		if err := l.write(m.dir); err != nil {
			t.Fatal(err)
		}
		m.drain(m.sender(s, Settings{}))
		for range 2 {
			v, copies, err := Verify(t.Context(), s, m.ledger(), true, time.Now())
			if err != nil || len(v.Damaged) != 1 {
				t.Errorf("%s: %+v, %v", name, v, err)
			}
			if err := Remember(m.dir, "offsite", copies); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Lost: the comparison of a copy with what is here, when the service is stopped in the midst of it: nobody makes it again.
func TestStopInTheMidstOfAComparison(t *testing.T) {
	t.Parallel()
	m, s := newMachine(t), storetest.NewMemory()
	e := m.backup(1, 0)
	m.drain(m.sender(files{s}, Settings{}))
	name := Name{Kind: Backup, Number: 1, ID: e.ID}.String()
	rotten := s.Bytes(name)
	rotten[7] ^= 1
	s.Set(name, rotten)
	l := m.ledger()
	l.Copies = nil
	if err := l.write(m.dir); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	m.opening = func() error { stop(); return ctx.Err() }
	m.sender(files{s}, Settings{}).Run(ctx, nil)
	m.opening = nil
	m.drain(m.sender(files{s}, Settings{Delete: true}))
	if got := strings.Join(m.contents(s), " "); got != "data_1" {
		t.Errorf("%s is there: %+v", got, m.events)
	}
}

// Lost: a backup that has the id of one there from before its clock was set back.
func TestTwoBackupsWithOneID(t *testing.T) {
	t.Parallel()
	m, s := newMachine(t), storetest.NewMemory()
	m.backup(1, 0)
	m.backup(2, 0)
	m.drain(m.sender(s, Settings{Delete: true}))
	old := Name{Kind: Backup, Number: 1, ID: "data_1"}
	was := s.Bytes(old.String())
	m.local.Backups = m.local.Backups[:1]
	e := backup(3, 0)
	e.ID, e.File, e.ArchiveBytes = "data_1", "data_1.db.zst", 500
	m.write(e.File, 500)
	m.local.Backups = append([]catalog.Entry{e}, m.local.Backups...)
	m.local.Next = 4
	m.drain(m.sender(s, Settings{Delete: true}))
	if s.Bytes(Name{Kind: Backup, Number: 3, ID: "data_1"}.String()) == nil || string(s.Bytes(old.String())) != string(was) {
		t.Errorf("%v is there", s.Names())
	}
	local, _ := m.Local(t.Context())
	if st := Judge(m.ledger(), local, day0.Add(5*time.Hour)); st.Backups != 3 || *st.Newest != "data_1" || st.State != Current {
		t.Errorf("%+v", st)
	}
	// The older one has the better place in the retention: it goes, and the newer one stays.
	m.drain(m.sender(s, Settings{Delete: true, Keep: catalog.Policy{Last: 1, Daily: catalog.None}}))
	if got := strings.Join(m.names(s), " "); got != "data_1" || s.Bytes(old.String()) != nil {
		t.Errorf("%v is there", s.Names())
	}
}

// Lost: every copy, because the rights were wrong when a new remote was used first: it passed for one that had been emptied.
func TestNewRemoteThatTakesNothingAtFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, s := newMachine(t), storetest.NewMemory()
		m.backup(1, 0)
		s.Before(func(_ context.Context, op storetest.Op, _ string) error {
			if op == storetest.Put {
				return store.ErrDenied
			}
			return nil
		})
		go m.sender(s, Settings{}).Run(t.Context(), nil)
		time.Sleep(time.Hour)
		s.Before(nil)
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := strings.Join(m.contents(s), " "); got != "data_1" || m.reported(Fenced) > 0 {
			t.Errorf("%s is there: %+v", got, m.events)
		}
		// Where it was used, an emptied place is not begun again.
		for _, name := range s.Names() {
			if err := s.Delete(t.Context(), name); err != nil {
				t.Fatal(err)
			}
		}
		m.drain(m.sender(s, Settings{}))
		if m.reported(Fenced, "is gone") != 1 || len(s.Names()) > 0 {
			t.Errorf("%v is there: %+v", s.Names(), m.events)
		}
	})
}

// Lost: one of two backups with one id, now this and now that one.
func TestTwoBackupsWithOneIDAreRead(t *testing.T) {
	t.Parallel()
	for range 10 { // the order of a map
		for name, catalog := range map[string]bool{"with a catalog": true, "without": false} {
			s := newSite(t, false)
			old := s.backup(1, 10, 0, 1, "")
			s.backup(2, 11, 1, 1, "")
			s.backup(3, 12, 0, 1, "")
			if catalog {
				s.catalog(1)
			}
			r := s.reader()
			if len(r.Backups()) != 3 || len(r.Notes) > 0 {
				t.Fatalf("%s: %+v, %v", name, r.Backups(), r.Notes)
			}
			s.has(r, Want{ID: old.ID}, old.ID, 12)
			s.has(r, Want{ID: old.ID + "~1"}, old.ID+"~1", 10)
		}
	}
}

// Lost: the newest state, without a word, to one who reads while a service joins segments there: its list is not what is there any more.
func TestReadWhileSegmentsAreJoined(t *testing.T) {
	t.Parallel()
	for name, w := range map[string]Want{"the newest": {}, "an id": {ID: "1.4"}, "a time": {At: minute(9)}} {
		s := newSite(t, false)
		first := s.backup(1, 10, 0, 1, "")
		for i := range 4 {
			s.capture(1, uint64(i+1), byte(11+i), 1+i, first.ID)
			s.segment(1)
		}
		s.catalog(1)
		r := s.reader()
		if err := s.logs[1].Thin(t.Context(), changes.Thinning{Before: minute(9), Keep: func(changes.Capture) bool { return true }}); err != nil {
			t.Fatal(err)
		}
		was := s.place.Names()
		s.segment(1)
		for _, object := range was {
			if n, _ := Parse(object); n.Kind == Segment {
				if err := s.place.Delete(t.Context(), object); err != nil {
					t.Fatal(err)
				}
			}
		}
		if now := s.place.Names(); len(now) != len(was)-3 {
			t.Fatalf("%s: %v", name, now)
		}
		s.has(r, w, "1.4", 14)
		if len(r.Notes) > 0 {
			t.Errorf("%s: %v", name, r.Notes)
		}
		if p, _, err := s.reader().Points(t.Context(), points.Query{}); err != nil || len(p) != 5 {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
}

// Lost: what is known of a copy that was sent again, to one who proved the one before it.
func TestWhatWasVerifiedIsNoLongerThere(t *testing.T) {
	t.Parallel()
	m, s := newMachine(t), storetest.NewMemory()
	m.backup(1, 0)
	m.drain(m.sender(s, Settings{Delete: true}))
	s.Body(func(_ string, _ int64, body []byte) []byte {
		body = slices.Clone(body)
		body[9] ^= 1
		return body
	})
	_, copies, err := Verify(t.Context(), s, m.ledger(), true, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	s.Body(nil)
	if err := Remember(m.dir, "offsite", copies); err != nil {
		t.Fatal(err)
	}
	m.drain(m.sender(s, Settings{Delete: true}))
	if err := Remember(m.dir, "offsite", copies); err != nil { // of a second verify that ran meanwhile
		t.Fatal(err)
	}
	for _, c := range m.ledger().Copies {
		if n, _ := Parse(c.Name); n.Kind == Backup && c.Damaged != "" {
			t.Errorf("%+v", c)
		}
	}
}
