package integrity

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/changes"
	"example.com/snapd/internal/durable"
)

// CheckArchive judges the backup (.db.zst) at path, which may not be a live database:
// that is for Check. It unpacks the image to a private file, which proves every digest,
// and judges that. An archive whose bytes are not those that were stored is Corrupt with
// CodeArchive, and a missing file Missing. Every error is a *CheckError.
func CheckArchive(ctx context.Context, path string, o Options) (Report, error) {
	start := time.Now()
	real, err := locate(path)
	if errors.Is(err, fs.ErrNotExist) {
		return missing(path, "", o, start)
	}
	if err != nil {
		return Report{}, err
	}
	r, err := archive.Open(real)
	switch {
	case damagedArchive(err):
		return archiveReport(path, err, o, start), nil
	case err != nil:
		return Report{}, cannotRead(path, err)
	}
	defer r.Close() // it was only read
	return CheckImage(ctx, r, path, o)
}

// CheckImage is CheckArchive for an open archive, or the image of a recovery point; path is only what the report calls it.
func CheckImage(ctx context.Context, r archive.Image, path string, o Options) (_ Report, err error) {
	start := time.Now()
	image := r.Shape().Bytes()
	dir := o.scratchDir()
	if err := durable.Fits(dir, image); err != nil {
		return Report{}, cannotRead(path, fmt.Errorf("unpack archive: %w", err))
	}
	scratch, err := durable.Scratch(dir, "check")
	if err != nil {
		return Report{}, cannotRead(path, fmt.Errorf("unpack archive: %w", err))
	}
	defer func() { err = closed(path, scratch, err) }()
	if err := r.Unpack(ctx, scratch, archive.CopyOptions{Progress: o.Progress}); err != nil {
		if damagedArchive(err) {
			return archiveReport(path, err, o, start), nil
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

// archiveReport is the report on an archive that err proves damaged.
func archiveReport(path string, err error, o Options, start time.Time) Report {
	t := &results{}
	t.add(CodeArchive, "%v", err)
	return t.report(path, o.Level, at(LevelHeader), start)
}

// damagedArchive reports whether err of reading an archive proves that its bytes changed.
func damagedArchive(err error) bool {
	return errors.Is(err, archive.ErrDamaged) || errors.Is(err, archive.ErrTruncated) || errors.Is(err, archive.ErrNotArchive) ||
		errors.Is(err, changes.ErrDamaged)
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
