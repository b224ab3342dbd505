package notify

import (
	"maps"
	"slices"
	"strconv"
	"time"

	"example.com/snapd/internal/activity"
)

// Facts are what is decided by.
type Facts struct {
	Now      time.Time
	Err      error             // what stands could not be found out
	Active   []Condition       // what stands, by the state of the protection
	Entries  []activity.Record // of the log, new since the last decision, the oldest first
	Position string            // in the log, behind them
	Alive    bool              // the service is at work
}

// How long things last.
const (
	hold    = time.Minute      // how long a state of the protection has to last before it is reported
	unknown = 5 * time.Minute  // and how long it is unknown before that is
	filling = 10 * time.Minute // and how long space is low: it comes and goes around the limit
	remind  = 24 * time.Hour
)

// holdOf is how long c has to stand before it is reported. A state that passes, as while the start-up backup is made, is not reported.
func (c Condition) holdOf() time.Duration {
	switch {
	case c.Kind == LowSpace:
		return filling
	case c.key() != string(Protected):
		return 0
	case c.Code == codeUnknown:
		return unknown
	}
	return hold
}

// codeUnknown is the code of a protection whose state cannot be found out.
const codeUnknown = "unknown"

// present returns what stands by f: where that is not known, what stood; and if nothing did, that it is not known.
func (m memory) present(f Facts) map[string]active {
	now := map[string]active{}
	for key, s := range m.Active {
		if s.Logged || f.Err != nil {
			now[key] = s
		}
	}
	all := f.Active
	if _, stands := now[string(Protected)]; f.Err != nil && stands {
		all = nil
	} else if f.Err != nil {
		all = []Condition{{Kind: AtRisk, Code: codeUnknown, Says: "the state of the protection cannot be determined", Detail: f.Err.Error()}}
	}
	for _, c := range all {
		now[c.key()] = active{Condition: c}
	}
	for _, r := range f.Entries {
		began, ended := condition(r)
		if ended != "" {
			delete(now, Condition{Kind: ended}.key())
		}
		if began.Kind != "" {
			now[began.key()] = active{Condition: began, Logged: true}
		}
	}
	return now
}

// decide returns what is to be reported, from what was reported and the facts. It is pure.
func decide(was memory, f Facts) (memory, []Message) {
	m := was.clone()
	if f.Position != "" {
		m.Position = f.Position
	}
	var out []Message
	add := func(c Condition, phase Phase, since time.Time) {
		out = append(out, Message{ID: m.Source + "-" + strconv.FormatUint(m.Next, 10), Kind: c.Kind, Phase: phase, At: f.Now, Since: since, Code: c.Code,
			Text: text(c, phase, since, f.Now), Detail: c.Detail, Times: 1, Key: c.key()})
		m.Next++
	}
	for _, r := range f.Entries {
		if c, ok := occurrence(r); ok {
			add(c, Happened, r.At)
		}
	}
	present := m.present(f)
	for _, key := range slices.Sorted(maps.Keys(m.Active)) {
		s := m.Active[key]
		if _, stands := present[key]; stands {
			continue
		}
		delete(m.Active, key)
		if !s.Notified.IsZero() {
			end := s.As
			if key == string(Protected) {
				end.Kind = Protected
			}
			add(end, Ended, s.Since)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(present)) {
		s := m.Active[key].now(present[key], f.Now)
		switch notified := !s.Notified.IsZero(); {
		case notified && s.Notified.After(f.Now): // the clock went back
			s.Notified = f.Now
		case (!notified || s.As.Kind != s.Kind || s.As.Code != s.Code) && f.Now.Sub(s.Changed) >= s.holdOf():
			s.Notified, s.As = f.Now, s.Condition
			add(s.Condition, Began, s.Since)
		case notified && !s.Mild && f.Now.Sub(s.Notified) >= remind:
			s.Notified = f.Now
			add(s.As, Again, s.Since)
		}
		m.Active[key] = s
	}
	return m, out
}

// now is s, zero for one that did not stand, as it is found now.
func (s active) now(found active, now time.Time) active {
	fresh := s.Changed.IsZero()
	if fresh || s.Kind != found.Kind || s.Code != found.Code || s.Changed.After(now) {
		s.Changed = now
	}
	since := s.Since
	s.Condition, s.Logged = found.Condition, found.Logged
	switch {
	case !fresh:
		s.Since = since
	case s.Since.IsZero() || s.Since.After(now):
		s.Since = now
	}
	return s
}

// next is when the passing of time alone makes something due; zero for never.
func (m memory) next() (at time.Time) {
	for _, s := range m.Active {
		var due time.Time
		switch {
		case s.Notified.IsZero() || s.As.Kind != s.Kind || s.As.Code != s.Code:
			due = s.Changed.Add(s.holdOf())
		case s.Mild:
			continue
		default:
			due = s.Notified.Add(remind)
		}
		if at.IsZero() || due.Before(at) {
			at = due
		}
	}
	return at
}

// welcome gives a receiver that is new what stands and was reported to the others.
func (m *memory) welcome(r Receiver, now time.Time) {
	o := &outbox{}
	for _, key := range slices.Sorted(maps.Keys(m.Active)) {
		if s := m.Active[key]; !s.Notified.IsZero() && r.Wants(s.As.Kind) && r.Way() != wayPing {
			o.put(Message{ID: m.Source + "-" + strconv.FormatUint(m.Next, 10), Kind: s.As.Kind, Phase: Began, At: now, Since: s.Since, Code: s.As.Code,
				Text: text(s.As, Began, s.Since, now), Detail: s.As.Detail, Times: 1, Key: key})
			m.Next++
		}
	}
	m.Receivers[r.Name] = o
}
