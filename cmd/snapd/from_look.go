package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"example.com/snapd/integrity"
	"example.com/snapd/internal/inspect"
	"example.com/snapd/internal/message"
	"example.com/snapd/internal/points"
	"example.com/snapd/internal/remote"
	"example.com/snapd/internal/rowdiff"
	"example.com/snapd/snapshot"
)

// imageThere opens the image of a state at a remote.
func imageThere(ctx context.Context, r *remote.Reader, id string) (*points.Image, error) {
	p, err := r.Find(ctx, remote.Want{ID: id})
	if err != nil {
		return nil, err
	}
	return r.Image(ctx, p)
}

// insideThere calls look with the image of a state at a remote; only the pages that it asks for are read.
func insideThere(ctx context.Context, r *remote.Reader, id string, look func(*inspect.Image) error) (err error) {
	i, err := imageThere(ctx, r, id)
	if err != nil {
		return fmt.Errorf("look into %s: %w", id, err)
	}
	defer i.Close()
	inside, err := inspect.New(i, i.Shape().Bytes(), i.Point.At, nil)
	if err != nil {
		return fmt.Errorf("look into %s: %w", id, err)
	}
	defer func() { err = errors.Join(err, inside.Close()) }()
	return look(inside)
}

// stateThere opens a state at a remote to be compared; only the pages that differ, and those that lead to them, are read.
func stateThere(ctx context.Context, r *remote.Reader, id string) (rowdiff.State, error) {
	i, err := imageThere(ctx, r, id)
	if err != nil {
		return rowdiff.State{}, err
	}
	inside, err := inspect.New(i, i.Shape().Bytes(), i.Point.At, nil)
	if err != nil {
		return rowdiff.State{}, errors.Join(err, i.Close())
	}
	conn, err := inside.Conn()
	if err != nil {
		return rowdiff.State{}, errors.Join(err, inside.Close(), i.Close())
	}
	return rowdiff.State{Side: &rowdiff.Side{Conn: conn, Bytes: inside.Size(), Explain: inside.Explain, Keep: inside.Keep}, Pages: i, Failed: inside.Failed,
		Close: func() error { return errors.Join(conn.Close(), inside.Close(), i.Close()) }}, nil
}

// onCopies lists the tables of a state at a remote.
func (c *tablesCmd) onCopies(ctx context.Context, a *app, r *remote.Reader) error {
	return insideThere(ctx, r, c.ID, func(inside *inspect.Image) error {
		tables, err := inside.Tables(ctx)
		if err != nil {
			return fmt.Errorf("tables %s: %w", c.ID, err)
		}
		return tablesOf(a, c.ID, tables)
	})
}

// onCopies rehearses a restore from a remote.
func (c *drillCmd) onCopies(ctx context.Context, a *app, r *remote.Reader) error {
	begin, full := time.Now(), integrity.LevelFull
	i, err := imageThere(ctx, r, c.ID)
	if err != nil {
		return fmt.Errorf("drill %s: %w", c.ID, err)
	}
	defer i.Close()
	total := i.Shape().Bytes()
	verdict, err := remote.Prove(ctx, i, r.Scratch, remote.UnpackOptions{Check: &full,
		Progress: func(done int64) { a.console.progress("drill "+i.Point.ID, done, total) }})
	err = explainCopies(err)
	damaged := errors.Is(err, snapshot.ErrCorrupt)
	if err != nil && !damaged {
		return fmt.Errorf("drill %s: %w", i.Point.ID, err)
	}
	if damaged {
		verdict = cmp.Or(verdict, integrity.Corrupt)
	}
	doc := drillDocument{i.Point.ID, string(verdict), time.Since(begin).Milliseconds()}
	why := err
	if err := a.result(doc, func(w io.Writer) {
		if damaged {
			fmt.Fprintf(w, "%s: %s: %s\n", doc.ID, doc.Verdict, message.OneLine(why.Error()))
		} else {
			printRehearsed(w, total, doc)
		}
	}); err != nil {
		return err
	}
	if damaged {
		return &outcome{exitCorrupt, doc.ID + " cannot be restored from there: it is damaged"}
	}
	return nil
}
