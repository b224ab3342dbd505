package restore

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/integrity"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/catalogfile"
	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/failure"
	"example.com/snapd/internal/message"
	"example.com/snapd/internal/progress"
	"example.com/snapd/internal/proof"
	"example.com/snapd/internal/swap"
)

// Replacer replaces a database's file: what a restore and a recovery have in common.
type Replacer struct {
	*proof.Prover              // proves what is put in place
	Target        *swap.Target // the database, and the backup directory
	Operation     string       // that it is done in
	LockWait      time.Duration
	Began         time.Time
}

// Took is how many milliseconds have passed, at least 1.
func (r *Replacer) Took() int64 { return max(1, r.Now().Sub(r.Began).Milliseconds()) }

// Unpack writes the image to a temporary file made for target and proves its
// digests on the way. The file is not synced yet. What is found damaged is marked failed.
func (r *Replacer) Unpack(ctx context.Context, image proof.Image, target string) (_ *durable.File, err error) {
	size := image.Shape().Bytes()
	if err := durable.Fits(filepath.Dir(target), size); err != nil {
		return nil, fmt.Errorf("restore: %w", err)
	}
	f, err := durable.Create(target, 0o600)
	if err != nil {
		return nil, fmt.Errorf("restore: %w", err)
	}
	if err := image.Unpack(ctx, f, archive.CopyOptions{Workers: r.Workers, Progress: r.Phase(progress.Unpack, size)}); err != nil {
		err = fmt.Errorf("restore: %s: %w", proof.Named(image.Of), err)
		return nil, errors.Join(r.Failed(ctx, image, err), f.Discard())
	}
	return f, nil
}

// ReadBack makes sure that the staged file holds the image. A disk that returns
// something else proves nothing about the backup, and an older one would fare no better.
func (r *Replacer) ReadBack(ctx context.Context, staged *durable.File, image proof.Image) error {
	want, h := image.Of.ImageBLAKE3, archive.NewImageHash()
	if proof.IsPoint(image.Of) {
		want, h = image.Shape().Sum.Digits(), archive.NewSumHash(image.Seed(), image.Shape().PageSize)
	}
	err := swap.ReadBack(ctx, staged, image.Of.DatabaseBytes, want, h)
	if errors.Is(err, swap.ErrOtherBytes) {
		err = message.WithHint(err, "check that disk; the backup is sound, and restore --to writes it to another one")
	}
	return err
}

// Replace swaps s in.
func (r *Replacer) Replace(ctx context.Context, s swap.Swap) (swap.Result, error) {
	all, err := r.Catalog.Entries()
	if err != nil {
		return swap.Result{}, err
	}
	s.Note.Operation, s.Access = r.Operation, lastAccess(all)
	s.Committing = func() { r.Phase(progress.Commit, 0) }
	return r.Target.Run(ctx, s)
}

// lastAccess is who could use the database when it was last backed up, nil where that is not
// known. What another directory's archive says of it is a claim.
func lastAccess(all []catalog.Entry) *swap.Access {
	for _, e := range all {
		if a := catalogfile.OriginOf(e).Access; a != nil && !e.Adopted {
			return a
		}
	}
	return nil
}

// InPlaceReason is what the reason for a swap goes on with where the file was written in
// place: why it was.
func InPlaceReason(why string) string {
	if why == "" {
		return ""
	}
	return "; written in place, because " + why
}

// CheckRestored checks the database that was put in place.
func (r *Replacer) CheckRestored(ctx context.Context) error {
	report, err := integrity.Check(context.WithoutCancel(ctx), r.Target.Database,
		integrity.Options{Level: integrity.LevelQuick, ScratchDir: r.Target.Dir, LockWait: r.LockWait})
	if err != nil {
		// The restore stands: the database holds a proven image.
		r.Warn(progress.Warning{Err: err, Message: "the database was restored, but could not be checked afterwards"})
		return nil
	}
	r.Memory.ReplaceCheck(report) // what a deeper one found was of the database that was replaced
	if report.Damaged() {
		return &failure.CorruptError{What: "the restored database", Report: report}
	}
	return nil
}
