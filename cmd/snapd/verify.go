package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"example.com/snapd/catalog"
	"example.com/snapd/integrity"
	"example.com/snapd/internal/message"
	"example.com/snapd/snapshot"
)

type verifyCmd struct {
	ID    []string `arg:"" optional:"" help:"Backups or recovery points; default: latest, the newest verified one; after a restore the restored one."`
	All   bool     `help:"All of them."`
	Level string   `enum:"quick,full" default:"quick" placeholder:"LEVEL" help:"quick: by digests, with a check if the backup has not passed one; full: checked again, in full (${default})."`
	copies
}

// deep is --level, where the rest of the line makes sense.
func (c *verifyCmd) deep() (integrity.Level, error) {
	if c.All && len(c.ID) > 0 {
		return 0, &usageError{"--all and ids exclude each other", "name the backups, or prove --all"}
	}
	return level(c.Level)
}

func (c *verifyCmd) reads() bool { return c.From == "" }

func (c *verifyCmd) on(ctx context.Context, a *app, m *snapshot.Manager) error {
	lvl, err := c.deep()
	if err != nil {
		return err
	}
	chosen, err := c.choose(m)
	if err != nil {
		return err
	}
	done := make([]snapshot.Backup, 0, len(chosen))
	var failed error // the first proof that could not be made
	corrupt := 0
	for _, b := range chosen {
		proven, err := m.Verify(ctx, b.ID, lvl)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		switch {
		case errors.Is(err, snapshot.ErrCorrupt):
			corrupt++
		case err != nil && failed == nil:
			failed = err
		}
		if proven.ID == "" {
			proven = b
		}
		done = append(done, proven.Public())
	}
	if err := a.result(backupsDocument{done}, func(w io.Writer) { printVerified(w, done) }); err != nil {
		return err
	}
	if corrupt > 0 {
		return &outcome{exitCorrupt, fmt.Sprintf("%s of %d failed the proof", count(corrupt, "backup", "backups"), len(done))}
	}
	return failed
}

// choose resolves the ids before anything is proven, newest first, each once.
func (c *verifyCmd) choose(m *snapshot.Manager) ([]snapshot.Backup, error) {
	all, err := m.Backups()
	if err != nil || c.All {
		return all, err
	}
	ids := c.ID
	if len(ids) == 0 {
		ids = []string{"latest"}
	}
	var chosen []snapshot.Backup // the recovery points among them first
	wanted := map[string]bool{}
	for _, id := range ids {
		b, err := m.Find(id)
		if err != nil {
			return nil, fmt.Errorf("verify %s: %w", id, err)
		}
		if b.File == "" && !wanted[b.ID] {
			chosen = append(chosen, b)
		}
		wanted[b.ID] = true
	}
	for _, b := range all {
		if wanted[b.ID] {
			chosen = append(chosen, b)
		}
	}
	return chosen, nil
}

func printVerified(w io.Writer, done []snapshot.Backup) {
	if len(done) == 0 {
		fmt.Fprintln(w, "there are no backups to verify")
	}
	for _, b := range done {
		fmt.Fprintf(w, "%s: %s", b.ID, b.Verification.State)
		if b.Verification.Level != "" {
			fmt.Fprintf(w, " (%s)", b.Verification.Level)
		}
		if b.Verification.Detail != "" && b.Verification.State != catalog.Verified {
			fmt.Fprintf(w, ": %s", message.OneLine(b.Verification.Detail))
		}
		fmt.Fprintln(w)
	}
}
