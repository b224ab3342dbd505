package repair

import (
	"context"
	"errors"
	"io"
	"path/filepath"

	"example.com/snapd/integrity"
	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/livedb"
)

// Trial is a private copy of a live database that was repaired: next to the database, so
// that it can be swapped in, or for a dry run in the system's temporary directory.
type Trial struct {
	Result Result
	// DonorLoses counts the rows of the repaired copy that the donor lacks; nil where
	// that was not asked for or cannot be found out.
	DonorLoses *int64

	file interface {
		io.Writer
		Name() string
	}
}

// Try repairs a private copy of the database, which report is of. begin hears of its size
// before the copy. What was rebuilt, and in a dry run any copy, is compared with the donor. Errors: ErrNotRepairable, and others where the trial could not be made.
func Try(ctx context.Context, database string, report integrity.Report, dry bool, o Options, begin func(bytes int64)) (_ *Trial, err error) {
	t := &Trial{}
	if dry {
		t.file, err = durable.Scratch("", "repair")
	} else {
		t.file, err = durable.Create(database, 0o600)
	}
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, t.Discard())
		}
	}()
	f, err := livedb.TakeFingerprint(database)
	if err != nil {
		return nil, err
	}
	sizes := livedb.Sizes{Main: f.Main.Size, WAL: f.WAL.Size, Journal: f.Journal.Size}
	if err := durable.Preflight(filepath.Dir(t.file.Name()), sizes.Main+sizes.WAL+sizes.Journal); err != nil {
		return nil, err
	}
	begin(sizes.Main)
	if err := livedb.CopyTo(ctx, database, sizes, t.file); err != nil {
		return nil, errors.Join(err, livedb.RemoveSidecars(t.file.Name()))
	}
	if t.Result, err = Copy(ctx, t.file.Name(), report, o); err != nil {
		return nil, err
	}
	if o.Donor != nil && (dry || t.Result.Rebuilt) {
		t.DonorLoses, err = t.compare(ctx, *o.Donor)
	}
	return t, err
}

// compare counts the rows that the donor lacks; nil where that cannot be found out.
func (t *Trial) compare(ctx context.Context, donor Image) (*int64, error) {
	n, err := t.Result.Compare(ctx, t.file.Name(), donor)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, nil // the donor cannot be read: it is no way out that is known to be better
	}
	return &n, nil
}

// Staged is the repaired copy; nil of a dry run, and without a trial.
func (t *Trial) Staged() *durable.File {
	if t == nil {
		return nil
	}
	f, _ := t.file.(*durable.File)
	return f
}

// Discard drops the copy, unless it became the database. It may be called of nil.
func (t *Trial) Discard() error {
	if t == nil {
		return nil
	}
	switch f := t.file.(type) {
	case *durable.File:
		return f.Discard()
	case *durable.ScratchFile:
		return f.Close()
	}
	return nil
}
