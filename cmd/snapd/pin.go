package main

import (
	"context"
	"fmt"
	"io"

	"example.com/snapd/snapshot"
)

type pinCmd struct {
	ID string `arg:"" help:"The backup."`
}

type unpinCmd struct {
	ID string `arg:"" help:"The backup."`
}

func (c *pinCmd) on(ctx context.Context, a *app, m *snapshot.Manager) error {
	return setPinned(ctx, a, m, c.ID, true)
}

func (c *unpinCmd) on(ctx context.Context, a *app, m *snapshot.Manager) error {
	return setPinned(ctx, a, m, c.ID, false)
}

func setPinned(ctx context.Context, a *app, m *snapshot.Manager, id string, pinned bool) error {
	what := "unpin"
	if pinned {
		what = "pin"
	}
	b, err := m.SetPinned(ctx, id, pinned)
	if err != nil {
		return fmt.Errorf("%s %s: %w", what, id, err)
	}
	return a.result(b.Public(), func(w io.Writer) { fmt.Fprintf(w, "%sned %s\n", what, b.ID) })
}
