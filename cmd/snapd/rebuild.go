package main

import (
	"context"
	"fmt"
	"io"

	"example.com/snapd/snapshot"
)

type rebuildCmd struct{}

func (c *rebuildCmd) on(ctx context.Context, a *app, m *snapshot.Manager) error {
	changes, err := m.Rebuild(ctx)
	if err != nil {
		return err
	}
	all, err := m.Backups()
	if err != nil {
		return err
	}
	return a.result(backupsDocument{listed(all)}, func(w io.Writer) {
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
