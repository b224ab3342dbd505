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
	In    string `placeholder:"DIR" help:"Use this new or empty directory instead of a temporary one."`
	Clean bool   `help:"Remove the directory at the end."`
}

// demo is one run of it.
type demo struct {
	a     *app
	m     *snapshot.Manager
	db    string
	steps []demoStep

	transfers int64           // on the books before the damage
	before    snapshot.Backup // taken before the mistake
	safety    string          // what the restore replaced
}

// demoStep is what one step said, for --json.
type demoStep struct {
	Title      string   `json:"title"`
	Lines      []string `json:"lines"`
	DurationMS int64    `json:"duration_ms"`
}

type demoDocument struct {
	Directory  string     `json:"directory"`
	Database   string     `json:"database"`
	Backups    string     `json:"backups"`
	Kept       bool       `json:"kept"` // the directory is still there
	Steps      []demoStep `json:"steps"`
	DurationMS int64      `json:"duration_ms"`
}

func (c *demoCmd) run(ctx context.Context, a *app) (err error) {
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
		a.log = slog.New(slog.DiscardHandler) // the demo tells its story itself
	}
	began := time.Now()
	d := &demo{a: a, db: filepath.Join(dir, "crm.db")}
	a.DB, a.Dir = d.db, filepath.Join(dir, "backups")
	if d.m, err = a.open(nil); err != nil {
		return err
	}
	if err := d.play(ctx); err != nil {
		if ctx.Err() != nil {
			return ctx.Err() // whatever the interrupted step made of it
		}
		return err
	}
	if !c.Clean {
		d.next(dir)
	}
	if !a.JSON {
		return nil
	}
	return a.result(demoDocument{dir, d.db, d.m.Dir(), !c.Clean, d.steps, time.Since(began).Milliseconds()}, nil)
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

// play runs the steps in order.
func (d *demo) play(ctx context.Context) (err error) {
	crm, err := d.create(ctx)
	defer func() { err = errors.Join(err, crm.stop()) }()
	if err != nil {
		return err
	}
	for _, step := range []struct {
		title string
		run   func(context.Context, *liveCRM) error
	}{
		{"A backup, while they work", d.backUp},
		{"The machine stops, and the disk ruins some pages", d.ruin},
		{"snapd check: is it whole?", d.check},
		{"snapd recover: what serve does at every start", d.recover},
		{"A backup before risky work, and the mistake it was for", d.mistake},
		{"snapd restore, beside the running application", d.restore},
		{"Changed our mind: undo the restore", d.undo},
		{"Where things stand", d.status},
	} {
		if err := d.step(step.title, func() error { return step.run(ctx, crm) }); err != nil {
			return err
		}
	}
	return nil
}

// step announces what follows and takes its time.
func (d *demo) step(title string, run func() error) error {
	began := time.Now()
	d.steps = append(d.steps, demoStep{Title: title, Lines: []string{}})
	d.tell(fmt.Sprintf("\n%d. %s\n", len(d.steps), title))
	err := run()
	d.steps[len(d.steps)-1].DurationMS = time.Since(began).Milliseconds()
	if err != nil {
		return fmt.Errorf("demo: step %d: %w", len(d.steps), err)
	}
	return nil
}

// say is a line of the present step.
func (d *demo) say(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	s := &d.steps[len(d.steps)-1]
	s.Lines = append(s.Lines, line)
	d.tell("   " + line + "\n")
}

// tell writes at once, so that the story goes as things happen; beside a JSON
// document it goes to standard error.
func (d *demo) tell(text string) {
	switch {
	case d.a.Quiet:
	case d.a.JSON:
		fmt.Fprint(d.a.console, text)
	default:
		d.a.console.endProgress()
		fmt.Fprint(d.a.out, text) // a broken pipe ends the process
	}
}

// next says what to try on the demo's files.
func (d *demo) next(dir string) {
	d.tell(fmt.Sprintf("\nThe files are yours to play with, and to delete: %s\nTry next:\n", dir))
	for _, args := range [][]string{
		{"list"}, {"status"}, {"verify", "--all", "--level", "full"},
		{"restore", "latest", "--to", filepath.Join(dir, "copy.db")}, {"serve", "--interval", "1m", "--on-change", "5s"},
	} {
		d.tell("  " + d.a.commandLine(d.m, args...) + "\n")
	}
	d.tell("Your own database:\n  " + program() + " serve --db /path/to/your.db\n")
}
