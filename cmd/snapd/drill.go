package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"example.com/snapd/integrity"
	"example.com/snapd/snapshot"
)

type drillCmd struct {
	ID string `arg:"" optional:"" default:"latest" help:"Backup or recovery point; default: latest, the newest verified one; after a restore the restored one."`
	copies
}

// drillDocument is the JSON form of a drill.
type drillDocument struct {
	ID         string `json:"id"`
	Verdict    string `json:"verdict"`
	DurationMS int64  `json:"duration_ms"`
}

func (c *drillCmd) reads() bool { return c.From == "" }

func (c *drillCmd) on(ctx context.Context, a *app, m *snapshot.Manager) error {
	b, err := m.Find(c.ID)
	if err != nil {
		return fmt.Errorf("drill %s: %w", c.ID, err)
	}
	out, err := m.Drill(ctx, b.ID)
	if out.ID == "" {
		return err
	}
	damaged := errors.Is(err, snapshot.ErrCorrupt)
	if err != nil && !damaged {
		return err
	}
	doc := drillDocument{out.ID, out.Verdict, out.DurationMS}
	if err := a.result(doc, func(w io.Writer) { printDrill(w, b, doc) }); err != nil {
		return err
	}
	if damaged {
		return &outcome{exitCorrupt, b.ID + " cannot be restored: it is damaged"}
	}
	return nil
}

func printDrill(w io.Writer, b snapshot.Backup, d drillDocument) {
	if d.Verdict != string(integrity.Healthy) && d.Verdict != string(integrity.Violations) {
		fmt.Fprintf(w, "%s: %s: it is marked failed, and no restore will use it\n", d.ID, d.Verdict)
		return
	}
	printRehearsed(w, b.DatabaseBytes, d)
}

// printRehearsed reports a drill that went well.
func printRehearsed(w io.Writer, bytes int64, d drillDocument) {
	fmt.Fprintf(w, "%s: %s: restored to a scratch file and checked in full in %s (%s, %s/s)\n",
		d.ID, d.Verdict, millis(d.DurationMS), size(bytes), size(bytes*1000/max(1, d.DurationMS)))
}
