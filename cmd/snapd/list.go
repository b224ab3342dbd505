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

func (c *listCmd) run(ctx context.Context, a *app) error {
	m, err := a.open(ctx, nil)
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
		if len(all) == 0 {
			fmt.Fprintf(w, "there are no backups of %s in %s yet\n", m.Database(), m.Dir())
			return
		}
		backupTable(w, all)
	})
}
