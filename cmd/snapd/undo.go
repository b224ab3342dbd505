package main

import (
	"context"
	"fmt"
	"io"

	"example.com/snapd/snapshot"
)

type undoCmd struct {
	restoring
	OnConflict string `enum:"fail,skip,replace" default:"fail" help:"After restore-rows: a row that was changed since: fail (do nothing at all), skip (leave it as it is), replace (make it what it was before all the same)."`
}

// Help is what the parser adds to the help of undo.
func (undoCmd) Help() string {
	return "A restore saves what it replaces as a backup; undo restores that. It saves what it replaces in its turn, " +
		"so that undo after undo is the restore again. A damaged database that was replaced is kept as a file and not put back: undo names it. " +
		"After restore-rows only those rows become again what they were, where they are still as restore-rows left them, and everything since is kept; " +
		"restore puts back the whole state before."
}

func (c *undoCmd) on(ctx context.Context, a *app, m *snapshot.Manager) error {
	b, err := m.Replaced()
	if err != nil {
		return err
	}
	if b.Rows != nil {
		return c.rows(ctx, a, m, b)
	}
	plan, err := m.PlanRestore(ctx, b.ID) // a restore that another program makes meanwhile is not what is to be undone
	if err != nil {
		return err
	}
	return c.over(ctx, a, m, b.Backup, &plan, fmt.Sprintf("Undoing the last restore: %s becomes again what it was when %s was saved.", m.Database(), b.ID))
}

// rows undoes restore-rows, or the undo of that.
func (c *undoCmd) rows(ctx context.Context, a *app, m *snapshot.Manager, b snapshot.Replaced) error {
	if c.Offline || c.Force {
		return &usageError{"--offline and --force are for the undo of a restore: rows are changed through a transaction", "leave them out"}
	}
	o := snapshot.RowsOptions{Undo: true, OnConflict: snapshot.RowsPolicy(c.OnConflict)}
	p, err := m.PlanRows(ctx, b.ID, o)
	if err != nil {
		return err
	}
	if p.Err() == nil && !c.Yes && p.Rows > 0 {
		if !a.attended() {
			return unattended("changing " + m.Database())
		}
		fmt.Fprintf(a.console, "Undoing what was done with rows of %s, %s: only these rows are changed, everything since is kept.\n", b.Rows.ID, ago(b.Rows.At))
		printRowsPlan(a.console, "", p)
		if err := a.consent(ctx, "Undo it?"); err != nil {
			return err
		}
	}
	done, err := m.RestoreRows(ctx, b.ID, snapshot.RestoreRowsOptions{RowsOptions: o, Plan: &p})
	if err != nil {
		return err
	}
	return a.result(done, func(w io.Writer) { printRowsDone(w, a, m, done) })
}
