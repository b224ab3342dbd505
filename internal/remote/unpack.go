package remote

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"example.com/snapd/integrity"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/swap"
)

// DamagedError carries the report of an image that was read as it was sealed, and is no sound database.
type DamagedError struct{ Report integrity.Report }

func (e *DamagedError) Error() string {
	msg := string(e.Report.Verdict)
	if len(e.Report.Findings) > 0 {
		msg += ": " + e.Report.Findings[0].Message
	}
	return "the image is not a sound database: " + msg
}

// UnpackOptions of Unpack.
type UnpackOptions struct {
	// Check, when not nil, is the level at which the file is checked before it has its name.
	Check    *integrity.Level
	Progress func(doneBytes int64)
}

// Unpack writes an image to the new file target, and proves every page on the way. The file has its name once it is whole,
// proven and on the disk; what dies before leaves a temporary file next to it. Errors: swap.ErrUnsafe, durable.ErrNoSpace,
// a *DamagedError, and those of reading the image.
func Unpack(ctx context.Context, image archive.Image, target string, o UnpackOptions) (err error) {
	real, err := livedb.Resolve(target)
	if err == nil {
		err = swap.AcceptOther("", "", real, false)
	}
	if err == nil {
		err = durable.Fits(filepath.Dir(real), image.Shape().Bytes())
	}
	if err != nil {
		return fmt.Errorf("restore to %s: %w", target, err)
	}
	f, err := durable.Create(real, 0o600)
	if err != nil {
		return fmt.Errorf("restore to %s: %w", target, err)
	}
	defer func() { err = errors.Join(err, f.Discard()) }()
	if err := image.Unpack(ctx, f, archive.CopyOptions{Progress: o.Progress}); err != nil {
		return fmt.Errorf("restore to %s: %w", target, err)
	}
	if o.Check != nil {
		if err := check(ctx, f.Name(), *o.Check); err != nil {
			return fmt.Errorf("restore to %s: %w", target, err)
		}
	}
	if err := f.CommitNew(); err != nil {
		return fmt.Errorf("restore to %s: %w", target, err)
	}
	return nil
}

// check checks a private file.
func check(ctx context.Context, path string, level integrity.Level) error {
	report, err := integrity.CheckCopy(ctx, path, integrity.Options{Level: level, Untrusted: true})
	if err != nil {
		return err
	}
	if report.Damaged() {
		return &DamagedError{report}
	}
	return nil
}

// Prove proves every byte of an image, and with a level checks it in a scratch file in dir.
func Prove(ctx context.Context, image archive.Image, dir string, o UnpackOptions) (err error) {
	if o.Check == nil {
		return image.Verify(ctx, archive.CopyOptions{Progress: o.Progress})
	}
	if err := durable.Fits(dir, image.Shape().Bytes()); err != nil {
		return err
	}
	f, err := durable.Scratch(dir, "proof")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := image.Unpack(ctx, f, archive.CopyOptions{Progress: o.Progress}); err != nil {
		return err
	}
	return check(ctx, f.Name(), *o.Check)
}

// MakeScratch makes a private directory for the segments that a Reader needs, in dir, or the system's for "".
func MakeScratch(dir string) (path string, remove func(), err error) {
	path, err = os.MkdirTemp(dir, durable.TempPrefix+"changes-")
	if err != nil {
		return "", nil, fmt.Errorf("make a directory for the change log: %w", err)
	}
	return path, func() { _ = os.RemoveAll(path) }, nil // what stays is recognised by its name
}
