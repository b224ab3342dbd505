package restore

import (
	"context"
	"errors"

	"example.com/snapd/catalog"
	"example.com/snapd/integrity"
	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/failure"
	"example.com/snapd/internal/proof"
	"example.com/snapd/internal/repair"
	"example.com/snapd/internal/swap"
)

// Stage unpacks e, which proof.Find returned, next to the database and proves the image: its digests, and
// a check. A backup that fails is marked in the catalog. One with damage that only a full check sees is
// repaired: its rows stay as they are.
func (r *Replacer) Stage(ctx context.Context, e catalog.Entry, level integrity.Level) (_ swap.Swap, err error) {
	image, err := r.Open(ctx, e)
	if err != nil {
		return swap.Swap{}, err
	}
	defer image.Close() // it was only read
	if e.Verification.Detail != "" {
		level = integrity.LevelFull
	}
	f, report, err := r.unpacked(ctx, image, level)
	if err == nil && report.Damaged() {
		err = r.ReadBack(ctx, f, image)
	}
	if err == nil && !proof.IsPoint(e) {
		err = r.Record(ctx, &e, proof.Verdict(report, r.Now()))
	}
	if err == nil && report.Damaged() && !report.FullOnly() {
		err = &failure.CorruptError{What: proof.Named(e), Report: report}
	}
	if err != nil {
		return swap.Swap{}, discarding(f, err)
	}
	in := swap.Swap{Staged: f, Sum: e.ImageBLAKE3, Note: swap.Note{Backup: e.ID, Base: image.PointBase()}}
	if !report.Damaged() {
		return in, nil
	}
	if _, err = repair.Copy(ctx, f.Name(), report, repair.Options{Dir: r.Target.Dir}); err == nil {
		in.Sum = ""
		return in, nil
	}
	if !errors.Is(err, repair.ErrNotRepairable) {
		return swap.Swap{}, discarding(f, err)
	}
	if err := f.Discard(); err != nil {
		return swap.Swap{}, err
	}
	in.Staged, _, err = r.unpacked(ctx, image, integrity.LevelQuick) // as it was backed up
	return in, discarding(in.Staged, err)
}

// discarding drops the file where there is an error, and returns that.
func discarding(f *durable.File, err error) error {
	if err != nil && f != nil {
		err = errors.Join(err, f.Discard())
	}
	return err
}

// unpacked unpacks the image next to the database, with its digests proven, and checks it.
func (r *Replacer) unpacked(ctx context.Context, image proof.Image, level integrity.Level) (*durable.File, integrity.Report, error) {
	f, err := r.Unpack(ctx, image, r.Target.Database)
	if err != nil {
		return nil, integrity.Report{}, err
	}
	r.Point("unpacked")
	report, err := integrity.CheckCopy(ctx, f.Name(), integrity.Options{Level: level})
	return f, report, err
}
