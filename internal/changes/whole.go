package changes

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/seekable"
)

// ProveSealed proves every page of a sealed segment, which has that name, by its digest. Errors: ErrDamaged, and those of reading.
func ProveSealed(name string, r io.ReaderAt, size int64) error {
	_, err := proveSealed(context.Background(), name, r, size)
	return err
}

// proveSealed is ProveSealed, and returns the last capture before the damage, 0 for none.
func proveSealed(ctx context.Context, name string, r io.ReaderAt, size int64) (sound uint64, err error) {
	s, err := openSegment(name, r, size)
	if err != nil {
		return 0, err
	}
	if sealed, ok := ParseSealed(name); ok {
		s.last = sealed.Last
	}
	d, err := seekable.NewDecoder()
	if err != nil {
		return 0, err
	}
	defer d.Close()
	return s.prove(ctx, d, s.start)
}

// ProveAgain proves the sealed segment at path, and where it is damaged once more, from the disk where the system lets go of what
// it has in memory. With ErrDamaged, which both found, from is the first capture that is not proven.
func ProveAgain(ctx context.Context, path string, s Sealed) (from uint64, err error) {
	for try := range 2 {
		sound, again := proveFile(ctx, path, s.Name, try > 0)
		switch {
		case try > 0 && again == nil:
			return 0, fmt.Errorf("%v; read again, it is sound: look at the disk, or the memory", err)
		case !errors.Is(again, ErrDamaged):
			return 0, again
		}
		from, err = max(s.First, sound+1), again
	}
	return from, err
}

func proveFile(ctx context.Context, path, name string, uncached bool) (sound uint64, err error) {
	f, err := openFile(path, os.O_RDONLY)
	if err != nil {
		return 0, err
	}
	defer f.Close() // only read
	if uncached {
		durable.DropCached(f)
	}
	fi, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return proveSealed(ctx, name, f, fi.Size())
}
