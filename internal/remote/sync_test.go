package remote

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/store"
	"example.com/snapd/internal/store/storetest"
)

// options are those of a sender, for a group.
func (m *machine) options(s store.Store, name string, as any) Options {
	o := m.sender(s, Settings{}).o
	o.Name, o.As = name, as
	return o
}

// within fails the test where what does not come.
func within[T any](t *testing.T, c <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(30 * time.Second):
		t.Fatalf("waited in vain for %s", what)
	}
	return v
}

// Lost: a person's time, who has repaired the remote and has to wait for the next attempt; and the truth about how it went.
func TestSyncWaitsForNoRetry(t *testing.T) {
	t.Parallel()
	m, s := newMachine(t), storetest.NewMemory()
	m.backup(1, 0)
	var down sync.Mutex // guards gone
	gone, tried := true, make(chan struct{}, 100)
	s.Before(func(context.Context, storetest.Op, string) error {
		down.Lock()
		defer down.Unlock()
		if gone {
			tried <- struct{}{}
			return store.ErrGone
		}
		return nil
	})
	sender := m.sender(s, Settings{})
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan struct{})
	go func() { defer close(over); sender.Run(ctx, nil) }()
	within(t, tried, "the first attempt")
	if err := sender.Sync(t.Context(), nil); !errors.Is(err, store.ErrGone) {
		t.Errorf("while it is gone: %v", err)
	}
	down.Lock()
	gone = false
	down.Unlock()
	if err := sender.Sync(t.Context(), nil); err != nil { // the next attempt would be in 20 s
		t.Error(err)
	}
	if l := m.ledger(); l.Failure != nil || len(m.contents(s)) != 1 {
		t.Errorf("%+v", l)
	}
	seals := m.seals
	m.backup(2, 1)
	if err := sender.Sync(t.Context(), nil); err != nil || len(m.contents(s)) != 2 || m.seals != seals+1 {
		t.Errorf("%v, %v", err, m.contents(s))
	}
	cancel()
	within(t, over, "the end")
	if err := sender.Sync(t.Context(), nil); !errors.Is(err, errOver) {
		t.Errorf("after the end: %v", err)
	}
}

// What is wrong here is no fault of the remote, but not everything is there.
func TestSyncSaysWhatCouldNotBeRead(t *testing.T) {
	t.Parallel()
	m, s := newMachine(t), storetest.NewMemory()
	e := m.backup(1, 0)
	m.write(e.File, 3)
	if err := Once(t.Context(), m.sender(s, Settings{}).o, nil); err == nil || !strings.Contains(err.Error(), "3 bytes here") {
		t.Error(err)
	}
	m.backup(2, 1)
	if err := Once(t.Context(), m.sender(s, Settings{}).o, nil); err == nil || len(m.contents(s)) != 1 {
		t.Errorf("%v, %v", err, m.contents(s))
	}
}

// A remote of another machine is refused, and the one who asks hears it, now and later.
func TestSyncOfAnothersRemote(t *testing.T) {
	t.Parallel()
	s := storetest.NewMemory()
	other := newMachine(t)
	other.drain(other.sender(s, Settings{}))
	m := newMachine(t)
	if err := Once(t.Context(), m.sender(s, Settings{}).o, nil); !errors.Is(err, ErrOtherWriter) {
		t.Error(err)
	}
	g := Start(t.Context(), m.revision)
	g.Set([]Options{m.options(s, "offsite", 1)})
	for range 2 { // in its last round, and after it
		if known, err := g.Sync(t.Context(), "offsite", nil); !known || !errors.Is(err, ErrOtherWriter) {
			t.Errorf("%v, %v", known, err)
		}
	}
	if known, _ := g.Sync(t.Context(), "nowhere", nil); known {
		t.Error("a remote that there is not is known")
	}
	g.End()
}

func (m *machine) revision() (string, error) { return "", nil }

// Lost: protection by the remotes that stay, while another one is changed; and a ledger, written by a sender that was replaced.
func TestGroupIsReconfigured(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.backup(1, 0)
	stays, slow, added := storetest.NewMemory(), storetest.NewMemory(), storetest.NewMemory()
	held, release := make(chan struct{}, 1), make(chan struct{})
	var hung atomic.Bool
	slow.Before(func(ctx context.Context, op storetest.Op, name string) error { // a disk that hangs does not even hear that it was given up
		if n, _ := Parse(name); op == storetest.Put && n.Kind == Backup && hung.CompareAndSwap(false, true) {
			held <- struct{}{}
			<-release
		}
		return nil
	})
	g := Start(t.Context(), m.revision)
	g.Set([]Options{m.options(stays, "a", 1), m.options(slow, "b", 1)})
	within(t, held, "the slow one")
	if _, err := g.Sync(t.Context(), "a", nil); err != nil {
		t.Fatal(err)
	}
	before := g.members["a"]
	g.Set([]Options{m.options(stays, "a", 1), m.options(slow, "b", 2), m.options(added, "c", 1)})
	if g.members["a"] != before {
		t.Error("what did not change was begun again")
	}
	if _, err := g.Sync(t.Context(), "b", nil); err != nil {
		t.Error(err)
	}
	if known, _ := g.Sync(t.Context(), "c", nil); !known {
		t.Error("what was added is not there")
	}
	close(release)
	g.Set([]Options{m.options(slow, "b", 2)})
	if known, _ := g.Sync(t.Context(), "a", nil); known {
		t.Error("what was removed is still there")
	}
	g.End()
	l, err := ReadLedger(m.dir, "b")
	if err != nil || len(l.Copies) == 0 || len(m.contents(slow)) != 1 {
		t.Fatalf("%+v, %v", l, err)
	}
	for _, c := range l.Copies {
		if slow.Bytes(c.Name) == nil {
			t.Errorf("%s is not where the ledger says", c.Name)
		}
	}
}

// How far a sender is is known while one object is on its way.
func TestSyncHearsHowFarItIs(t *testing.T) {
	t.Parallel()
	m, s := newMachine(t), storetest.NewMemory()
	first, second := m.backup(1, 0), m.backup(2, 1)
	held, release := make(chan struct{}, 2), make(chan struct{})
	s.After(func(op storetest.Op, name string) error {
		if n, _ := Parse(name); op == storetest.Put && n.Kind == Backup {
			held <- struct{}{}
			<-release
		}
		return nil
	})
	o := m.sender(s, Settings{}).o
	open := o.Open
	o.Open = func(ctx context.Context, id string) (Place, error) {
		p, err := open(ctx, id)
		p.count()
		return p, err
	}
	type far struct{ done, total int64 }
	moved, ended := make(chan far, 1000), make(chan error, 1)
	go func() { ended <- Once(t.Context(), o, func(done, total int64) { moved <- far{done, total} }) }()
	within(t, held, "the first object")
	whole := first.ArchiveBytes + second.ArchiveBytes
	if f := within(t, moved, "its progress"); f != (far{second.ArchiveBytes, whole}) { // the newest goes first
		t.Errorf("%+v of %d", f, whole)
	}
	close(release)
	if err := within(t, ended, "the end"); err != nil {
		t.Error(err)
	}
}

// Lost: the answer to "where are copies of this one?"
func TestCopiesOfBackups(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	e, gone := m.backup(1, 0), m.backup(2, 1)
	o := m.sender(storetest.NewMemory(), Settings{}).o
	if err := Once(t.Context(), o, nil); err != nil {
		t.Fatal(err)
	}
	c := Copies{Dir: m.dir}
	list := []catalog.Entry{e, gone, {ID: e.ID, Seq: 7}}
	c.Fill(list)
	if len(list[0].Copies) != 1 || list[0].Copies[0].State != catalog.CopyStored || list[0].Copies[0].Remote != "offsite" || list[0].Copies[0].Proof == "" || list[2].Copies != nil {
		t.Fatalf("%+v", list)
	}
	l := m.ledger()
	now := time.Now().UTC()
	for i, c := range l.Copies {
		switch n, _ := Parse(c.Name); n.ID {
		case e.ID:
			l.Copies[i].ReadBack = &now
		case gone.ID:
			l.Copies[i].Damaged = "it is gone"
		}
	}
	if err := l.write(m.dir); err != nil {
		t.Fatal(err)
	}
	l.Remote, l.Copies = "another", nil
	if err := l.write(m.dir); err != nil {
		t.Fatal(err)
	}
	c.Fill(list)
	if got := list[0].Copies; len(got) != 1 || got[0].State != catalog.CopyVerified || !got[0].At.Equal(now) {
		t.Errorf("read back: %+v", got)
	}
	if got := list[1].Copies; len(got) != 1 || got[0].State != catalog.CopyFailed || got[0].Proof != "" {
		t.Errorf("damaged: %+v", got)
	}
	if err := Retire(m.dir, nil); err != nil {
		t.Fatal(err)
	}
	if c.Fill(list); list[0].Copies != nil {
		t.Errorf("of a remote that is no longer configured: %+v", list[0].Copies)
	}
}
