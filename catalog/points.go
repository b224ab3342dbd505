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

// AddAnchor records a. One that goes on from where the last one of its timeline began takes that one's place.
func (s *State) AddAnchor(a Anchor) {
	a.At = a.At.UTC()
	s.Anchors = slices.DeleteFunc(slices.Clone(s.Anchors), func(b Anchor) bool {
		return b.Timeline == a.Timeline && b.After == a.After && b.Seq <= a.Seq
	})
	s.Anchors = append(s.Anchors, a)
	s.Anchors = slices.Delete(s.Anchors, 0, max(0, len(s.Anchors)-maxAnchors))
}

// Anchored reports whether a capture is verified.
func (s State) Anchored(timeline, seq uint64) bool {
	return slices.ContainsFunc(s.Anchors, func(a Anchor) bool {
		return a.Timeline == timeline && a.After < seq && seq <= a.Seq
	})
}

// CapturesStopped says since when commits have no recovery point of their own, and why.
type CapturesStopped struct {
	At   time.Time `json:"at"`
	Code string    `json:"code"` // stable error code
	What string    `json:"what"` // for people
}
