package notify

import (
	"context"
	"errors"
	"slices"
	"time"
)

// State says in a word how a receiver does.
type State string

const (
	StateOK      State = "ok"
	StateFailing State = "failing"
	StateUntried State = "untried" // nothing was sent yet
	StateUnknown State = "unknown" // the memory of the notifications cannot be read
)

// Status is how a receiver does. Nothing in it is secret.
type Status struct {
	Name        string     `json:"name"`
	Way         string     `json:"way"`    // ping, webhook, mail or command
	Target      string     `json:"target"` // scheme and host, or the program's name
	State       State      `json:"state"`
	LastSuccess *time.Time `json:"last_success"`
	LastFailure *time.Time `json:"last_failure"`
	Error       string     `json:"error"`   // of a failing one
	Waiting     int        `json:"waiting"` // messages
	Sent        uint64     `json:"sent"`    // attempts that succeeded, since the receiver is known
	Failed      uint64     `json:"failed"`
}

func (o *outbox) status(name string) Status {
	s := Status{Name: name, Way: o.Way, Target: o.Target, State: StateOK, Error: o.Error, Waiting: len(o.Waiting), Sent: o.Sent, Failed: o.Failed}
	switch {
	case o.Failing > 0:
		s.State = StateFailing
	case o.Sent == 0:
		s.State = StateUntried
	}
	if !o.LastSuccess.IsZero() {
		s.LastSuccess = new(o.LastSuccess.UTC())
	}
	if !o.LastFailure.IsZero() {
		s.LastFailure = new(o.LastFailure.UTC())
	}
	return s
}

// statuses are those of all receivers, by name.
func (m memory) statuses() []Status {
	all := make([]Status, 0, len(m.Receivers))
	for name, o := range m.Receivers {
		all = append(all, o.status(name))
	}
	slices.SortFunc(all, func(a, b Status) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return all
}

func (n *Notifier) show() {
	all := n.mem.statuses()
	n.shown.Lock()
	defer n.shown.Unlock()
	n.state = all
}

// Status returns how the receivers do; nil before Run.
func (n *Notifier) Status() []Status {
	n.shown.Lock()
	defer n.shown.Unlock()
	return slices.Clone(n.state)
}

// Read returns how the receivers did, by the memory in a backup directory: of the service that is at work there, or was last.
func Read(dir string) []Status {
	m, _, err := load(dir)
	if err != nil {
		return []Status{{Name: MemoryFile, State: StateUnknown, Error: err.Error()}}
	}
	return m.statuses()
}

// Try sends a test to a receiver. The error has no secret.
func Try(ctx context.Context, r Receiver, k Kind) error {
	client := newClient()
	defer client.CloseIdleConnections()
	now := time.Now().UTC()
	var err error
	if r.Way() == wayPing {
		// A success or a failure would say something about the data.
		err = sendPing(ctx, client, r, ping{What: "log", line: r.label() + ": test of the notifications"})
	} else {
		m := Message{ID: newMemory().Source + "-test", Kind: k, Phase: Test, At: now, Since: now, Times: 1, Text: "this is a test of the notifications: " + words[k]}
		err = sendMessage(ctx, client, r, m.to(r), now)
	}
	if err != nil {
		return errors.New(said(err, r))
	}
	return nil
}
