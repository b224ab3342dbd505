package main

import (
	"context"
	"fmt"
	"io"

	"example.com/snapd/snapshot"
)

type listCmd struct{ copies }

// backupsDocument is the JSON form of several backups.
type backupsDocument struct {
	Backups []snapshot.Backup `json:"backups"`
}

func (c *listCmd) reads() bool { return c.From == "" }

func (c *listCmd) on(ctx context.Context, a *app, m *snapshot.Manager) error {
	all, err := m.Backups()
	if err != nil {
		return err
	}
	kept, err := m.Quarantines()
	if err != nil {
		return err
	}
	return a.result(listDocument{backupsDocument{listed(all)}, listed(kept)}, func(w io.Writer) {
		if len(all) == 0 {
			fmt.Fprintf(w, "there are no backups of %s in %s yet\n", m.Database(), m.Dir())
		} else {
			backupTable(w, all)
		}
		if len(kept) > 0 {
			fmt.Fprintln(w, "\nDamaged databases that were kept; delete removes one, salvage copies its rows:")
			quarantineTable(w, kept)
		}
	})
}

// listDocument has what the backup directory holds.
type listDocument struct {
	backupsDocument
	Quarantined []snapshot.Quarantine `json:"quarantined"`
}

// quarantineTable lists damaged databases that were kept.
func quarantineTable(w io.Writer, kept []snapshot.Quarantine) {
	if len(kept) == 0 {
		return
	}
	table(w, func(row func(...string)) {
		row("NAME", "KEPT (UTC)", "AGE", "SIZE", "VERDICT", "NOT RESTORED")
		for _, q := range kept {
			rows := "not known"
			if q.Unrestored != nil {
				rows = count(int(*q.Unrestored), "row", "rows")
			}
			row(q.Name, utc(q.At), ago(q.At), size(q.Bytes), q.Verdict, rows)
		}
	})
}
