package integrity

import (
	"context"
	"errors"
	"fmt"
	"time"

	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/durable"
)

// CheckArchive unpacks the image in r to a private file, which proves every digest,
// and judges that. path is only what the report calls it. An archive whose bytes
// are not those that were stored is Corrupt with CodeArchive.
func CheckArchive(ctx context.Context, r *archive.Reader, path string, o Options) (_ Report, err error) {
	start := time.Now()
	image := r.Info().ImageBytes
	dir := o.scratchDir()
	if err := durable.Preflight(dir, image); err != nil {
		return Report{}, cannotRead(path, fmt.Errorf("unpack archive: %w", err))
	}
	scratch, err := durable.Scratch(dir, "check")
	if err != nil {
		return Report{}, cannotRead(path, fmt.Errorf("unpack archive: %w", err))
	}
	defer func() { err = closed(path, scratch, err) }()
	if err := r.CopyTo(ctx, scratch, archive.CopyOptions{}); err != nil {
		if damagedArchive(err) {
			t := &tally{}
			t.add(CodeArchive, "%v", err)
			return t.report(path, o.Level, at(LevelHeader), start), nil
		}
		return Report{}, cannotRead(path, fmt.Errorf("unpack archive: %w", err))
	}
	rep, err := CheckCopy(ctx, scratch.Name(), o)
	if err != nil {
		return Report{}, named(path, err)
	}
	rep.Path, rep.DurationMS = path, time.Since(start).Milliseconds()
	return rep, nil
}

// damagedArchive reports whether err of reading an archive proves that its bytes changed.
func damagedArchive(err error) bool {
	return errors.Is(err, archive.ErrDamaged) || errors.Is(err, archive.ErrTruncated) || errors.Is(err, archive.ErrNotArchive)
}

// closed closes a scratch file and keeps the first error as a *CheckError.
func closed(path string, s *durable.ScratchFile, err error) error {
	if cerr := s.Close(); err == nil && cerr != nil {
		return cannotRead(path, cerr)
	}
	return err
}

// named gives a CheckError about a private copy the path that the caller knows.
func named(path string, err error) error {
	var e *CheckError
	if errors.As(err, &e) {
		c := *e
		c.Path = path
		return &c
	}
	return cannotRead(path, err)
}
