package repair

import (
	"context"
	"encoding/hex"
	"errors"
	"path/filepath"
	"slices"

	"example.com/snapd/integrity"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/sqlitefile"
)

// Trial is a private copy of a live database that was repaired: next to the database, so
// that it can be swapped in, or for a dry run in the system's temporary directory.
type Trial struct {
	Result Result
	// DonorLoses counts the rows of the repaired copy that the donor lacks; nil where
	// that was not asked for or cannot be found out.
	DonorLoses *int64

	dry  bool
	file interface {
		archive.File
		Name() string
	}
}

// Try repairs a private copy of the database, which report is of. begin hears of its size
// before the copy. What was rebuilt, and in a dry run any copy, is compared with the donor. Errors: ErrNotRepairable, and others where the trial could not be made.
func Try(ctx context.Context, database string, report integrity.Report, dry bool, o Options, begin func(bytes int64)) (_ *Trial, err error) {
	t := &Trial{dry: dry}
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
	begin(sizes.Main)
	alone, err := t.alone(ctx, database, report, sizes, o.Dir)
	if err == nil && !alone {
		if err = t.copy(ctx, database, sizes); err == nil {
			t.Result, err = Copy(ctx, t.file.Name(), report, o)
		}
	}
	if err != nil {
		return nil, err
	}
	if o.Donor != nil && (dry || t.Result.Rebuilt) {
		t.DonorLoses, err = t.compare(ctx, *o.Donor)
	}
	return t, err
}

// alone tries the database's file without the log and the journal next to it, and reports whether that is
// the way out. A log that was left behind by another database, or by this one at another time, damages a file that is
// whole without it, and SQLite cannot tell. Where the damage is in indexes only the log is the
// database's own: pages of another one do not fit into the trees of its tables. Nor is it tried where the
// log is damaged, as a checkpoint may have brought a part of what that had into the file.
func (t *Trial) alone(ctx context.Context, database string, report integrity.Report, sizes livedb.Sizes, dir string) (bool, error) {
	inTables := func(f integrity.Finding) bool { return f.Code.Severity() == integrity.SeverityDamage && f.Repair == "" }
	ofLog := func(f integrity.Finding) bool {
		return f.Code == integrity.CodeWALLost || f.Code == integrity.CodeWALBehind || f.Code == integrity.CodeWALHeader
	}
	if sizes.WAL+sizes.Journal == 0 || !slices.ContainsFunc(report.Findings, inTables) || slices.ContainsFunc(report.Findings, ofLog) {
		return false, nil
	}
	if err := t.copy(ctx, database, livedb.Sizes{Main: sizes.Main}); err != nil {
		return false, err
	}
	checked, err := integrity.CheckCopy(ctx, t.file.Name(), integrity.Options{Level: integrity.LevelFull, ScratchDir: dir})
	if err != nil || checked.Verdict != integrity.Healthy && checked.Verdict != integrity.Violations {
		return false, err
	}
	t.Result = Result{LeftOut: true, Indexes: []string{}, Report: checked}
	if sizes.WAL == 0 {
		return true, nil
	}
	wal, err := livedb.OpenSidecar(sqlitefile.WAL(database))
	if err != nil {
		return false, err
	}
	defer wal.Close()
	log, err := sqlitefile.ReadLog(ctx, sqlitefile.LogFile{R: wal, Size: sizes.WAL, NextData: func(off int64) int64 { return livedb.NextData(wal, off) }}, 0)
	if err != nil {
		return false, err
	}
	salts := log.Header.Salts()
	t.Result.Dropped, t.Result.LogSalts = max(1, log.Commits), hex.EncodeToString(salts[:])
	return true, nil
}

// copy makes a copy of those files of the database, in place of the one before.
func (t *Trial) copy(ctx context.Context, database string, sizes livedb.Sizes) error {
	if err := t.create(database); err != nil {
		return err
	}
	if err := durable.Fits(filepath.Dir(t.file.Name()), sizes.Main+sizes.WAL+sizes.Journal); err != nil {
		return err
	}
	if err := livedb.CopyTo(ctx, database, sizes, t.file); err != nil {
		return errors.Join(err, livedb.RemoveSidecars(t.file.Name()))
	}
	return nil
}

// create makes an empty file in place of the copy before.
func (t *Trial) create(database string) error {
	if err := t.Discard(); err != nil {
		return err
	}
	if t.dry {
		f, err := durable.Scratch("", "repair")
		if err != nil {
			return err
		}
		t.file = f
	} else {
		f, err := durable.Create(database, 0o600)
		if err != nil {
			return err
		}
		t.file = f
	}
	return nil
}

// compare counts the rows that the donor lacks; nil where that cannot be found out.
func (t *Trial) compare(ctx context.Context, donor Image) (*int64, error) {
	r := &t.Result
	if r.LeftOut {
		r = &Result{} // the file is whole: rows that only the backup has were deleted
	}
	n, err := r.Compare(ctx, t.file.Name(), donor)
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
