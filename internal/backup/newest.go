package backup

import (
	"context"
	"slices"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/catalogfile"
	"example.com/snapd/internal/changes"
	"example.com/snapd/internal/points"
)

// newestCapture is the newest capture of the log, for a backup whose state could not be captured: it may be the very same,
// where another process keeps the log, or a restore keeps others from it. What cannot be read has none.
func newestCapture(ctx context.Context, cat *catalogfile.Catalog) Mark {
	all, state, err := cat.Read()
	if err != nil {
		return Mark{}
	}
	timeline := catalog.PresentOf(slices.Values(all), state).Number
	v, err := changes.Read(ctx, points.Directory(cat.Dir(), timeline))
	if err != nil {
		return Mark{}
	}
	defer v.Close() // only read
	c, ok, err := v.Last(ctx)
	if err != nil || !ok {
		return Mark{}
	}
	mark := Mark{Point: catalog.PointID(timeline, c.Seq), Sum: c.Sum}
	mark.Proven = func(_ context.Context, sum string, _ Digests) string {
		if sum != mark.Sum {
			return ""
		}
		return mark.Point
	}
	return mark
}
