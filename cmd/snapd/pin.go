package main

import (
	"context"
	"fmt"
	"io"
)

type pinCmd struct {
	ID string `arg:"" help:"The backup."`
}

type unpinCmd struct {
	ID string `arg:"" help:"The backup."`
}

func (c *pinCmd) run(ctx context.Context, a *app) error   { return setPinned(ctx, a, c.ID, true) }
func (c *unpinCmd) run(ctx context.Context, a *app) error { return setPinned(ctx, a, c.ID, false) }

func setPinned(ctx context.Context, a *app, id string, pinned bool) error {
	m, err := a.open(ctx, nil)
	if err != nil {
		return err
	}
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
