package main

import (
	"context"
	"fmt"
	"io"

	"example.com/snapd/snapshot"
)

type deleteCmd struct {
	ID    []string `arg:"" help:"Backups."`
	Force bool     `help:"Pinned ones, and the last verified one, too."`
	Yes   bool     `short:"y" help:"Do not ask."`
}

func (c *deleteCmd) on(ctx context.Context, a *app, m *snapshot.Manager) error {
	var ids []string
	var chosen []snapshot.Backup
	for _, id := range c.ID {
		b, err := m.Find(id)
		if err != nil {
			return fmt.Errorf("delete %s: %w", id, err)
		}
		ids, chosen = append(ids, b.ID), append(chosen, b)
	}
	if !c.Yes {
		if !a.attended() {
			return unattended("deleting " + count(len(ids), "backup", "backups"))
		}
		backupTable(a.console, chosen)
		if err := a.consent(ctx, "Delete for good?"); err != nil {
			return err
		}
	}
	if err := m.Delete(ctx, ids, c.Force); err != nil {
		return err
	}
	doc := struct {
		Deleted []string `json:"deleted"`
	}{ids}
	return a.result(doc, func(w io.Writer) {
		for _, id := range ids {
			fmt.Fprintf(w, "deleted %s\n", id)
		}
	})
}
