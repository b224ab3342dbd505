package remote

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/snapd/internal/store"
	"example.com/snapd/internal/store/storetest"
)

// held has an operation on a backup wait until release is closed, or its context ends.
func held(s *storetest.Memory, op storetest.Op, id string) (release chan struct{}) {
	release = make(chan struct{})
	s.Before(func(ctx context.Context, now storetest.Op, name string) error {
		if n, _ := Parse(name); now == op && n.ID == id {
			select {
			case <-release:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		return nil
	})
	return release
}

// capturing makes a capture each second.
func capturing(m *machine, sender *Sender, seconds int) {
	for range seconds {
		m.mu.Lock()
		m.captures++
		m.mu.Unlock()
		sender.Captured()
		time.Sleep(time.Second)
	}
}

// reached is the last capture of which a segment is there.
func reached(s *storetest.Memory) (last uint64) {
	for _, name := range s.Names() {
		if n, _ := Parse(name); n.Kind == Segment {
			last = max(last, n.Last)
		}
	}
	return last
}

// Lost: hours of commits, with the machine, where a backup takes hours to be sent or to be read back.
func TestCapturesAreSentNextToALongTransfer(t *testing.T) {
	t.Parallel()
	for name, long := range map[string]func(m *machine, s *storetest.Memory) (release chan struct{}){
		"sent": func(m *machine, s *storetest.Memory) chan struct{} {
			release := held(s, storetest.Put, "data_2")
			m.backup(2, 0)
			return release
		},
		"read back": func(_ *machine, s *storetest.Memory) chan struct{} {
			release := held(s, storetest.Get, "data_1")
			time.Sleep(proveEvery)
			return release
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, s := newMachine(t), storetest.NewMemory()
				m.backup(1, 0)
				sender := m.sender(s, Settings{})
				go sender.Run(t.Context(), nil)
				synctest.Wait()
				release := long(m, s)
				sender.Changed()
				synctest.Wait()
				puts := s.Count(storetest.Put)
				capturing(m, sender, 300)
				if got := reached(s); got < 300-11 {
					t.Errorf("captures up to %d of 300 are there", got)
				}
				if n := s.Count(storetest.Put) - puts; n > 30 {
					t.Errorf("%d objects in 300 seconds", n)
				}
				// A failure is reported, and is over.
				s.Before(func(ctx context.Context, op storetest.Op, name string) error {
					if n, _ := Parse(name); n.Kind == Segment && op == storetest.Put {
						return store.ErrThrottled
					}
					return nil
				})
				capturing(m, sender, 60)
				if m.reported(Failing) != 1 || m.ledger().Failure == nil {
					t.Errorf("%+v", m.events)
				}
				s.Before(nil)
				capturing(m, sender, 60)
				if got := reached(s); got < 420-11 || m.ledger().Failure != nil || m.reported(Working) != 1 {
					t.Errorf("captures up to %d of 420 are there after a failure: %+v", got, m.ledger().Failure)
				}
				close(release)
				time.Sleep(time.Minute)
				if got := reached(s); got != 420 || m.ledger().Failure != nil || m.reported(Working) != 1 {
					t.Errorf("captures up to %d of 420 are there at the end: %+v", got, m.ledger().Failure)
				}
				if name == "sent" && !strings.Contains(strings.Join(m.names(s), " "), "data_2") {
					t.Errorf("%v", m.names(s))
				}
			})
		})
	}
}

// Another writer ends what is on its way, and what was captured until the end of the service goes there before that.
func TestTransferEndsForAnotherWriterAndAtTheEnd(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"another writer", "the end"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, s := newMachine(t), storetest.NewMemory()
				m.backup(1, 0)
				sender := m.sender(s, Settings{})
				draining, over := make(chan struct{}), make(chan struct{})
				go func() { defer close(over); sender.Run(t.Context(), draining) }()
				synctest.Wait()
				release := held(s, storetest.Put, "data_2")
				m.backup(2, 0)
				sender.Changed()
				synctest.Wait()
				if name == "another writer" {
					other := newMachine(t)
					if _, err := Adopt(t.Context(), other.sender(s, Settings{}).o, 1, begun); err != nil {
						t.Fatal(err)
					}
					capturing(m, sender, 12)
					<-over
					if m.reported(Fenced, "another snapd") != 1 || strings.Contains(strings.Join(m.names(s), " "), "data_2") || reached(s) > 0 {
						t.Errorf("%v, %+v", m.names(s), m.events)
					}
					return
				}
				capturing(m, sender, 1)
				close(draining)
				synctest.Wait()
				if got := reached(s); got != 1 {
					t.Errorf("captures up to %d of 1 are there", got)
				}
				close(release)
				<-over
			})
		})
	}
}
