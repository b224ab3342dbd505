package backup

import (
	"context"
	"errors"
	"fmt"
	"time"

	"example.com/snapd/integrity"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/breaks"
	"example.com/snapd/internal/catalogfile"
	"example.com/snapd/internal/failure"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/message"
	"example.com/snapd/internal/progress"
)

// check is the check of an image. report and err are good once done is closed.
type check struct {
	done   chan struct{}
	report integrity.Report
	err    error
}

// closed is the channel of a check that is over.
var closed = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// checkedBefore is the check of a state that one before found whole.
func (d *Draft) checkedBefore() check {
	return check{done: closed, report: integrity.Report{Path: d.Database, Verdict: integrity.Healthy, Level: integrity.LevelQuick}}
}

// startCheck checks the image: at once, or concurrently with what follows. damaged is
// called when it proves damage.
func (d *Draft) startCheck(ctx context.Context, damaged func()) {
	d.Phase(progress.Check, 0)
	d.check = check{done: make(chan struct{})}
	run := func() {
		defer close(d.check.done)
		if d.check.report, d.check.err = d.judge(ctx); d.check.err == nil && d.check.report.Damaged() {
			damaged()
		}
	}
	if d.concurrent {
		go run()
		return
	}
	run()
}

// verdict waits for the end of the check. It is a CorruptError where the image is
// damaged.
func (d *Draft) verdict() error {
	<-d.check.done
	if d.check.err == nil && d.check.report.Damaged() {
		return d.corrupt(d.check.report)
	}
	return d.check.err
}

// readBack proves every byte that was stored: what was compressed by decompressing it, a frame of the base by its bytes.
func (d *Draft) readBack(ctx context.Context, w *archive.Writer) error {
	err := w.ReadBack(ctx, d.file, archive.CopyOptions{Workers: d.Workers, Progress: d.Phase(progress.ReadBack, d.info.ImageBytes)})
	if err != nil {
		return fmt.Errorf("backup: read back: %w", err)
	}
	return nil
}

// CheckFiles returns a CorruptError where the files prove damage that SQLite does not
// report: it pads a file that is cut short, and drops the commits beyond a damaged frame
// of a -wal. Where another program is at work on them all the time, its SQLite has the
// whole log: that is no damage. What could not be looked at is an error. It is called
// without a lock held, which a waiting writer would make it wait for.
func (k *Maker) CheckFiles(ctx context.Context, wait time.Duration) error {
	all, state, err := k.Catalog.Read()
	if err != nil {
		return err
	}
	report, err := integrity.Check(ctx, k.Database, integrity.Options{Level: integrity.LevelHeader, LockWait: min(wait, 2*time.Second), OwnLog: true, Known: breaks.Known(all, state)})
	switch {
	case errors.Is(failure.Explain(err), failure.ErrBusy):
		return nil
	case err != nil:
		return err
	case !report.Damaged():
		return nil
	}
	return k.corrupt(report)
}

// corrupt keeps that the live database was proven damaged, and returns the error for it.
func (k *Maker) corrupt(report integrity.Report) error {
	report.Path = k.Database
	k.Memory.Check(report)
	err := &failure.CorruptError{What: "database " + k.Database, Report: report}
	if usable, _, unknown := catalogfile.Candidates(k.Catalog); unknown == nil && len(usable) == 0 {
		return message.WithHint(err, adviceWithoutBackup(report))
	}
	return err
}

// adviceWithoutBackup is what helps with a damaged database without a good backup.
func adviceWithoutBackup(report integrity.Report) string {
	if report.Verdict == integrity.NotADatabase {
		return "is it the right file? One that is encrypted cannot be read here; there is no good backup to put back"
	}
	return "there is no good backup to put back; recover repairs it where that loses no row, and salvage copies the rows that can still be read into a new file"
}

// IsDamage reports whether err says that the live database is damaged.
func IsDamage(err error) bool {
	var damaged *failure.CorruptError
	return errors.As(err, &damaged) || errors.Is(err, livedb.ErrCorrupt) || errors.Is(err, livedb.ErrNotDatabase)
}
