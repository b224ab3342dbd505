package main

import (
	"context"
	"fmt"
	"io"

	"example.com/snapd/snapshot"
)

type listCmd struct{}

// backupsDocument is the JSON form of several backups.
type backupsDocument struct {
	Backups []snapshot.Backup `json:"backups"`
}

func (c *listCmd) on(ctx context.Context, a *app, m *snapshot.Manager) error {
	all, err := m.Backups()
	if err != nil {
		return err
	}
	return a.result(backupsDocument{listed(all)}, func(w io.Writer) {
		if len(all) == 0 {
			fmt.Fprintf(w, "there are no backups of %s in %s yet\n", m.Database(), m.Dir())
			return
		}
		backupTable(w, all)
	})
}
