package notify

import (
	"fmt"
	"slices"
	"time"

	"example.com/snapd/internal/message"
)

// Kind says what a message is about.
type Kind string

const (
	AtRisk       Kind = "at_risk"       // there is a verified backup, but something is wrong
	Unprotected  Kind = "unprotected"   // there is no verified backup
	Protected    Kind = "protected"     // neither of the two any more
	BackupFailed Kind = "backup_failed" // the last backup failed
	Corruption   Kind = "corruption"    // the database, or a stored backup, is damaged
	Recovered    Kind = "recovered"     // the database was restored or repaired by itself
	Break        Kind = "break"         // the live file is no longer the database that was backed up
	DrillFailed  Kind = "drill_failed"  // the last drill failed
	RemoteBehind Kind = "remote_behind" // a remote has no copy as recent as promised
	LowSpace     Kind = "low_space"     // the disk of the backups is almost full
)

// Kinds are all of them.
var Kinds = []Kind{AtRisk, Unprotected, Protected, BackupFailed, Corruption, Recovered, Break, DrillFailed, RemoteBehind, LowSpace}

// ParseKind returns the kind of that name.
func ParseKind(name string) (Kind, error) {
	if k := Kind(name); slices.Contains(Kinds, k) {
		return k, nil
	}
	return "", fmt.Errorf("there is no %q; there are %s", name, join(Kinds))
}

// Condition is something that stands, or that has happened.
type Condition struct {
	Kind   Kind      `json:"kind"`
	Name   string    `json:"name,omitempty"`   // which, where there can be several
	Code   string    `json:"code,omitempty"`   // why, in a word
	Says   string    `json:"says"`             // why, in a sentence without a path, a name or a row
	Detail string    `json:"detail,omitempty"` // why, in full
	Since  time.Time `json:"since,omitzero"`   // zero: since it was noticed
	Mild   bool      `json:"mild,omitempty"`   // notified once: it is no reason for a reminder or a failed ping
}

// key is what a condition and its end have in common. At risk and unprotected are one.
func (c Condition) key() string {
	switch c.Kind {
	case AtRisk, Unprotected, Protected:
		return string(Protected)
	}
	if c.Name != "" {
		return string(c.Kind) + "/" + c.Name
	}
	return string(c.Kind)
}

// Phase says where in its condition's life a message is.
type Phase string

const (
	Began    Phase = "began"
	Again    Phase = "again"    // it still stands, a day later
	Ended    Phase = "ended"    // it no longer does
	Happened Phase = "happened" // it has no duration
	Test     Phase = "test"
)

// Message is what a receiver gets.
type Message struct {
	ID     string    `json:"id"` // the same at each attempt
	Kind   Kind      `json:"kind"`
	Phase  Phase     `json:"phase"`
	At     time.Time `json:"at"`
	Since  time.Time `json:"since"`            // when the condition began
	Label  string    `json:"label"`            // the receiver's word for the database
	Code   string    `json:"code"`             // why, in a word; ""
	Text   string    `json:"text"`             // a sentence without a path, a name or a row
	Times  int       `json:"times"`            // how often it happened, where the messages before were not delivered
	Detail string    `json:"detail,omitempty"` // the reason in full, with paths; only where the receiver asks for details

	Key string `json:"key,omitempty"` // of the condition; not sent
}

// words are the kinds as people say them.
var words = map[Kind]string{
	AtRisk: "at risk", Unprotected: "not protected", Protected: "protected", BackupFailed: "backup failed", Corruption: "damage",
	Recovered: "recovered", Break: "another database", DrillFailed: "restore drill failed", RemoteBehind: "remote copy is behind", LowSpace: "disk almost full",
}

// text is a message about c as a sentence.
func text(c Condition, phase Phase, since, now time.Time) string {
	word := words[c.Kind]
	lasting := now.Sub(since).Round(time.Second)
	switch phase {
	case Ended:
		if c.Kind == Protected {
			return fmt.Sprintf("protected again, after %s: it was so because %s", lasting, c.Says)
		}
		return fmt.Sprintf("over: %s, after %s: %s", word, lasting, c.Says)
	case Again:
		return fmt.Sprintf("still %s, for %s: %s", word, lasting, c.Says)
	}
	return fmt.Sprintf("%s: %s", word, c.Says)
}

// to is the message as receiver r gets it.
func (m Message) to(r Receiver) Message {
	m.Label, m.Key = r.label(), ""
	if !r.Details {
		m.Detail = ""
	}
	m.Text, m.Detail = message.OneLine(m.Text), message.OneLine(m.Detail)
	return m
}

// title is one line for people.
func (m Message) title() string {
	switch m.Phase {
	case Ended:
		if m.Kind != Protected {
			return m.Label + ": over: " + words[m.Kind]
		}
	case Again:
		return m.Label + ": still " + words[m.Kind]
	case Test:
		return m.Label + ": test of the notifications"
	}
	return m.Label + ": " + words[m.Kind]
}

// body is what a person reads, in one paragraph.
func (m Message) body() string {
	s := m.Label + ": " + m.Text + "."
	if m.Times > 1 {
		s += fmt.Sprintf(" That happened %d times.", m.Times)
	}
	if m.Detail != "" {
		s += " " + m.Detail
	}
	return s
}

// good reports whether the message is good news.
func (m Message) good() bool { return m.Phase == Ended || m.Phase == Test }
