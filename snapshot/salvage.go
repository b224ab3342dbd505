package snapshot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/catalogfile"
	"example.com/snapd/internal/durable"
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
	main, err := livedb.Open(c.Database)
	if err != nil {
		return Salvaged{}, fmt.Errorf("salvage: %w", err)
	}
	defer main.Close() // it was only read
	from := repair.Damaged{Image: RepairImage{R: main, Size: before.Main.Size}}
	if before.WAL.Size > 0 {
		log, err := livedb.OpenSidecar(sqlitefile.WAL(c.Database))
		if err != nil {
			return Salvaged{}, fmt.Errorf("salvage: %w", err)
		}
		defer log.Close() // it was only read
		from.Log = sqlitefile.LogFile{R: log, Size: before.WAL.Size, NextData: func(off int64) int64 { return livedb.NextData(log, off) }}
	}
	if before.Journal.Size > 0 {
		journal, err := livedb.OpenSidecar(sqlitefile.Journal(c.Database))
		if err != nil {
			return Salvaged{}, fmt.Errorf("salvage: %w", err)
		}
		defer journal.Close() // it was only read
		from.Journal = RepairImage{R: journal, Size: before.Journal.Size}
	}
	if err := durable.Preflight(filepath.Dir(target), before.Main.Size+before.WAL.Size); err != nil {
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
			err = hint(&sentinelError{ErrCorrupt, err}, "--schema-from names a database or a backup whose page size and schema it had")
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
