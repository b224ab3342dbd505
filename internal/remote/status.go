package remote

import (
	"fmt"
	"time"

	"example.com/snapd/catalog"
)

// Status is how far one remote is, as of now.
type Status struct {
	Name       string     `json:"name"`
	URL        string     `json:"url"` // without secrets
	State      State      `json:"state"`
	Backups    int        `json:"backups"`       // whole ones that are there
	Newest     *string    `json:"newest"`        // id of the newest of them; null for none
	NewestAt   *time.Time `json:"newest_at"`     // the newest moment that can be restored from there; null for none
	LagSeconds *int64     `json:"lag_seconds"`   // for how long something newer has waited here; 0: nothing waits; null: there is no copy
	Bytes      int64      `json:"bytes"`         // of all objects that are known there
	Pending    int64      `json:"pending_bytes"` // of what is to be sent
	Proof      string     `json:"proof"`         // of the newest backup there: "stored", its checksum is right by the store; "read_back", its bytes were downloaded and compared; "" for none
	ProvenAt   *time.Time `json:"proven_at"`     // when that was
	Damaged    int        `json:"damaged"`       // objects that are not what was stored
	OtherKeys  int        `json:"other_keys"`    // objects that are sealed for other keys than are configured; they are sealed again from here, as far as they can be
	Encrypted  bool       `json:"encrypted"`
	Recipients []string   `json:"recipients"`     // public keys
	Period     int64      `json:"period_seconds"` // how old what is there may be while something newer is here
	Error      *string    `json:"error"`          // null: the last attempt succeeded
	ErrorCode  string     `json:"error_code"`
	ErrorSince *time.Time `json:"error_since"`
}

// State says in a word how far a remote is.
type State string

// The states of a remote.
const (
	Current State = "current" // everything is there
	Sending State = "sending" // something is on its way, within the period
	Behind  State = "behind"  // something has waited for longer than the period
	Failed  State = "failing" // it cannot be used, for less than the period
	Stopped State = "stopped" // another writes there; nothing is sent
)

// DefaultPeriod is how old what is at a remote may be while something newer is here.
const DefaultPeriod = time.Hour

// Judge says how far a remote is. It is pure.
func Judge(l Ledger, local Local, now time.Time) Status {
	s := Status{Name: l.Remote, URL: l.Where, Encrypted: l.Sealed, Recipients: append([]string{}, l.Recipients...), Period: int64(l.Period / time.Second)}
	for _, c := range l.Copies {
		s.Bytes += c.Size
		if c.otherKeys(keysOf(l.Recipients)) {
			s.OtherKeys++
		}
		n, _ := Parse(c.Name)
		switch {
		case c.Damaged != "":
			s.Damaged++
		case n.Kind == Backup:
			s.Backups++
		}
	}
	newest, at := Newest(l.Copies)
	if newest != nil {
		s.Newest, s.NewestAt = &newest.ID, &at
		s.Proof, s.ProvenAt = l.proof(newest)
	}
	// What is damaged there waits, too, also where it has to stay; that is what Delete does here.
	plan := Decide(local, l.Copies, Rules{From: l.From, Keep: l.Keep, Sealed: l.Sealed, Delete: true, Now: now})
	var waits time.Duration
	for _, i := range plan.Send {
		s.Pending += i.Size
		since := i.Name.At
		if i.Entry != nil {
			since = i.Entry.CreatedAt
		}
		if i.newerThan(newest) {
			waits = max(waits, now.Sub(since))
		}
	}
	if newest != nil {
		s.LagSeconds = new(int64(waits / time.Second))
	}
	s.State = Current
	if len(plan.Send) > 0 {
		s.State = Sending
	}
	if f := l.Failure; f != nil {
		s.Error, s.ErrorCode, s.ErrorSince, s.State = &f.Message, f.Code, &f.Since, Failed
	}
	switch {
	case l.Stopped:
		s.State = Stopped
	case waits > l.Period:
		s.State = Behind
	}
	return s
}

// newerThan reports whether the newest state at the remote is older for want of the item. Order is by numbers: a clock may have been wrong.
func (i Item) newerThan(newest *catalog.Entry) bool {
	if i.Entry == nil {
		return i.rank == rankFollows
	}
	return newest == nil || i.Entry.Seq > newest.Seq
}

// proof says how the copy of a backup is proven, and since when.
func (l *Ledger) proof(of *catalog.Entry) (how string, at *time.Time) {
	for _, c := range l.Copies {
		switch n, _ := Parse(c.Name); {
		case n.Kind != Backup || n.ID != of.ID || n.Number != of.Seq || c.Damaged != "":
		case c.ReadBack != nil:
			return "read_back", c.ReadBack
		default:
			return "stored", &c.At
		}
	}
	return "", nil
}

// Lacking says what is wrong with the protection by a remote, for people; "" for nothing.
func (s Status) Lacking(ago func(time.Time) string) string {
	why := ""
	if s.Error != nil {
		why = ": " + *s.Error
	}
	has := "there is no copy there"
	if s.NewestAt != nil {
		has = "what is there was the state of " + ago(*s.NewestAt)
	}
	switch s.State {
	case Stopped:
		return fmt.Sprintf("nothing is sent to remote %s any more%s; %s", s.Name, why, has)
	case Behind:
		return fmt.Sprintf("remote %s (%s) is behind%s; %s", s.Name, s.URL, why, has)
	}
	return ""
}
