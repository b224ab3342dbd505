package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/dustin/go-humanize"

	"example.com/snapd/snapshot"
)

type salvageCmd struct {
	Path       string `arg:"" help:"The damaged database. It is only read."`
	To         string `required:"" placeholder:"FILE" help:"The new database to write."`
	SchemaFrom string `placeholder:"BACKUP|FILE" help:"Where what is lost of the schema comes from; default: the newest verified backup of the database."`
	Force      bool   `help:"Replace FILE if it exists."`
}

func (c *salvageCmd) run(ctx context.Context, a *app) error {
	if err := mustHaveDirectory("salvage", c.To); err != nil {
		return err
	}
	done, err := snapshot.Salvage(ctx, c.Path, c.To, snapshot.SalvageOptions{SchemaFrom: c.SchemaFrom, Dir: a.Dir, Overwrite: c.Force,
		Progress: func(table string, _ int64) { a.console.progress("salvage "+short(visible(table), 40), 0, 0) }})
	if err != nil {
		return err
	}
	return a.result(done, func(w io.Writer) { printSalvaged(w, done) })
}

func printSalvaged(w io.Writer, done snapshot.SalvageResult) {
	table(w, func(row func(...string)) {
		row("TABLE", "ROWS", "GONE", "PAGES LOST", "CUT SHORT")
		for _, t := range done.Tables {
			row(visible(t.Name), humanize.Comma(t.Rows), some(t.Unreadable), some(t.UnreadablePages), some(t.CutShort))
		}
	})
	fmt.Fprintf(w, "written to %s\n", visible(done.To))
	if done.LostAndFound > 0 {
		fmt.Fprintf(w, "table %s has %s that have no place in a table, each with the reason\n", done.LostTable,
			count(int(done.LostAndFound), "row", "rows"))
	}
	if done.SchemaDamaged {
		fmt.Fprintln(w, "a part of the schema could not be read: whole tables may be missing")
	}
	if done.DiskErrors > 0 {
		fmt.Fprintf(w, "the disk does not give %s\n", count(done.DiskErrors, "page", "pages"))
	}
	for _, s := range done.Skipped {
		fmt.Fprintf(w, "not as it was: %s\n", visible(strings.ReplaceAll(s, "\n", " ")))
	}
	if done.Complete {
		fmt.Fprintln(w, "nothing is known to be missing")
	}
}

// some is a count that is of interest when it is not zero.
func some(n int64) string {
	if n == 0 {
		return "-"
	}
	return humanize.Comma(n)
}
