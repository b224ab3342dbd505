package remote

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/store"
	"example.com/snapd/internal/store/storetest"
)

// Lost: the alarm, or the copies of the time when the remote was gone. Nothing may be asked of a store while nothing changes.
func TestRemoteThatIsGoneForAWhile(t *testing.T) {
	for name, fault := range map[string]error{"gone": store.ErrGone, "full": store.ErrFull, "denied": store.ErrDenied, "throttled": store.ErrThrottled, "garbage": errors.New("unexpected <html>")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m, s := newMachine(t), storetest.NewMemory()
				m.backup(1, 0)
				sender, ctx := m.sender(s, Settings{Delete: true}), t.Context()
				done := make(chan struct{})
				go func() { defer close(done); sender.Run(ctx, nil) }()
				synctest.Wait()
				asked := func() (n int) {
					for _, op := range []storetest.Op{storetest.Put, storetest.Get, storetest.Stat, storetest.List, storetest.Delete} {
						n += s.Count(op)
					}
					return n
				}
				before := asked()
				time.Sleep(20 * time.Hour)
				if n := asked() - before; n > 0 {
					t.Errorf("%d requests while idle", n)
				}
				s.Before(func(context.Context, storetest.Op, string) error { return fault })
				m.backup(2, 0)
				sender.Changed()
				time.Sleep(time.Hour)
				if m.reported(Failing) != 1 {
					t.Errorf("%+v", m.events)
				}
				local, _ := m.Local(ctx)
				st := Judge(m.ledger(), local, backup(2, 0).CreatedAt.Add(2*time.Hour))
				if st.State != Behind || st.Error == nil || *st.LagSeconds != 7200 || !strings.Contains(st.Lacking(func(time.Time) string { return "long ago" }), "is behind") {
					t.Errorf("%+v", st)
				}
				s.Before(nil)
				time.Sleep(lastRetry + time.Second)
				if got := strings.Join(m.contents(s), " "); got != "data_1 data_2" || m.reported(Working) != 1 {
					t.Errorf("%s is there: %+v", got, m.events)
				}
				if l := m.ledger(); l.Failure != nil {
					t.Errorf("%+v", l.Failure)
				}
			})
		})
	}
}

// At most one object in ten seconds for what is captured.
func TestCapturesAreSentInAWhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, s := newMachine(t), storetest.NewMemory()
		m.backup(1, 0)
		sender := m.sender(s, Settings{})
		go sender.Run(t.Context(), nil)
		synctest.Wait()
		puts := s.Count(storetest.Put)
		for range 60 {
			sender.Captured()
			time.Sleep(time.Second)
		}
		synctest.Wait()
		if m.seals < 5 || m.seals > 6 {
			t.Errorf("sealed %d times in a minute", m.seals)
		}
		if n := s.Count(storetest.Put) - puts; n > 0 {
			t.Errorf("%d objects without a segment", n)
		}
	})
}

// A list that does not show what was stored an hour ago must not cost an object, or the copies their proofs.
func TestOldList(t *testing.T) {
	t.Parallel()
	m, s := newMachine(t), storetest.NewMemory()
	m.backup(1, 0)
	m.drain(m.sender(s, Settings{}))
	s.FreezeList(true)
	m.backup(2, 0)
	m.segment(1, 9)
	m.drain(m.sender(s, Settings{}))
	l := m.ledger()
	for _, lost := range []bool{false, true} {
		if lost {
			l.Copies = nil
			if err := l.write(m.dir); err != nil {
				t.Fatal(err)
			}
		}
		m.drain(m.sender(s, Settings{Delete: true}))
		if got := strings.Join(m.contents(s), " "); got != "data_1 data_2 1/1-9" {
			t.Errorf("%s is there", got)
		}
		if m.reported(Failing)+m.reported(Fenced)+m.reported(Damaged)+m.reported(Notice) > 0 {
			t.Errorf("%+v", m.events)
		}
	}
}

// Rot at the remote is found by reading back, and made good from here.
func TestRotAtTheRemote(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, s := newMachine(t), storetest.NewMemory()
		m.backup(1, 0)
		m.segment(1, 9)
		sender := m.sender(s, Settings{Delete: true})
		go sender.Run(t.Context(), nil)
		synctest.Wait()
		name := Name{Kind: Backup, Number: 1, ID: "data_1"}.String()
		rotten := s.Bytes(name)
		rotten[7] ^= 1
		s.Set(name, rotten)
		time.Sleep(proveAll)
		sender.Changed()
		synctest.Wait()
		if m.reported(Damaged, "not those that were stored") != 1 || m.reported(Proven) < 29 {
			t.Errorf("%+v", m.events)
		}
		if got := strings.Join(m.contents(s), " "); got != "data_1 1/1-9" {
			t.Errorf("%s is there", got)
		}
		for _, c := range m.ledger().Copies {
			n, _ := Parse(c.Name)
			if n.Kind == Segment && (c.ReadBack == nil || time.Since(*c.ReadBack) > proveAll) {
				t.Errorf("%s was not read back for %s", c.Name, time.Since(c.proven(time.Now())))
			}
		}
	})
}

// What the store keeps by a lock stays, and is said once.
func TestObjectLock(t *testing.T) {
	t.Parallel()
	m, s := newMachine(t), storetest.NewMemory()
	s.Before(func(_ context.Context, op storetest.Op, _ string) error {
		if op == storetest.Delete {
			return store.ErrDenied
		}
		return nil
	})
	for i := range 9 {
		m.backup(i+1, 0)
		m.drain(m.sender(s, Settings{Delete: true, Keep: catalog.Policy{Last: 1, Daily: catalog.None}}))
	}
	if len(m.contents(s)) != 9 || m.reported(Notice, "does not let old objects go") != 8 || m.reported(Failing) > 0 {
		t.Errorf("%v, %+v", m.contents(s), m.events)
	}
	if n := s.Count(storetest.Delete); n > 9*maxDenied {
		t.Errorf("%d deletions were tried", n)
	}
}

// Lost: the time of the store, and the alarm, where every name is said to be taken.
func TestCatalogNamesWithoutEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, s := newMachine(t), storetest.NewMemory()
		m.backup(1, 0)
		s.Before(func(_ context.Context, op storetest.Op, name string) error {
			if op == storetest.Put && strings.HasPrefix(name, catalogDir) {
				return store.ErrExists
			}
			return nil
		})
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		m.sender(s, Settings{Delete: true}).Run(ctx, nil)
		if m.reported(Failing) != 1 || s.Count(storetest.Put) > 10*maxNotes {
			t.Errorf("%d objects: %+v", s.Count(storetest.Put), m.events)
		}
	})
}

// Lost: the store's patience and the log, to a damaged copy that the store does not let go.
func TestDamagedCopyThatCannotBeRemoved(t *testing.T) {
	t.Parallel()
	m, s := newMachine(t), storetest.NewMemory()
	m.backup(1, 0)
	m.backup(2, 0)
	m.drain(m.sender(s, Settings{Delete: true}))
	name := Name{Kind: Backup, Number: 2, ID: "data_2"}.String()
	s.Set(name, s.Bytes(name)[:10])
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	puts := 0
	s.Before(func(_ context.Context, op storetest.Op, object string) error {
		if op == storetest.Put && object == name {
			if puts++; puts == 10 {
				stop()
			}
		}
		if op == storetest.Delete {
			return store.ErrDenied
		}
		return nil
	})
	draining := make(chan struct{})
	close(draining)
	m.sender(s, Settings{Delete: true}).Run(ctx, draining)
	if puts > 2 {
		t.Errorf("it was sent %d times and more", puts)
	}
	if m.reported(Damaged) == 0 || m.reported(Notice) == 0 {
		t.Errorf("%+v", m.events)
	}
}

// Lost: the end of the service, to a disk or a server that never answers.
func TestEndWithAStoreThatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		m.backup(1, 0)
		release := make(chan struct{})
		o := m.sender(storetest.NewMemory(), Settings{}).o
		o.Open = func(context.Context, string) (Place, error) { <-release; return Place{}, store.ErrGone }
		g := Start(t.Context(), m.revision)
		g.Set([]Options{o})
		synctest.Wait()
		begin := time.Now()
		timer := time.AfterFunc(time.Minute, func() { close(release) })
		g.End()
		if took := time.Since(begin); took > 7*time.Second {
			t.Errorf("it took %s", took)
		}
		if timer.Stop() {
			close(release)
		}
	})
}

// Lost: what is left of a backup at the remote, to the archive here that is damaged, too.
func TestDamagedCopyIsReplacedByAProvenOne(t *testing.T) {
	t.Parallel()
	m, s := newMachine(t), storetest.NewMemory()
	m.backup(1, 0)
	m.drain(m.sender(s, Settings{Delete: true}))
	name := Name{Kind: Backup, Number: 1, ID: "data_1"}.String()
	whole := s.Bytes(name)
	s.Set(name, whole[:900])
	m.rotten = map[string]bool{"data_1": true}
	m.drain(m.sender(s, Settings{Delete: true}))
	if len(s.Bytes(name)) != 900 || m.reported(Notice) != 2 {
		t.Errorf("%d bytes are there: %+v", len(s.Bytes(name)), m.events)
	}
	m.rotten = nil
	m.drain(m.sender(s, Settings{Delete: true}))
	if len(s.Bytes(name)) != len(whole) {
		t.Error("it is not sent again from where it is whole")
	}
}
