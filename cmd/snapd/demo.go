package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"example.com/snapd/snapshot"
)

type demoCmd struct {
	In     string  `placeholder:"DIR" help:"Use this new or empty directory instead of a temporary one."`
	Clean  bool    `help:"Remove the directory at the end."`
	Tour   bool    `help:"Instead run a guided tour that ends by itself: damage and recovery, a mistake and its undo. No page."`
	Listen *string `placeholder:"ADDRESS" help:"Where the page is; default 127.0.0.1:8321, or a free port where that is taken."`
}

// demo is one run of it.
type demo struct {
	a     *app
	m     *snapshot.Manager
	dir   string
	db    string
	kept  bool // the directory stays
	began time.Time
}

type demoDocument struct {
	Directory  string `json:"directory"`
	Database   string `json:"database"`
	Backups    string `json:"backups"`
	Kept       bool   `json:"kept"` // the directory is still there
	DurationMS int64  `json:"duration_ms"`
}

func (d *demo) document() demoDocument {
	return demoDocument{d.dir, d.db, d.m.Dir(), d.kept, time.Since(d.began).Milliseconds()}
}

func (c *demoCmd) run(ctx context.Context, a *app) (err error) {
	if c.Tour && c.Listen != nil {
		return &usageError{"--tour and --listen exclude each other", "the tour has no page"}
	}
	dir, tidy, err := c.directory()
	if err != nil {
		return err
	}
	defer func() {
		left, rerr := os.ReadDir(dir)
		switch {
		case c.Clean, rerr == nil && len(left) == 0: // interrupted at once
			err = errors.Join(err, tidy())
		case err != nil:
			fmt.Fprintf(a.console, "the demo's files are in %s\n", dir)
		}
	}()
	if a.LogLevel == nil {
		a.log = slog.New(slog.DiscardHandler) // the demo prints its own text
	}
	d := &demo{a: a, dir: dir, db: filepath.Join(dir, "crm.db"), kept: !c.Clean, began: time.Now()}
	a.DB, a.Dir = d.db, filepath.Join(dir, "backups")
	if c.Tour {
		return interrupted(ctx, (&tour{demo: d}).run(ctx)) // even if the interrupted step returned another error
	}
	return (&liveDemo{demo: d}).run(ctx, c.Listen)
}

// directory returns the demo's own directory, and what removes it.
func (c *demoCmd) directory() (dir string, tidy func() error, err error) {
	if c.In == "" {
		if dir, err = os.MkdirTemp("", "snapd-demo-"); err != nil {
			return "", nil, fmt.Errorf("demo: %w", err)
		}
		return dir, func() error { return os.RemoveAll(dir) }, nil
	}
	if dir, err = filepath.Abs(c.In); err != nil {
		return "", nil, fmt.Errorf("demo: %w", err)
	}
	names, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return "", nil, fmt.Errorf("demo: %w", err)
		}
		return dir, func() error { return os.RemoveAll(dir) }, nil
	case err != nil:
		return "", nil, fmt.Errorf("demo: %w", err)
	case len(names) > 0:
		return "", nil, &refusal{fmt.Sprintf("demo: %s is not empty", dir), "name a directory that is new or empty"}
	}
	return dir, func() error { return emptyDirectory(dir) }, nil
}

// emptyDirectory removes what the demo put into a directory that was there before it.
func emptyDirectory(dir string) error {
	names, err := os.ReadDir(dir)
	for _, e := range names {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
	}
	if err != nil {
		return fmt.Errorf("demo: clean up: %w", err)
	}
	return nil
}

// write writes at once, so that the text appears as things happen; with a JSON
// document it goes to standard error.
func (d *demo) write(text string) {
	switch {
	case d.a.Quiet:
	case d.a.JSON:
		fmt.Fprint(d.a.console, text)
	default:
		d.a.console.endProgress()
		fmt.Fprint(d.a.out, text) // a broken pipe ends the process
	}
}
