package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"example.com/snapd/catalog"
	"example.com/snapd/snapshot"
)

type deleteCmd struct {
	ID    []string `arg:"" help:"Backups, or damaged databases that were kept, as list has them."`
	Force bool     `help:"Pinned ones, and the last verified one, too."`
	Yes   bool     `short:"y" help:"Do not ask."`
}

func (c *deleteCmd) on(ctx context.Context, a *app, m *snapshot.Manager) error {
	var ids []string
	var chosen []snapshot.Backup
	var kept []snapshot.Quarantine
	for _, id := range c.ID {
		q, is, err := quarantine(m, id)
		if err != nil {
			return fmt.Errorf("delete %s: %w", id, err)
		}
		if is {
			ids, kept = append(ids, q.Name), append(kept, q)
			continue
		}
		if _, _, isPoint := catalog.ParsePoint(id); isPoint { // it may name a backup, which others build on
			return advised(fmt.Errorf("delete %s: %w: it is a recovery point", id, snapshot.ErrNotFound), "a recovery point goes with the backup that it builds on; list shows the backups that there are")
		}
		b, err := m.Find(id)
		if err != nil {
			return fmt.Errorf("delete %s: %w", id, err)
		}
		ids, chosen = append(ids, b.ID), append(chosen, b)
	}
	if !c.Yes {
		if !a.attended() {
			return unattended("deleting " + count(len(ids), "backup or kept database", "backups and kept databases"))
		}
		if len(chosen) > 0 {
			backupTable(a.console, chosen)
		}
		quarantineTable(a.console, kept)
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
		for _, b := range chosen {
			fmt.Fprintf(w, "deleted %s\n", b.ID)
		}
		for _, q := range kept {
			fmt.Fprintf(w, "deleted %s: %s\n", q.Name, q.Loses())
		}
	})
}

// quarantine finds a damaged database that was kept, by its name or the name of a file of it.
func quarantine(m *snapshot.Manager, id string) (q snapshot.Quarantine, is bool, err error) {
	if !strings.HasPrefix(id, "corrupted_") {
		return q, false, nil
	}
	all, err := m.Quarantines()
	if err != nil {
		return q, false, err
	}
	for _, q := range all {
		if id == q.Name || strings.HasPrefix(id, q.Name+".") {
			return q, true, nil
		}
	}
	return q, false, nil // perhaps a backup of a database of that name
}
