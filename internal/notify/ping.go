package notify

import (
	"crypto/sha256"
	"fmt"
	"time"

	"example.com/snapd/internal/activity"
	"example.com/snapd/internal/message"
	"example.com/snapd/internal/ratelimit"
)

// What a ping says.
const (
	pingStart   = "start"
	pingSuccess = "success"
	pingFail    = "fail"
)

// ping is one request to a check.
type ping struct {
	What string    `json:"what,omitempty"`
	Why  string    `json:"why,omitempty"` // of a failure: what stands, in a word
	At   time.Time `json:"at,omitzero"`   // when it was sent
	line string    // of a failure: why, for people
	rid  string    // of the backup that began or ended
}

const (
	heartbeat    = 5 * time.Minute // between two successes
	maxPingRetry = 5 * time.Minute
	maxLine      = 500 // bytes of a failure's line
)

// pingPace lets through at most 5 in any minute.
var pingPace = ratelimit.Limit{Burst: 3, Every: 30 * time.Second}

// health is what pings are decided by.
type health struct {
	facts  Facts
	active map[string]active
}

// run is a backup whose begin or end a check has not heard of.
type run struct {
	rid   string
	start bool
}

// notified returns the condition for which the receiver's check has failed; the state of the protection comes first.
func (h health) notified(r Receiver) (active, bool) {
	var found active
	ok := false
	for key, s := range h.active {
		if s.Notified.IsZero() || s.As.Mild || !r.Wants(s.As.Kind) {
			continue
		}
		if !ok || key == string(Protected) || found.As.key() != string(Protected) && key < found.As.key() {
			found, ok = s, true
		}
	}
	return found, ok
}

// well reports whether everything that the receiver is notified of is well for certain.
func (h health) well(r Receiver) bool {
	if h.facts.Err != nil || !h.facts.Alive || h.facts.Now.IsZero() {
		return false
	}
	for _, s := range h.active {
		if !s.Mild && (r.Wants(s.Kind) || s.key() == string(Protected)) { // success: only while protected
			return false
		}
	}
	return true
}

// ping returns what to say to the check now, from what was said last and from the run. What is "" for nothing.
func (h health) ping(r Receiver, last ping, backup run, now time.Time) ping {
	if s, failed := h.notified(r); failed {
		p := ping{What: pingFail, Why: s.As.key() + " " + string(s.As.Kind) + " " + s.As.Code, rid: backup.ended()}
		p.line = cut(message.OneLine(r.label()+": "+words[s.As.Kind]+": "+s.As.Says), maxLine)
		if r.Details && s.As.Detail != "" {
			p.line = cut(message.OneLine(p.line+". "+s.As.Detail), maxLine)
		}
		if last.What == p.What && last.Why == p.Why && now.Sub(last.At).Abs() < remind {
			return ping{}
		}
		return p
	}
	switch {
	case backup.start:
		return ping{What: pingStart, rid: backup.rid}
	case !h.well(r):
		return ping{}
	case backup.rid != "", last.What != pingSuccess, now.Sub(last.At).Abs() >= heartbeat:
		return ping{What: pingSuccess, rid: backup.rid}
	}
	return ping{}
}

// ended is the rid of a backup that ended.
func (b run) ended() string {
	if b.start {
		return ""
	}
	return b.rid
}

// after is the run after the entries, those from before since left out. A backup that has begun and ended meanwhile has only ended.
func (b run) after(since time.Time, entries []activity.Record) run {
	for _, r := range entries {
		if r.At.Before(since) {
			continue
		}
		if startOfBackup(r) || endOfBackup(r) {
			b = run{uuid(r.Operation), startOfBackup(r)}
		}
	}
	return b
}

// uuid is the id of an operation in the form that checks ask for.
func uuid(operation string) string {
	sum := sha256.Sum256([]byte(operation))
	sum[6] = sum[6]&0x0f | 0x80 // version 8: made by its program's own rule
	sum[8] = sum[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}

// cut returns s without what is beyond limit bytes.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && s[limit]&0xc0 == 0x80 {
		limit--
	}
	return s[:limit]
}
