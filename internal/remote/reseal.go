package remote

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"example.com/snapd/catalog"
)

// Where other recipients are configured than those that a copy is sealed for, it is sealed again from what is here:
//
//	a backup is there that is sealed for the present ones ─▶ one copy is removed, once what it seals is proven here ─▶ it is sent ─▶ the next one
//
// So at most one copy is missing at any time, never the only one that can be restored, and what is not here any more stays as it is. A
// store that removes nothing keeps all of them.

// keysOf names a set of recipients.
func keysOf(recipients []string) string {
	if len(recipients) == 0 {
		return ""
	}
	sum := sha256.Sum256([]byte(strings.Join(slices.Sorted(slices.Values(recipients)), "\n")))
	return hex.EncodeToString(sum[:8])
}

// otherKeys reports whether a copy is sealed for others than those that keys names.
func (c Copy) otherKeys(keys string) bool { return keys != "" && c.Keys != "" && c.Keys != keys }

const sealedAgain = "it is sealed for other keys than are configured: it is sealed again"

// reseal is the next copy to seal again, none where there is no other one to restore from meanwhile.
func (w *world) reseal() (list []Removal) {
	others := map[string]bool{} // ids of backups
	for _, e := range w.there {
		others[e.ID] = w.others[w.names[e.ID]]
	}
	if !slices.ContainsFunc(w.there, func(e catalog.Entry) bool { return e.Usable() && !others[e.ID] }) {
		return nil
	}
	for _, e := range w.there {
		if others[e.ID] && slices.ContainsFunc(w.sendable(), func(h catalog.Entry) bool { return h.ID == e.ID }) {
			return []Removal{{Name: w.names[e.ID], Why: sealedAgain, Again: &e}}
		}
	}
	for _, segments := range w.segs {
		for _, s := range segments {
			if here := w.here(s); here != nil && w.others[s.Copy.Name] && s.Timeline >= w.From {
				return []Removal{{Name: s.Copy.Name, Why: sealedAgain, Segment: here}}
			}
		}
	}
	return nil
}

// here is the segment here that has the captures of one that is there, nil for none.
func (w *world) here(s remoteSegment) *LocalSegment {
	i := slices.IndexFunc(w.Segments, func(l LocalSegment) bool {
		return l.Name.First <= s.First && l.Name.Last >= s.Last && l.Name.Timeline == s.Timeline
	})
	if i < 0 {
		return nil
	}
	return &w.Segments[i]
}
