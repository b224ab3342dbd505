package main

import (
	"context"
	"fmt"

	"example.com/snapd/snapshot"
)

type undoCmd struct {
	restoring
}

// Help is what the parser adds to the help of undo.
func (undoCmd) Help() string {
	return "A restore saves what it replaces as a backup; undo restores that. It saves what it replaces in its turn, " +
		"so that undo after undo is the restore again. A damaged database that was replaced is kept as a file and not put back: undo names it."
}

func (c *undoCmd) on(ctx context.Context, a *app, m *snapshot.Manager) error {
	b, err := m.Replaced()
	if err != nil {
		return err
	}
	plan, err := m.PlanRestore(ctx, b.ID) // a restore that another program makes meanwhile is not what is to be undone
	if err != nil {
		return err
	}
	return c.over(ctx, a, m, b, &plan, fmt.Sprintf("Undoing the last restore: %s becomes again what it was when %s was saved.", m.Database(), b.ID))
}
