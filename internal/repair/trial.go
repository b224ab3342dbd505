package repair

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"time"

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
	t, began := &Trial{dry: dry}, time.Now()
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
	if o.NoDonor != "" {
		t.Result.notCompared(o.NoDonor)
	}
	if o.Donor != nil && (dry || t.Result.Rebuilt) {
		err = t.compare(ctx, o, cmp.Or(o.CompareFor, max(compareTime, time.Since(began))))
	}
	return t, err
}

// alone tries the database's file without the log and the journal next to it, and reports whether that is
// the way out. A log that was left behind by another database, or by this one at another time, damages a file that is
// whole without it, and SQLite cannot see that. Where the damage is in indexes only the log is the
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

// compareTime bounds how long the copy is compared with the donor, where making it took no longer.
const compareTime = 30 * time.Second

// compare counts the rows that the donor lacks, and finds those that only it has. Where that cannot be found out, or not in
// that time, the result says so.
func (t *Trial) compare(ctx context.Context, o Options, limit time.Duration) error {
	r := t.Result
	if r.LeftOut {
		r = Result{} // the file is whole: rows that only the backup has were deleted
	}
	within, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	n, err := r.compareLocal(within, t.file.Name(), *o.Donor, o.Dir)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case within.Err() != nil:
		t.Result.notCompared("that takes more than " + limit.Round(time.Millisecond).String())
	case err != nil: // it is no way out that is known to be better
		t.Result.notCompared(err.Error())
	default:
		t.DonorLoses = &n
		if !t.Result.LeftOut {
			t.Result = r
		}
	}
	return nil
}

// compareLocal is Compare with a file that has the backup's image, where there is room for one in dir: an archive
// is fast to read in order, and rows are not.
func (r *Result) compareLocal(ctx context.Context, path string, backup Image, dir string) (n int64, err error) {
	if stored, ok := backup.R.(archive.Image); ok && durable.Fits(cmp.Or(dir, os.TempDir()), backup.Size) == nil {
		f, err := durable.Scratch(dir, "compare")
		if err != nil {
			return 0, err
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		if err := stored.Unpack(ctx, f, archive.CopyOptions{}); err != nil {
			return 0, err
		}
		backup.R = f
	}
	return r.Compare(ctx, path, backup)
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
