package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"example.com/snapd/internal/durable"
)

type checkCmd struct {
	Path    []string      `arg:"" optional:"" help:"Databases or archives, after -- if their names begin with -; default: the --db."`
	Level   string        `enum:"header,probe,quick,full" default:"quick" placeholder:"LEVEL" help:"header, probe, quick or full (${default})."`
	Strict  bool          `help:"Exit 3 also where rows break rules of the schema (violations)."`
	JUnit   string        `name:"junit" placeholder:"FILE" help:"Also write the outcome to FILE as JUnit XML, for CI systems."`
	Timeout time.Duration `default:"10m" placeholder:"DURATION" help:"Longest time for one file (${default}); 0 for no bound."`
}

// Validate is called by the parser.
func (c *checkCmd) Validate() error {
	if c.Timeout < 0 {
		return fmt.Errorf("--timeout %s is negative; use 0 for no bound", c.Timeout)
	}
	return nil
}

// run checks one file after the other. Two at a time took no less time (measured:
// the engine's own locks are for the whole process), and a file's verdict would come
// to depend on the memory and the time that others leave it.
func (c *checkCmd) run(ctx context.Context, a *app) error {
	durable.SweepShared() // private copies of checks that were killed
	paths := c.Path
	if len(paths) == 0 {
		if a.DB == "" {
			return &usageError{"nothing to check", "name a file, or use --db PATH or SNAPD_DB"}
		}
		paths = []string{a.DB}
	}
	lvl, err := level(c.Level)
	if err != nil {
		return err
	}
	if c.JUnit != "" {
		if err := mayBecomeReport(c.JUnit); err != nil {
			return err
		}
	}
	started := time.Now()
	judge := a.judge(lvl)
	all := make([]checked, 0, len(paths))
	for i, path := range paths {
		a.console.progress(phaseOf(path, i, len(paths)), 0, 0)
		one := checkOne(ctx, path, c.Timeout, judge)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		one.level = lvl
		all = append(all, one)
	}
	return c.report(a, all, started)
}

// report prints the outcome in every requested form.
func (c *checkCmd) report(a *app, all []checked, started time.Time) error {
	took := time.Since(started)
	err := a.result(map[string]any{"reports": all}, func(w io.Writer) { printChecks(w, all, took) })
	if c.JUnit != "" {
		suite := junitSuite(all, c.Strict, started, took)
		err = errors.Join(err, suite.write(c.JUnit))
	}
	if err != nil {
		return err
	}
	// Damage ranks before a failed check, and a failed check before a missing file.
	for _, status := range []int{exitCorrupt, exitFailed, exitBusy, exitMissing} {
		for _, one := range all {
			if one.status(c.Strict) == status {
				return &outcome{status, one.trouble()}
			}
		}
	}
	return nil
}

// phaseOf is what the progress bar says.
func phaseOf(path string, i, n int) string {
	s := "check " + short(visible(path), 60)
	if n > 1 {
		s += fmt.Sprintf(" (%d of %d)", i+1, n)
	}
	return s
}
