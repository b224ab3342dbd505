package main

import (
	"context"
	"fmt"
	"io"

	"example.com/snapd/catalog"
	"example.com/snapd/snapshot"
)

type backupCmd struct {
	Note string `placeholder:"TEXT" help:"Why this backup was made."`
	Pin  bool   `help:"Exempt it from pruning, and from delete without --force."`
	Auto bool   `help:"Make it an automatic one, subject to retention: for cron. An unchanged database needs none."`
	retention
}

func (c *backupCmd) on(ctx context.Context, a *app, m *snapshot.Manager) error {
	if len(c.Note) > snapshot.MaxNote {
		return &usageError{fmt.Sprintf("the note has %d bytes; at most %d fit", len(c.Note), snapshot.MaxNote), "shorten it"}
	}
	req := snapshot.Manual(c.Note)
	if c.Auto {
		req = snapshot.Auto(catalog.TriggerSchedule)
		req.Note = c.Note
	}
	req.Pin = c.Pin
	unchanged, yield := false, yielding(stepBack)
	a.seen = func(ev snapshot.Event) {
		yield(ev)
		unchanged = unchanged || ev.Type == snapshot.EventUnchanged
	}
	b, err := m.Backup(ctx, req)
	if err != nil {
		return err
	}
	return a.result(b.Public(), func(w io.Writer) {
		if unchanged {
			fmt.Fprintf(w, "unchanged since %s (%s): no new backup needed\n", b.ID, ago(b.CreatedAt))
			return
		}
		fmt.Fprintf(w, "backed up %s to %s\n", m.Database(), m.ArchivePath(b))
		fmt.Fprintf(w, "%s, stored in %s, %s (%s), in %s\n", size(b.DatabaseBytes), size(b.ArchiveBytes),
			b.Verification.State, b.Verification.Level, millis(b.DurationMS))
	})
}
