package snapshot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/catalogfile"
	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/failure"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/repair"
	"example.com/snapd/internal/sqlitefile"
	"example.com/snapd/internal/swap"
)

// SalvageOptions of [Salvage].
type SalvageOptions struct {
	// SchemaFrom is where what is lost of the schema comes from: a sound database or archive, or the id
	// of a backup in Dir. Default: the newest verified backup in Dir, if there is one.
	SchemaFrom string
	// Dir is the backup directory; default "backups" next to the database.
	Dir string
	// Overwrite lets an existing file be replaced.
	Overwrite bool
	// Progress, when not nil, is called with the table that is at work and the rows written so far.
	Progress func(table string, rows int64)
}

// SalvageResult of [Salvage].
type SalvageResult struct {
	To string `json:"to"`
	Salvaged
}

// Salvage writes every row that can still be read of the damaged database at path into a new
// database at to. The damaged one is only read, together with its write-ahead log and its rollback journal
// as far as checksums prove them, and not by SQLite: one page that is lost costs the rows on it. Rows that
// have no place in a table are kept in the table lost_and_found. It needs no Manager.
//
// Errors: [ErrMissing], [ErrRefused] (to exists, or is a part of the database), [ErrBusy] (path was
// written to meanwhile), [ErrCorrupt] where no page of a database can be recognised, [ErrNoSpace].
func Salvage(ctx context.Context, path, to string, o SalvageOptions) (_ SalvageResult, err error) {
	defer func() { err = explain(err) }()
	c := Config{Database: path, Dir: o.Dir}
	if err := c.resolve(); err != nil {
		return SalvageResult{}, err
	}
	target, err := livedb.Resolve(to)
	if err == nil {
		err = swap.AcceptOther(c.Database, c.Dir, target, o.Overwrite)
	}
	if err != nil {
		return SalvageResult{}, fmt.Errorf("salvage to %s: %w", to, err)
	}
	donor, done, err := c.donor(o.SchemaFrom)
	if err != nil {
		return SalvageResult{}, fmt.Errorf("salvage: schema: %w", err)
	}
	defer done()
	said, err := c.salvage(ctx, target, repair.SalvageOptions{Donor: donor, Dir: filepath.Dir(target), Progress: o.Progress}, o.Overwrite)
	return SalvageResult{to, said}, err
}

// salvage reads the files of the database and commits the new one.
func (c *Config) salvage(ctx context.Context, target string, o repair.SalvageOptions, overwrite bool) (_ Salvaged, err error) {
	before, err := livedb.TakeFingerprint(c.Database)
	if err != nil {
		return Salvaged{}, fmt.Errorf("salvage: %w", err)
	}
	from, done, err := openDamaged(c.Database, before)
	if err != nil {
		return Salvaged{}, fmt.Errorf("salvage: %w", err)
	}
	defer done()
	if err := durable.Fits(filepath.Dir(target), before.Main.Size+before.WAL.Size); err != nil {
		return Salvaged{}, fmt.Errorf("salvage: %w", err)
	}
	f, err := durable.Create(target, 0o600)
	if err != nil {
		return Salvaged{}, fmt.Errorf("salvage: %w", err)
	}
	defer func() { err = errors.Join(err, f.Discard()) }()
	said, err := repair.Salvage(ctx, from, f.Name(), o)
	if err != nil {
		if errors.Is(err, sqlitefile.ErrMalformed) {
			err = hint(failure.As(ErrCorrupt, err), "--schema-from names a database or a backup whose page size and schema it had")
		}
		return Salvaged{}, err
	}
	after, err := livedb.TakeFingerprint(c.Database)
	if err != nil {
		return Salvaged{}, fmt.Errorf("salvage: %w", err)
	}
	if after.TakenAt = before.TakenAt; after != before {
		return Salvaged{}, hint(fmt.Errorf("salvage: %w: %s was written to meanwhile", ErrBusy, c.Database), "stop the program that uses it, and try again")
	}
	commit := f.CommitNew
	if overwrite {
		commit = f.Commit
	}
	return said, commit()
}

// donor opens what a schema is taken from; nil where nothing was named and there is no backup that can
// be read.
func (c *Config) donor(from string) (*RepairImage, func() error, error) {
	none := func() error { return nil }
	if _, err := os.Stat(from); from != "" && err == nil {
		a, err := archive.Open(from)
		if err == nil {
			return &RepairImage{R: a, Size: a.Info().ImageBytes}, a.Close, nil
		}
		if !errors.Is(err, archive.ErrNotArchive) {
			return nil, none, err
		}
		f, err := livedb.Open(from)
		if err != nil {
			return nil, none, err
		}
		size, err := f.Size()
		return &RepairImage{R: f, Size: size}, f.Close, err
	}
	cat, err := catalogfile.Open(c.Dir, c.base())
	var b Backup
	if err == nil {
		b, err = cat.Get(cmp.Or(from, "latest"))
	}
	var a *archive.Reader
	if err == nil {
		a, err = cat.OpenArchive(b)
	}
	if err != nil {
		if from == "" {
			err = nil // the file's own schema is what there is
		}
		return nil, none, err
	}
	return &RepairImage{R: a, Size: a.Info().ImageBytes}, a.Close, nil
}

// openDamaged opens the files of a damaged database for reading; done closes them.
func openDamaged(path string, size livedb.Fingerprint) (from repair.Damaged, done func(), err error) {
	var open []io.Closer
	done = func() {
		for _, f := range open {
			f.Close() // it was only read
		}
	}
	defer func() {
		if err != nil {
			done()
		}
	}()
	main, err := livedb.Open(path)
	if err != nil {
		return from, done, err
	}
	open = append(open, main)
	from.Image = RepairImage{R: main, Size: size.Main.Size}
	for suffix, bytes := range map[string]int64{sqlitefile.WALSuffix: size.WAL.Size, sqlitefile.JournalSuffix: size.Journal.Size} {
		if bytes == 0 {
			continue
		}
		f, err := livedb.OpenSidecar(path + suffix)
		if err != nil {
			return from, done, err
		}
		open = append(open, f)
		if suffix == sqlitefile.JournalSuffix {
			from.Journal = RepairImage{R: f, Size: bytes}
			continue
		}
		from.Log = sqlitefile.LogFile{R: f, Size: bytes, NextData: func(off int64) int64 { return livedb.NextData(f, off) }}
	}
	return from, done, nil
}

// salvageOption adds salvage to the ways out where none is known that loses nothing, with what was
// counted on a private copy: the rows that are known to be gone, and those that the newest backup lacks.
func (r *recovery) salvageOption(ctx context.Context, p *RecoveryPlan, f recoveryFacts) (err error) {
	lossless := func(o RecoveryOption) bool { return o.RowsLost != nil && *o.RowsLost == 0 }
	if !f.report.Damaged() || f.inUse != nil || slices.ContainsFunc(p.Options, lossless) {
		return nil
	}
	size, err := livedb.TakeFingerprint(f.database)
	if err != nil {
		return err
	}
	from, done, err := openDamaged(f.database, size)
	if err != nil {
		return err
	}
	defer done()
	donor, closeDonor := r.donor(ctx, f.candidates)
	defer closeDonor()
	if donor != nil {
		for i := range p.Options {
			if o := &p.Options[i]; o.Action == ActionRestored && o.RowsLost == nil && *o.Backup == f.candidates[0].ID {
				if n, err := repair.Unrestored(ctx, from, *donor, ""); err == nil { // else it is not known
					o.countRows(&n)
				}
			}
		}
	}
	if err := durable.Preflight(os.TempDir(), size.Main.Size+size.WAL.Size); err != nil {
		return err
	}
	scratch, err := durable.Scratch("", "salvage")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, scratch.Close()) }()
	said, err := repair.Salvage(ctx, from, scratch.Name(), repair.SalvageOptions{Donor: donor})
	if errors.Is(err, sqlitefile.ErrMalformed) {
		return nil // nothing can be recognised in it
	}
	if o, any := optionOf(said); err == nil && any {
		p.Options = append(p.Options, o)
	}
	return err
}

// optionOf is the option to salvage, by what a trial of that said; any is false where it brings out no row.
func optionOf(said Salvaged) (o RecoveryOption, any bool) {
	var rows, gone, pages int64
	for _, t := range said.Tables {
		rows, gone, pages = rows+t.Rows, gone+t.Unreadable+t.CutShort, pages+t.UnreadablePages
	}
	o = RecoveryOption{Action: ActionSalvage, Proven: true,
		Loses: fmt.Sprintf("of the damaged database %d rows can be written to a new file, and %d more without their table", rows, said.LostAndFound)}
	switch {
	case pages > 0 || said.SchemaDamaged || said.DiskErrors > 0:
		o.Loses += fmt.Sprintf("; what %d lost pages had is not known", pages+int64(said.DiskErrors))
	default:
		o.RowsLost = &gone
		o.Loses += fmt.Sprintf("; %d rows are gone or cut short", gone)
	}
	return o, rows+said.LostAndFound > 0
}

// unrestoredTime bounds how long the rows are counted that a recovery did not bring back.
const unrestoredTime = 5 * time.Second

// countUnrestored counts the rows that can still be read of the damaged files that were kept, and are not in the
// backup that was restored. What cannot be found out in a short time is not said.
func (r *recovery) countUnrestored(ctx context.Context, e Backup) {
	if r.out.Quarantined == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, unrestoredTime)
	defer cancel()
	kept := *r.out.Quarantined
	size, err := livedb.TakeFingerprint(kept)
	if err != nil || size.Main.Size+e.DatabaseBytes > maxUnrestored {
		return
	}
	from, done, err := openDamaged(kept, size)
	if err != nil {
		return
	}
	defer done()
	a, err := r.m.cat.OpenArchive(e)
	if err != nil {
		return
	}
	defer a.Close() // it was only read
	n, err := repair.Unrestored(ctx, from, RepairImage{R: a, Size: a.Info().ImageBytes}, r.m.cfg.Dir)
	if err != nil {
		return
	}
	r.out.Unrestored = &n
	r.lost(func(o *catalog.RecoveryOutcome) { o.Unrestored = &n })
	r.noteUnrestored(ctx, n)
	if n > 0 {
		r.m.ev.emit(context.WithoutCancel(ctx), Event{Type: EventWarning, Operation: OpRecover, Path: kept,
			Message: fmt.Sprintf("%d rows can still be read in %s that are not in the restored backup", n, filepath.Base(kept))})
	}
}

// noteUnrestored keeps the count next to the files: they are not removed for others to stay
// while they have rows that nothing else has, or may have.
func (r *recovery) noteUnrestored(ctx context.Context, n int64) {
	if r.out.Quarantined == nil {
		return
	}
	if err := catalogfile.NoteUnrestored(*r.out.Quarantined, n); err != nil {
		r.m.ev.emit(ctx, Event{Type: EventWarning, Operation: OpRecover, Path: *r.out.Quarantined, Err: err, Message: "the report of the kept files could not be completed"})
	}
}

// maxUnrestored bounds the bytes that are read for that.
const maxUnrestored = 2 << 30
