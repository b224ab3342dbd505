package main

import (
	"context"
	"fmt"
	"io"

	"example.com/snapd/snapshot"
)

type acceptCmd struct{}

// Help is what the parser adds to the help of accept.
func (acceptCmd) Help() string {
	return "A break is where the file is no longer the database that was backed up. It may be accepted at once after the database was replaced, " +
		"in the script that does it. Where there is no break nothing changes."
}

// acceptDocument is what --json promises.
type acceptDocument struct {
	Accepted *snapshot.Break `json:"accepted"`
}

func (c *acceptCmd) on(ctx context.Context, a *app, m *snapshot.Manager) error {
	b, err := m.AcceptBreak(ctx)
	if err != nil {
		return err
	}
	return a.result(acceptDocument{b}, func(w io.Writer) {
		if b == nil {
			fmt.Fprintln(w, "nothing to accept: no break is known")
			return
		}
		fmt.Fprintf(w, "accepted: %s\n", b.What)
	})
}
