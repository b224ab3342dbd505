package main

import (
	"context"
	"fmt"
	"io"

	"github.com/dustin/go-humanize"

	"example.com/snapd/internal/inspect"
	"example.com/snapd/internal/points"
	"example.com/snapd/internal/remote"
	"example.com/snapd/internal/restore"
	"example.com/snapd/snapshot"
)

type exportCmd struct {
	ID     string                `arg:"" help:"Backup or recovery point; latest is the newest verified one; live is the database itself."`
	To     string                `required:"" placeholder:"FILE" help:"The new file: FILE.db a database, FILE.sql a script that makes an equal one, FILE.csv the rows of --table. - is standard output."`
	Format snapshot.ExportFormat `enum:",db,sql,csv" default:"" placeholder:"db|sql|csv" help:"What is written, where the file's name does not say it."`
	Table  string                `placeholder:"NAME" help:"This table alone: .sql or .csv."`
	Force  bool                  `help:"Replace FILE if it exists."`
	copies
}

func (c *exportCmd) reads() bool { return c.From == "" }

// asked is what to write where.
func (c *exportCmd) asked(a *app) (o snapshot.ExportOptions, err error) {
	o = snapshot.ExportOptions{To: c.To, Format: c.Format, Table: c.Table, Overwrite: c.Force,
		Progress: func(done, total int64) { a.console.progress("export", done, total) }}
	if c.To == "-" {
		if a.JSON {
			return o, &usageError{"--json and --to - exclude each other", "both are standard output; name a file"}
		}
		o.To, o.Writer = "", a.safe()
	} else if err := mustHaveDirectory("export", c.To); err != nil {
		return o, err
	}
	resolved, err := o.Resolve()
	if err != nil {
		return o, &usageError{err.Error(), snapshot.Hint(err)}
	}
	return resolved, nil
}

func (c *exportCmd) on(ctx context.Context, a *app, m *snapshot.Manager) error {
	o, err := c.asked(a)
	if err != nil {
		return err
	}
	done, err := m.Export(ctx, c.ID, o)
	if err != nil {
		return otherBackup(err)
	}
	return c.done(a, done)
}

func (c *exportCmd) onCopies(ctx context.Context, a *app, r *remote.Reader) error {
	o, err := c.asked(a)
	if err != nil {
		return err
	}
	if o.Format == snapshot.ExportDatabase {
		if o.Overwrite {
			return &usageError{"--force replaces no file by a database from a remote", "remove that file first, or choose another one"}
		}
		return (&restoreCmd{ID: c.ID, To: c.To, copies: c.copies}).unpackThere(ctx, a, r, func(_ points.Point, done snapshot.RestoreResult) error {
			return c.done(a, snapshot.Exported{ID: done.Restored, To: done.To, Format: o.Format, DurationMS: done.DurationMS})
		})
	}
	return insideThere(ctx, r, c.ID, func(i *inspect.Image) error {
		done, err := restore.Export(ctx, i, c.ID, "", "", o)
		if err != nil {
			return fmt.Errorf("export %s: %w", c.ID, err)
		}
		return c.done(a, done)
	})
}

// done says what was written, unless that is standard output.
func (c *exportCmd) done(a *app, done snapshot.Exported) error {
	a.console.endProgress()
	if c.To == "-" {
		return nil
	}
	return a.result(done, func(w io.Writer) {
		what := "as a database"
		if done.Rows != nil {
			what = fmt.Sprintf("%s of %s as %s", humanize.Comma(*done.Rows)+" rows", count(*done.Tables, "table", "tables"), done.Format)
		}
		fmt.Fprintf(w, "exported %s to %s: %s (%s)\n", done.ID, visible(done.To), what, millis(done.DurationMS))
	})
}
