package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"example.com/snapd/integrity"
	"example.com/snapd/internal/message"
	"example.com/snapd/internal/samplecrm"
	"example.com/snapd/snapshot"
)

// demoCommand is something to type.
type demoCommand struct {
	name, does string
	run        func(*liveDemo, context.Context) error
}

var demoCommands = []demoCommand{
	{"break", "the machine stops, and the disk ruins some pages: see what the page says, and the recovery", (*liveDemo).breakIt},
	{"mistake", "DELETE FROM notes, its WHERE forgotten: undo it with Restore on the page", (*liveDemo).mistake},
	{"backup", "a backup, as the page's button makes it", (*liveDemo).backup},
	{"recover", "what serve does at a start, should the application be stopped", (*liveDemo).recover},
}

func (d *liveDemo) menu() string {
	var b strings.Builder
	for _, c := range demoCommands {
		fmt.Fprintf(&b, "  %-8s %s\n", c.name, c.does)
	}
	fmt.Fprintf(&b, "  %-8s or Ctrl-C: the end", "quit")
	return b.String()
}

// obey does what was typed; going is false when that was the end. A failure is
// told, and is not the end.
func (d *liveDemo) obey(ctx context.Context, line string) (going bool) {
	word := strings.ToLower(strings.TrimSpace(line))
	if word == "quit" || word == "exit" {
		return false
	}
	for _, c := range demoCommands {
		if c.name != word {
			continue
		}
		if err := c.run(d, ctx); err != nil && ctx.Err() == nil {
			d.line("%s: %s", word, message.OneLine(err.Error()))
		}
		return true
	}
	if word != "" {
		d.write(d.menu() + "\n")
	}
	return true
}

func (d *liveDemo) backup(ctx context.Context) error {
	_, err := d.m.Backup(by(ctx, "the demo"), snapshot.Manual("asked for at the demo's prompt"))
	return err // reported as an event in both cases
}

// mistake is for the page to undo: the newest backup is from before it.
func (d *liveDemo) mistake(ctx context.Context) error {
	if !d.crm.running() {
		return errors.New("the application is stopped; type recover first")
	}
	if _, err := d.m.Backup(by(ctx, "the demo"), snapshot.Manual("before the notes are tidied")); err != nil {
		return err
	}
	notes, err := d.crm.count(ctx, "notes")
	if err != nil {
		return err
	}
	if _, err := d.crm.db.ExecContext(ctx, "DELETE FROM notes"); err != nil {
		return fmt.Errorf("delete notes: %w", err)
	}
	d.line(`DELETE FROM notes: all %s are gone. On the page, restore "before the notes are tidied"; then undo that, if you like`, humanize.Comma(notes))
	return nil
}

// breakIt ruins the file and lets the page show it for some seconds before it does
// what a start of serve does.
func (d *liveDemo) breakIt(ctx context.Context) error {
	if !d.crm.running() {
		return errors.New("the application is stopped already; type recover")
	}
	if err := d.crm.stop(); err != nil {
		return err
	}
	d.line("the application has stopped")
	if err := ruinFreely(ctx, d.db); err != nil {
		return err
	}
	report, err := d.m.Check(by(ctx, "the demo"), integrity.LevelQuick)
	if err != nil {
		return err
	}
	if !report.Damaged() {
		return errors.New("the noise hit nothing that matters; type break again after recover")
	}
	d.line("noise on the disk, where pages were; a check says %s: %s", report.Verdict, short(report.Findings[0].Message, 70))
	d.line("look at the page; in %s the machine starts again", demoPause)
	if err := linger(ctx, demoPause); err != nil {
		return err
	}
	return d.recover(ctx)
}

// demoPause is for looking at the page while the database is damaged.
const demoPause = 8 * time.Second

// recover makes the start-up decision and starts the application.
func (d *liveDemo) recover(ctx context.Context) error {
	if d.crm.running() {
		return errors.New("the application runs: nothing to recover")
	}
	began := time.Now()
	rec, err := recoverPatiently(by(ctx, "the demo"), d.m)
	if err != nil {
		return err
	}
	d.line("what a start of serve does was done in %s: %s", duration(time.Since(began)), rec.Action)
	if err := d.crm.start(ctx); err != nil {
		return err
	}
	sum, err := samplecrm.Sum(ctx, d.crm.db)
	if err != nil {
		return err
	}
	if sum != samplecrm.ExpectedSum {
		return fmt.Errorf("the accounts add up to %d instead of %d", sum, samplecrm.ExpectedSum)
	}
	d.line("the application runs again, and its accounts add up to the cent")
	return nil
}

// ruinFreely overwrites pages in several places of a database while no other process
// reads it: a backup that had just checked it would store the noise.
func ruinFreely(ctx context.Context, path string) (err error) {
	db, err := samplecrm.Open(path, "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(ctx, "PRAGMA locking_mode=exclusive; PRAGMA wal_checkpoint(truncate); BEGIN EXCLUSIVE; ROLLBACK"); err != nil {
		return fmt.Errorf("damage the file: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("damage the file: %w", err)
	}
	st, err := f.Stat()
	noise := make([]byte, 4*demoPageSize)
	source := rand.NewChaCha8([32]byte{1})
	for part := int64(1); err == nil && part < 6; part++ {
		_, _ = source.Read(noise) // never fails
		_, err = f.WriteAt(noise, st.Size()/demoPageSize*part/6*demoPageSize)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("damage the file: %w", err)
	}
	return nil
}
