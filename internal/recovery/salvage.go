package recovery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/catalogfile"
	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/failure"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/message"
	"example.com/snapd/internal/repair"
	"example.com/snapd/internal/sqlitefile"
	"example.com/snapd/internal/swap"
)

// SalvageOptions say where a salvage takes the schema from, and where it writes.
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

// Salvage writes every row that can still be read of the damaged database at path into a new one at to. base is
// what the archives' names begin with.
func Salvage(ctx context.Context, path, base, to string, o SalvageOptions) (_ repair.Salvaged, err error) {
	path = ofOrphan(path)
	target, err := livedb.Resolve(to)
	if err == nil {
		err = swap.AcceptOther(path, o.Dir, target, o.Overwrite)
	}
	if err != nil {
		return repair.Salvaged{}, fmt.Errorf("salvage to %s: %w", to, err)
	}
	donor, done, err := schemaOf(base, o)
	if err != nil {
		return repair.Salvaged{}, fmt.Errorf("salvage: schema: %w", err)
	}
	defer done()
	said, err := salvage(ctx, path, target, repair.SalvageOptions{Donor: donor, Dir: filepath.Dir(target), Progress: o.Progress}, o.Overwrite)
	if err != nil {
		return repair.Salvaged{}, fmt.Errorf("salvage: %w", err)
	}
	return said, nil
}

// salvage reads the files of the database and commits the new one.
func salvage(ctx context.Context, path, target string, o repair.SalvageOptions, overwrite bool) (said repair.Salvaged, err error) {
	before, err := filesOf(path)
	if err != nil {
		return said, err
	}
	from, done, err := openDamaged(path, before)
	if err != nil {
		return said, err
	}
	defer done()
	if err := durable.Fits(filepath.Dir(target), before.Main.Size+before.WAL.Size); err != nil {
		return said, err
	}
	f, err := durable.Create(target, 0o600)
	if err != nil {
		return said, err
	}
	defer func() { err = errors.Join(err, f.Discard()) }()
	said, err = repair.Salvage(ctx, from, f.Name(), o)
	if err != nil {
		if errors.Is(err, sqlitefile.ErrMalformed) {
			err = message.WithHint(failure.As(failure.ErrCorrupt, err), "--schema-from names a database or a backup whose page size and schema it had")
		}
		return said, err
	}
	after, err := filesOf(path)
	if err != nil {
		return said, err
	}
	if after.TakenAt = before.TakenAt; after != before {
		return said, message.WithHint(fmt.Errorf("%w: %s was written to meanwhile", failure.ErrBusy, path), "stop the program that uses it, and try again")
	}
	commit := f.CommitNew
	if overwrite {
		commit = f.Commit
	}
	return said, commit()
}

// schemaOf opens what a schema is taken from; nil where nothing was named and there is no backup that can
// be read.
func schemaOf(base string, o SalvageOptions) (*repair.Image, func() error, error) {
	from, none := o.SchemaFrom, func() error { return nil }
	if _, err := os.Stat(from); from != "" && err == nil {
		a, err := archive.Open(from)
		if err == nil {
			return &repair.Image{R: a, Size: a.Info().ImageBytes}, a.Close, nil
		}
		if !errors.Is(err, archive.ErrNotArchive) {
			return nil, none, err
		}
		f, err := livedb.Open(from)
		if err != nil {
			return nil, none, err
		}
		size, err := f.Size()
		return &repair.Image{R: f, Size: size}, f.Close, err
	}
	cat, err := catalogfile.Open(o.Dir, base)
	var b catalog.Entry
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
	return &repair.Image{R: a, Size: a.Info().ImageBytes}, a.Close, nil
}

// ofOrphan is the path of a database whose log or journal, left alone, has that name; else path.
func ofOrphan(path string) string {
	for _, suffix := range []string{sqlitefile.WALSuffix, sqlitefile.JournalSuffix} {
		if base, is := strings.CutSuffix(path, suffix); is {
			if _, err := os.Lstat(base); errors.Is(err, fs.ErrNotExist) {
				return base
			}
		}
	}
	return path
}

// filesOf looks at the files of a damaged database. Its own may be missing: a log can have all of it.
func filesOf(path string) (livedb.Fingerprint, error) {
	f, missing := livedb.TakeFingerprint(path)
	if !errors.Is(missing, fs.ErrNotExist) {
		return f, missing
	}
	for suffix, state := range map[string]*livedb.FileState{sqlitefile.WALSuffix: &f.WAL, sqlitefile.JournalSuffix: &f.Journal} {
		st, err := os.Lstat(path + suffix)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return f, err
		case st.Mode().IsRegular() && st.Size() > 0:
			state.Present, state.Size, state.MTime = true, st.Size(), st.ModTime().UnixNano()
			missing = nil
		}
	}
	return f, missing
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
	from.Image = repair.Image{R: strings.NewReader("")}
	if size.Main.Present {
		main, err := livedb.Open(path)
		if err != nil {
			return from, done, err
		}
		open = append(open, main)
		from.Image = repair.Image{R: main, Size: size.Main.Size}
	}
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
			from.Journal = repair.Image{R: f, Size: bytes}
			continue
		}
		from.Log = sqlitefile.LogFile{R: f, Size: bytes, NextData: func(off int64) int64 { return livedb.NextData(f, off) }}
	}
	return from, done, nil
}

// addSalvage adds salvage to the ways out where none is known that has all that can be read, with what was
// counted on a private copy: the rows that are known to be gone, and those that the newest backup lacks.
func (c *Case) addSalvage(ctx context.Context, p *Plan, f facts) (err error) {
	lossless := func(o Option) bool { return o.RowsLost != nil && *o.RowsLost == 0 }
	whole := p.Action == ActionRepaired && f.repair.hasAll() || slices.ContainsFunc(p.Options, lossless)
	if !f.report.Damaged() || f.inUse != nil || whole {
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
	donor, closeDonor, _ := c.donor(ctx, f.candidates) // restoring it says why
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
	if err := durable.Fits(os.TempDir(), size.Main.Size+size.WAL.Size); err != nil {
		return uncounted(p, err)
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
	if err != nil {
		return uncounted(p, fmt.Errorf("try a salvage: %w", err))
	}
	if o, any := optionOf(said); any {
		p.Options = append(p.Options, o)
	}
	return nil
}

// uncounted adds salvage where there was no room to count what it brings out; other errors are returned.
func uncounted(p *Plan, err error) error {
	if !durable.IsNoSpace(err) {
		return err
	}
	p.Options = append(p.Options, Option{Action: ActionSalvage, Loses: "what can be read was not counted: " + err.Error(), Room: []Room{}})
	return nil
}

// optionOf is the option to salvage, as a trial found it; any is false where it brings out no row.
func optionOf(said repair.Salvaged) (o Option, any bool) {
	var rows, gone, pages int64
	for _, t := range said.Tables {
		rows, gone, pages = rows+t.Rows, gone+t.Unreadable+t.CutShort, pages+t.UnreadablePages
	}
	o = Option{Action: ActionSalvage, Proven: true, Room: []Room{},
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

// Unrestored counts the rows that can still be read of the damaged files that were kept at a path, and are not in the
// image that was restored. An error says that this cannot be found out, or not in a short time. Scratch files go to dir.
func Unrestored(ctx context.Context, kept string, image archive.Image, dir string) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, unrestoredTime)
	defer cancel()
	kept = ofOrphan(kept)
	size, err := filesOf(kept)
	if err != nil {
		return 0, err
	}
	if size.Main.Size+image.Shape().Bytes() > maxUnrestored {
		return 0, errors.New("too many bytes to be compared")
	}
	from, done, err := openDamaged(kept, size)
	if err != nil {
		return 0, err
	}
	defer done()
	return repair.Unrestored(ctx, from, repair.Image{R: image, Size: image.Shape().Bytes()}, dir)
}

// What is read to count rows that were not restored.
const (
	unrestoredTime = 5 * time.Second
	maxUnrestored  = 2 << 30
)
