package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"example.com/snapd/snapshot"
)

// tour is a tour that ends by itself: a backup with writers, damage and
// recovery, a mistake, its restore, and the undo of that.
type tour struct {
	*demo
	steps []tourStep

	transfers int64           // on the books before the damage
	before    snapshot.Backup // taken before the mistake
	safety    string          // what the restore replaced
}

// tourStep is what one step said, for --json.
type tourStep struct {
	Title      string   `json:"title"`
	Lines      []string `json:"lines"`
	DurationMS int64    `json:"duration_ms"`
}

type tourDocument struct {
	demoDocument
	Steps []tourStep `json:"steps"`
}

// run plays the story and says how to go on.
func (d *tour) run(ctx context.Context) error {
	var err error
	if d.m, err = d.a.open(ctx, nil); err != nil {
		return err
	}
	if err := d.play(ctx); err != nil {
		return err
	}
	if d.kept {
		d.next()
	}
	if !d.a.JSON {
		return nil
	}
	return d.a.result(tourDocument{d.document(), d.steps}, nil)
}

// play runs the steps in order.
func (d *tour) play(ctx context.Context) (err error) {
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
		{"snapd restore, while the application runs", d.restore},
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
func (d *tour) step(title string, run func() error) error {
	began := time.Now()
	d.steps = append(d.steps, tourStep{Title: title, Lines: []string{}})
	d.write(fmt.Sprintf("\n%d. %s\n", len(d.steps), title))
	err := run()
	d.steps[len(d.steps)-1].DurationMS = time.Since(began).Milliseconds()
	if err != nil {
		return fmt.Errorf("demo: step %d: %w", len(d.steps), err)
	}
	return nil
}

// say is a line of the present step.
func (d *tour) say(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	s := &d.steps[len(d.steps)-1]
	s.Lines = append(s.Lines, line)
	d.write("   " + line + "\n")
}

// next says what to try on the demo's files.
func (d *tour) next() {
	d.write(fmt.Sprintf("\nThe files are yours to play with, and to delete: %s\nTry next:\n", d.dir))
	for _, args := range [][]string{
		{"list"}, {"status"}, {"verify", "--all", "--level", "full"},
		{"restore", "latest", "--to", filepath.Join(d.dir, "copy.db")}, {"serve", "--interval", "1m", "--on-change", "5s"},
	} {
		d.write("  " + d.a.commandLine(d.m, args...) + "\n")
	}
	d.write("Your own database:\n  " + program() + " serve --db /path/to/your.db\n")
}
