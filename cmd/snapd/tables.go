package main

import (
	"context"
	"fmt"
	"io"

	"github.com/dustin/go-humanize"

	"example.com/snapd/snapshot"
)

type tablesCmd struct {
	ID string `arg:"" help:"Backup or recovery point; latest is the newest verified one; after a restore the restored one."`
	copies
}

// tablesDocument is the JSON form of the tables inside a state.
type tablesDocument struct {
	Tables []snapshot.Table `json:"tables"`
}

func (c *tablesCmd) reads() bool { return c.From == "" }

func (c *tablesCmd) on(ctx context.Context, a *app, m *snapshot.Manager) error {
	tables, err := m.Tables(ctx, c.ID)
	if err != nil {
		return err
	}
	return tablesOf(a, c.ID, tables)
}

// tablesOf prints tables. Damage among them is the exit status, so that no script takes the list for a whole one.
func tablesOf(a *app, id string, tables []snapshot.Table) error {
	if err := a.result(tablesDocument{listed(tables)}, func(w io.Writer) { printTables(w, tables) }); err != nil {
		return err
	}
	damaged := 0
	for _, t := range tables {
		if t.Damaged {
			damaged++
		}
	}
	if damaged > 0 {
		return &outcome{exitCorrupt, fmt.Sprintf("%s is damaged: %d of its %d tables", id, damaged, len(tables))}
	}
	return nil
}

func printTables(w io.Writer, tables []snapshot.Table) {
	if len(tables) == 0 {
		fmt.Fprintln(w, "the database in it has no tables")
		return
	}
	table(w, func(row func(...string)) {
		row("NAME", "TYPE", "COLUMNS", "ROWS")
		for _, t := range tables {
			columns, rows := "?", ""
			if t.Columns > 0 {
				columns = fmt.Sprint(t.Columns)
			}
			switch {
			case t.Damaged:
				rows = "damaged"
			case t.Rows != nil:
				rows = humanize.Comma(*t.Rows)
			case t.Type == "table":
				rows = "not counted"
			}
			row(short(visible(t.Name), 60), t.Type, columns, rows)
		}
	})
}
