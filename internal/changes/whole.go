package changes

import (
	"context"
	"io"

	"example.com/snapd/internal/seekable"
)

// ProveSealed proves every page of a sealed segment, which has that name, by its digest. Errors: ErrDamaged, and those of reading.
func ProveSealed(name string, r io.ReaderAt, size int64) error {
	s, err := openSegment(name, r, size)
	if err != nil {
		return err
	}
	if sealed, ok := ParseSealed(name); ok {
		s.last = sealed.Last
	}
	d, err := seekable.NewDecoder()
	if err != nil {
		return err
	}
	defer d.Close()
	return s.prove(context.Background(), d, s.start)
}
