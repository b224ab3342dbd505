package main

import (
	"context"
	"fmt"
	"io"

	"example.com/snapd/snapshot"
)

type pruneCmd struct {
	DryRun bool `help:"Only print the plan and its reasons."`
	retention
}

func (c *pruneCmd) on(ctx context.Context, a *app, m *snapshot.Manager) error {
	decisions, err := c.decide(ctx, m)
	if err != nil {
		return err
	}
	doc := struct {
		Decisions []snapshot.Decision `json:"decisions"`
	}{listed(decisions)}
	return a.result(doc, func(w io.Writer) {
		c.print(w, decisions)
		if state, err := m.State(); err == nil && state.Retention != nil && !c.given() {
			fmt.Fprintln(w, "by the rules of the serve that runs or last ran here; --keep and --keep-* override them")
		}
	})
}

// decide prunes, or says what pruning would do.
func (c *pruneCmd) decide(ctx context.Context, m *snapshot.Manager) ([]snapshot.Decision, error) {
	if c.DryRun {
		return m.PlanPrune(nil)
	}
	return m.Prune(ctx, nil)
}

func (c *pruneCmd) print(w io.Writer, decisions []snapshot.Decision) {
	keep, remove := 0, "removed"
	if c.DryRun {
		remove = "remove"
	}
	table(w, func(row func(...string)) {
		for _, d := range decisions {
			what := remove
			if d.Keep {
				keep++
				what = "keep"
			}
			reason := d.Reason
			if d.Until != nil {
				reason += "; goes about " + d.Until.UTC().Format("2006-01-02 15:04") + " UTC"
			}
			row(what, d.ID, reason)
		}
	})
	gone := len(decisions) - keep
	if c.DryRun {
		fmt.Fprintf(w, "would remove %d and keep %d\n", gone, keep)
	} else {
		fmt.Fprintf(w, "removed %d, kept %d\n", gone, keep)
	}
	if c.nothing() {
		fmt.Fprintln(w, "no rule keeps an automatic backup; the newest verified one stays under any rules")
	}
}
