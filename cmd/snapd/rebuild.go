package main

import (
	"context"
	"fmt"
	"io"

	"example.com/snapd/snapshot"
)

type rebuildCmd struct{}

func (c *rebuildCmd) run(ctx context.Context, a *app) error {
	m, err := a.open(ctx, nil)
	if err != nil {
		return err
	}
	changes, err := m.Rebuild(ctx)
	if err != nil {
		return err
	}
	all, err := m.Backups()
	if err != nil {
		return err
	}
	if all == nil {
		all = []snapshot.Backup{}
	}
	return a.result(backupsDocument{all}, func(w io.Writer) {
		for _, line := range changes.Lines() {
			fmt.Fprintln(w, line)
		}
		fmt.Fprintf(w, "%s found in %s\n", count(len(all), "backup", "backups"), m.Dir())
		if len(all) > 0 {
			backupTable(w, all)
			fmt.Fprintf(w, "none of them counts until proven: %s\n", a.commandLine(m, "verify", "--all"))
		}
	})
}
