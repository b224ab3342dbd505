package pages

import (
	"context"

	"example.com/snapd/internal/livedb"
)

// Prefetch begins to bring the database file into memory, in order, for who reads the
// snapshot in another one: see livedb.Prefetch. A private copy is there already.
func (s *Snapshot) Prefetch(ctx context.Context) (stop func()) {
	if s.private != nil || s.info.PageCount == 0 {
		return func() {}
	}
	return livedb.Prefetch(ctx, s.path)
}
