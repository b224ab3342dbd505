package catalog

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// PointID is the id of a recovery point of the change log: "TIMELINE.SEQ".
func PointID(timeline, seq uint64) string { return fmt.Sprintf("%d.%d", timeline, seq) }

// ParsePoint is the reverse of PointID; ok is false for what is none.
func ParsePoint(id string) (timeline, seq uint64, ok bool) {
	t, s, ok := strings.Cut(id, ".")
	if !ok {
		return 0, 0, false
	}
	timeline, errT := strconv.ParseUint(t, 10, 63)
	seq, errS := strconv.ParseUint(s, 10, 63)
	ok = errT == nil && errS == nil && PointID(timeline, seq) == id // no signs, no zeros in front
	return timeline, seq, ok && timeline > 0
}

// Anchor is the proof that base and change log give the database as it was at capture Seq: the
// captures after After and up to Seq are verified.
type Anchor struct {
	Timeline uint64    `json:"timeline"`
	After    uint64    `json:"after,omitempty"`
	Seq      uint64    `json:"seq"`
	At       time.Time `json:"at"`
}

// maxAnchors bounds the anchors that are remembered.
const maxAnchors = 50

// AddAnchor records the proof of a capture. The captures before it are verified with it, back to where
// the last anchor of the timeline begins.
func (s *State) AddAnchor(timeline, seq uint64, at time.Time) {
	a := Anchor{Timeline: timeline}
	if i := s.lastAnchor(timeline); i >= 0 {
		a = s.Anchors[i]
	}
	if seq > a.Seq {
		a.Seq, a.At = seq, at.UTC()
		s.putAnchor(a)
	}
}

// Doubt records that a capture was found not to be the database: later anchors do not verify those
// up to it.
func (s *State) Doubt(timeline, seq uint64, at time.Time) {
	s.putAnchor(Anchor{Timeline: timeline, After: seq, Seq: seq, At: at.UTC()})
}

// putAnchor adds a, in place of the last one of its timeline where that begins with it or is empty.
func (s *State) putAnchor(a Anchor) {
	s.Anchors = slices.Clone(s.Anchors) // a state that was handed out is not changed
	if i := s.lastAnchor(a.Timeline); i >= 0 && (s.Anchors[i].After == a.After || s.Anchors[i].Seq == s.Anchors[i].After) {
		s.Anchors = slices.Delete(s.Anchors, i, i+1)
	}
	s.Anchors = append(s.Anchors, a)
	s.Anchors = slices.Delete(s.Anchors, 0, max(0, len(s.Anchors)-maxAnchors))
}

// lastAnchor is the number of the last one of a timeline, -1 for none.
func (s *State) lastAnchor(timeline uint64) int {
	for i := len(s.Anchors) - 1; i >= 0; i-- {
		if s.Anchors[i].Timeline == timeline {
			return i
		}
	}
	return -1
}

// LastAnchor is the newest proof of a timeline's change log; ok is false where there is none, or its last one failed.
func (s State) LastAnchor(timeline uint64) (a Anchor, ok bool) {
	i := s.lastAnchor(timeline)
	if i < 0 || s.Anchors[i].Seq == s.Anchors[i].After {
		return Anchor{}, false
	}
	return s.Anchors[i], true
}

// Anchored reports whether a capture is verified.
func (s State) Anchored(timeline, seq uint64) bool {
	return slices.ContainsFunc(s.Anchors, func(a Anchor) bool {
		return a.Timeline == timeline && a.After < seq && seq <= a.Seq
	})
}

// SegmentProofs says how far the sealed segments of the change log were read again, a share each day.
type SegmentProofs struct {
	At       time.Time `json:"at"`       // of the last share
	Timeline uint64    `json:"timeline"` // it went up to this capture
	Seq      uint64    `json:"seq"`
	// Damaged are those that failed their proof, and are still there.
	Damaged []DamagedSegment `json:"damaged,omitempty"`
}

// DamagedSegment is a sealed segment that two readings found damaged.
type DamagedSegment struct {
	Timeline uint64    `json:"timeline"`
	First    uint64    `json:"first"` // of its captures
	Last     uint64    `json:"last"`
	From     uint64    `json:"from"` // the first of them that is not proven
	At       time.Time `json:"at"`
	What     string    `json:"what"` // for people
}

// DamagedAt reports whether a capture that is read over the image at another one, base, needs a segment that failed its proof.
func (s State) DamagedAt(timeline, base, seq uint64) bool {
	return s.SegmentProofs != nil && slices.ContainsFunc(s.SegmentProofs.Damaged, func(d DamagedSegment) bool {
		return d.Timeline == timeline && base < d.Last && d.From <= seq
	})
}

// CapturesStopped says since when commits have no recovery point of their own, and why.
type CapturesStopped struct {
	At   time.Time `json:"at"`
	Code string    `json:"code"` // stable error code
	What string    `json:"what"` // for people
}

// PointTier keeps one recovery point of the change log each Every, of those that are up to Until old; Every 0 keeps all.
type PointTier struct{ Every, Until time.Duration }

// PointTiers say which recovery points stay, the youngest first.
type PointTiers []PointTier

// DefaultPointTiers keep every point for 48 hours, then one each 5 minutes for 7 days, then one an hour for 30 days.
var DefaultPointTiers = PointTiers{{0, 48 * time.Hour}, {5 * time.Minute, 7 * day}, {time.Hour, 30 * day}}

const day = 24 * time.Hour

// maxTiers bounds PointTiers, maxTier each of their durations.
const (
	maxTiers = 10
	maxTier  = 10 * 366 * day
)

// ParsePointTiers reads tiers in the form of String: "48h,5m:7d,1h:30d".
func ParsePointTiers(s string) (tiers PointTiers, err error) {
	for _, part := range strings.Split(s, ",") {
		every, until, thinned := strings.Cut(strings.TrimSpace(part), ":")
		var t PointTier
		if !thinned {
			every, until = "", every
		} else if t.Every, err = parseDays(every); err != nil {
			return nil, err
		}
		if t.Until, err = parseDays(until); err != nil {
			return nil, err
		}
		tiers = append(tiers, t)
	}
	return tiers, tiers.Check()
}

// parseDays is time.ParseDuration, with d for days as well.
func parseDays(s string) (time.Duration, error) {
	if n, ok := strings.CutSuffix(s, "d"); ok {
		if days, err := strconv.ParseUint(n, 10, 16); err == nil {
			return time.Duration(days) * day, nil
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("%.40q is no duration such as 5m, 48h or 30d", s)
	}
	return d, nil
}

// Check says what is wrong with the tiers.
func (p PointTiers) Check() error {
	if len(p) == 0 || len(p) > maxTiers {
		return fmt.Errorf("%d periods of recovery points; 1 to %d", len(p), maxTiers)
	}
	var before PointTier
	for _, t := range p {
		if t.Until <= before.Until || t.Until > maxTier || t.Every < before.Every || t.Every > t.Until {
			return fmt.Errorf("recovery points up to %s, after those up to %s: each period ends later than the one before it, and has not more points", t.Until, before.Until)
		}
		before = t
	}
	return nil
}

// String is the form that ParsePointTiers reads.
func (p PointTiers) String() string {
	parts := make([]string, 0, len(p))
	for _, t := range p {
		part := formatDays(t.Until)
		if t.Every > 0 {
			part = formatDays(t.Every) + ":" + part
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ",")
}

func formatDays(d time.Duration) string {
	switch {
	case d%day == 0 && d > 2*day:
		return fmt.Sprintf("%dd", d/day)
	case d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d%time.Minute == 0:
		return fmt.Sprintf("%dm", d/time.Minute)
	}
	return d.String()
}
