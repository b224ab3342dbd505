package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/dustin/go-humanize"

	"example.com/snapd/snapshot"
)

type rowsCmd struct {
	ID             string `arg:"" help:"Backup or recovery point with the rows; latest is the newest verified backup."`
	Table          string `required:"" placeholder:"TABLE" help:"Table that they are of."`
	Where          string `placeholder:"EXPR" help:"Which rows: an SQL expression over the table's columns, such as \"id = 4711\". It is evaluated in the backup only."`
	Missing        bool   `help:"Only rows that are gone; with --where: of those that it picks."`
	Changed        bool   `help:"Only rows that are others now; with --missing: those, too."`
	OnConflict     string `enum:"fail,skip,replace" default:"fail" help:"A row that is another one now: fail (do nothing at all), skip (leave it as it is), replace (make it what it was)."`
	WithReferences bool   `help:"Bring along the rows of other tables that foreign keys tie to these, where they are gone, too."`
	Apply          bool   `help:"Do it; else it is only shown."`
	Yes            bool   `short:"y" help:"With --apply: do not ask."`
}

// Help is what the parser adds to the help of restore-rows.
func (rowsCmd) Help() string {
	return "Without --apply the SQL is printed, with what it would do as comments. With it the present state is saved as a backup first, and the rows are " +
		"brought back in one transaction, next to the running application. Its triggers run, as for any insertion; foreign keys hold at the end."
}

// rowsDocument is the JSON form of what was done, or would be.
type rowsDocument struct {
	snapshot.RestoredRows
	SQL       []string `json:"sql"`
	Truncated bool     `json:"truncated"` // there are more than those
}

func (c *rowsCmd) on(ctx context.Context, a *app, m *snapshot.Manager) error {
	o := snapshot.RowsOptions{Table: c.Table, Where: c.Where, Missing: c.Missing, Changed: c.Changed, OnConflict: snapshot.RowsPolicy(c.OnConflict), References: c.WithReferences}
	p, err := m.PlanRows(ctx, c.ID, o)
	if err != nil {
		return err
	}
	if !c.Apply {
		return a.script(c.document(p, snapshot.RestoredRows{Plan: p.RowsChange}), func(w io.Writer) error {
			printRowsPlan(w, "-- ", p)
			err := p.WriteSQL(w)
			switch {
			case p.Err() != nil:
				fmt.Fprintln(w, "-- nothing was changed; --apply does nothing while there are conflicts: "+snapshot.Hint(p.Err()))
			case p.Inserted+p.Replaced > 0:
				fmt.Fprintln(w, "-- nothing was changed; --apply does this, after a safety backup; by hand: sqlite3 -bail, or what fails is left out")
			}
			return err
		})
	}
	if !c.Yes && p.Inserted+p.Replaced > 0 {
		if !a.attended() {
			return unattended("changing " + m.Database())
		}
		printRowsPlan(a.console, "", p)
		if err := a.consent(ctx, "Bring these rows back?"); err != nil {
			return err
		}
	}
	done, err := m.RestoreRows(ctx, c.ID, snapshot.RestoreRowsOptions{RowsOptions: o, Plan: &p})
	if err != nil {
		return err
	}
	return a.result(c.document(p, done), func(w io.Writer) { printRowsDone(w, a, m, done) })
}

// printRowsDone says what was done.
func printRowsDone(w io.Writer, a *app, m *snapshot.Manager, done snapshot.RestoredRows) {
	if !done.Applied {
		fmt.Fprintf(w, "nothing to do: %s of the rows that were chosen are as they were\n", humanize.Comma(done.Unchanged))
		return
	}
	fmt.Fprintf(w, "%s (%s)\n", visible(done.Words()), millis(done.DurationMS))
	if done.SafetyBackup != nil {
		fmt.Fprintf(w, "the state before it was saved as %s; to undo: %s, which changes these rows only\n", *done.SafetyBackup, a.commandLine(m, "undo"))
	}
}

// document is what was done with the statements that do it, as many as are of use.
func (c *rowsCmd) document(p snapshot.RowsPlan, done snapshot.RestoredRows) rowsDocument {
	const most, bytes = 1000, 1 << 20
	d := rowsDocument{RestoredRows: done, SQL: []string{}}
	d.Changes, d.Conflicts = p.Changes, p.Conflicts
	size := 0
	p.Statements(func(sql string) bool {
		if size += len(sql); len(d.SQL) == most || size > bytes {
			d.Truncated = true
			return false
		}
		d.SQL = append(d.SQL, sql)
		return true
	})
	return d
}

// printRowsPlan says what would be done, line by line, each after mark.
func printRowsPlan(w io.Writer, mark string, p snapshot.RowsPlan) {
	line := func(format string, args ...any) { fmt.Fprintf(w, mark+format+"\n", args...) }
	first := p.Tables[0]
	text := fmt.Sprintf("%s of %s: %s to be inserted, %s to be replaced, ", visible(p.Table), p.Backup.ID, humanize.Comma(first.Inserted), humanize.Comma(first.Replaced))
	if p.Removed > 0 {
		text += humanize.Comma(first.Removed) + " to be removed, "
	}
	line("%s%s to be left out, %s as they were", text, humanize.Comma(first.Skipped), humanize.Comma(p.Unchanged))
	for i, c := range p.Conflicts {
		if i == 10 {
			line("conflict: %d more", p.Conflicting-10)
			break
		}
		line("conflict: %s", visible(c.What))
	}
	for _, t := range p.Tables[1:] {
		line("with them: %s", visible(t.String()))
	}
	for _, list := range []struct {
		what  string
		names []string
	}{{"triggers that will run", p.Triggers}, {"columns since then, which get their defaults", p.NewColumns}, {"columns that are gone, with what they held", p.LostColumns}} {
		if len(list.names) > 0 {
			line("%s: %s", list.what, visible(strings.Join(list.names, ", ")))
		}
	}
}

// Validate is called by the parser.
func (c *rowsCmd) Validate() error {
	if c.Yes && !c.Apply {
		return errors.New("--yes is for --apply")
	}
	return nil
}
