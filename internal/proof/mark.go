package proof

import (
	"context"
	"errors"
	"fmt"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/integrity"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/catalogfile"
	"example.com/snapd/internal/changes"
	"example.com/snapd/internal/failure"
	"example.com/snapd/internal/message"
)

// MarkFailed marks the backup failed where err proves it damaged, and its stored bytes
// read again do so too. It returns err.
func (p *Prover) MarkFailed(ctx context.Context, e catalog.Entry, err error) error {
	report, notProof := damagedReport(p.Catalog.Path(e), integrity.LevelQuick, err)
	if notProof != nil || errors.Is(err, archive.ErrVersion) {
		return err
	}
	doubt := confirmed(err, func() (integrity.Report, error) {
		return readAll(ctx, p.Catalog, e, catalogfile.Uncached(p.Catalog), archive.CopyOptions{Workers: p.Workers})
	})
	if doubt != nil {
		return doubt
	}
	return errors.Join(err, p.Record(ctx, &e, Verdict(report, p.Now())))
}

// readAll judges e by its stored bytes alone, all of them: sound ones give the zero Report.
func readAll(ctx context.Context, cat *catalogfile.Catalog, e catalog.Entry, archiveOf opener, o archive.CopyOptions) (integrity.Report, error) {
	r, err := archiveOf(e)
	if err == nil {
		err = errors.Join(r.Verify(ctx, o), r.Close())
	}
	if err == nil {
		return integrity.Report{}, nil
	}
	return damagedReport(cat.Path(e), integrity.LevelQuick, err)
}

// Failed marks the backup that i is read from failed where err of reading it proves that damaged, and
// not the change log. It returns err.
func (p *Prover) Failed(ctx context.Context, i Image, err error) error {
	if errors.Is(err, changes.ErrDamaged) {
		return failure.Explain(err)
	}
	return p.MarkFailed(ctx, i.Base, err)
}

// proven carries out a proof of e, and again, from the disk, where it finds damage: a single reading proves
// none. A backup that passes the second time is sound, and the error is not ErrCorrupt.
func (p *Prover) proven(e catalog.Entry, proof func(opener) (integrity.Report, error)) (integrity.Report, error) {
	report, err := proof(p.Catalog.OpenArchive)
	if err != nil || !report.Damaged() {
		return report, err
	}
	return report, confirmed(&failure.CorruptError{What: Named(e), Report: report}, func() (integrity.Report, error) {
		return proof(catalogfile.Uncached(p.Catalog))
	})
}

// confirmed carries out a proof after damage was found. It returns nil where the proof
// finds it too, else what is the matter: the backup is sound, or could not be read again.
func confirmed(damage error, proof func() (integrity.Report, error)) error {
	switch again, err := proof(); {
	case err != nil:
		return fmt.Errorf("%v; it could not be read again: %w", damage, err)
	case !again.Damaged():
		return message.WithHint(fmt.Errorf("%v; read again, the stored backup is sound and stays verified", damage),
			"the disk or the memory gave other bytes the first time: try again, and check the hardware")
	}
	return nil
}

// damagedReport makes a verdict of an error that proves an archive damaged,
// and passes every other error on.
func damagedReport(path string, level integrity.Level, err error) (integrity.Report, error) {
	if !errors.Is(failure.Explain(err), failure.ErrCorrupt) {
		return integrity.Report{}, err
	}
	at := integrity.LevelHeader
	return integrity.Report{Path: path, Verdict: integrity.Corrupt, Level: level, FailedAt: &at,
		Findings: []integrity.Finding{{Code: integrity.CodeArchive, Message: err.Error()}}}, nil
}

// Verdict is the proof of an archive whose image got report.
func Verdict(report integrity.Report, at time.Time) catalog.Verification {
	v := catalog.Verification{State: catalog.Verified, Level: report.Level.String(), At: &at}
	if report.Damaged() {
		v.State = catalog.Failed
	}
	if report.FullOnly() { // it can be restored, and a recovery repairs it
		v.State, v.Level = catalog.Verified, integrity.LevelQuick.String()
	}
	if report.Verdict != integrity.Healthy {
		v.Detail = string(report.Verdict)
		if len(report.Findings) > 0 {
			v.Detail += ": " + report.Findings[0].Message
		}
	}
	return v
}

// Record keeps a verification in the catalog and in e, with what else follows from
// it, and moves the latest link.
func (p *Prover) Record(ctx context.Context, e *catalog.Entry, v catalog.Verification, also ...func(*catalog.State)) error {
	err := p.Catalog.Update(context.WithoutCancel(ctx), func(tx *catalogfile.Tx) error {
		now, err := tx.Get(e.ID)
		if err != nil {
			return err
		}
		now.Verification = v
		*e = now
		for _, change := range also {
			change(tx.State())
		}
		return tx.Put(now)
	})
	if err != nil {
		return fmt.Errorf("record verification: %w", err)
	}
	return p.Catalog.LinkLatest()
}
