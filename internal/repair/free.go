package repair

import (
	"context"

	"example.com/snapd/internal/sqlitefile"
)

// findFree takes the free pages of a database whose header has lost where their list begins: a trunk page names
// only pages that belong to nothing else, each once. A chain of trunks without a leaf shows nothing.
func (s *source) findFree(ctx context.Context) error {
	trunks := map[uint32]sqlitefile.Trunk{}
	b := make([]byte, s.PageSize)
	for n := uint32(2); n <= s.Pages; n++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		if s.owners[n-1] != ownerNone {
			continue
		}
		if err := s.Page(n, b); err != nil {
			return err
		}
		trunk, err := sqlitefile.ParseTrunk(b, s.Usable)
		if err == nil && len(trunk.Leaves) > 0 && s.areFree(n, trunk) {
			trunks[n] = trunk
		}
	}
	for n, t := range trunks {
		s.take(n, ownerFree)
		for _, leaf := range t.Leaves {
			s.take(leaf, ownerFree)
		}
	}
	return nil
}

// areFree reports whether the pages that a trunk page n names can be free.
func (s *source) areFree(n uint32, t sqlitefile.Trunk) bool {
	can := func(p uint32) bool { return p > 1 && p <= s.Pages && p != n && s.owners[p-1] == ownerNone }
	named := map[uint32]bool{}
	for _, leaf := range t.Leaves {
		if !can(leaf) || named[leaf] {
			return false
		}
		named[leaf] = true
	}
	return t.Next == 0 || can(t.Next)
}
