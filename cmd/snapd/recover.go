package main

import (
	"context"
	"fmt"
	"io"

	"example.com/snapd/snapshot"
)

// missing is what to do about a database that is not there.
type missing struct {
	OnMissing string `enum:"restore,fail,ignore" default:"restore" placeholder:"restore|fail|ignore" help:"What to do when the database is missing or empty while backups exist (${default})."`
}

func (c missing) apply(cfg *snapshot.Config) { cfg.OnMissing = snapshot.OnMissing(c.OnMissing) }

type recoverCmd struct {
	missing
}

func (c *recoverCmd) run(ctx context.Context, a *app) error {
	m, err := a.open(c.apply)
	if err != nil {
		return err
	}
	rec, err := m.Recover(ctx)
	if err != nil && rec.Action != snapshot.ActionWaiting {
		return err
	}
	// Waiting is told both ways: what was found, and that nothing could be done.
	perr := a.result(rec, func(w io.Writer) { printRecovery(w, m, rec) })
	if err != nil {
		return err
	}
	return perr
}

func printRecovery(w io.Writer, m *snapshot.Manager, rec snapshot.Recovery) {
	switch rec.Action {
	case snapshot.ActionNone:
		fmt.Fprintf(w, "%s: %s; nothing to do\n", m.Database(), rec.Verdict)
	case snapshot.ActionWaiting:
		fmt.Fprintf(w, "%s: %s; waiting until nobody has it open\n", m.Database(), rec.Verdict)
	default:
		fmt.Fprintf(w, "%s was %s; restored %s\n", m.Database(), rec.Verdict, text(rec.Restored, "it"))
		if rec.Quarantined != nil {
			fmt.Fprintf(w, "the damaged database was kept as %s\n", *rec.Quarantined)
		}
		if !rec.LosesSince.IsZero() {
			fmt.Fprintf(w, "changes since %s (%s) are not in it\n", when(rec.LosesSince), ago(rec.LosesSince))
		}
	}
}
