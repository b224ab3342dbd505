package main

import (
	"context"
	"database/sql"
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

// demoCommands are what can be typed.
var demoCommands = []struct {
	name, does string
	run        func(*demo, context.Context) error
}{
	{"break", "the machine stops, and the disk ruins some pages: see what the page says, and the recovery", (*demo).breakIt},
	{"mistake", "DELETE FROM notes, its WHERE forgotten: undo it with Restore on the page", (*demo).mistake},
	{"customers", "the wrong customers are deleted: get exactly those back by Look inside on the page", (*demo).customers},
	{"backup", "a backup, as the page's button makes it", (*demo).backup},
}

func demoMenu() string {
	var b strings.Builder
	for _, c := range demoCommands {
		fmt.Fprintf(&b, "  %-9s %s\n", c.name, c.does)
	}
	return b.String() + "  quit      or Ctrl-C: the end"
}

// obey does what was typed; going is false when that was the end. A failure is
// printed, and is not the end.
func (d *demo) obey(ctx context.Context, line string) (going bool) {
	word := strings.ToLower(strings.TrimSpace(line))
	if word == "" || word == "quit" {
		return word == ""
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
	d.write("%s\n", demoMenu())
	return true
}

func (d *demo) backup(ctx context.Context) error {
	_, err := d.m.Backup(by(ctx, "the demo"), snapshot.Manual("asked for at the demo's prompt"))
	return err // reported as an event in both cases
}

// mistake is for the page to undo: the newest backup is from before it.
func (d *demo) mistake(ctx context.Context) error {
	notes, err := d.remove(ctx, "notes", "DELETE FROM notes")
	if err == nil {
		d.line(`DELETE FROM notes: all %s are gone. On the page, restore "before the notes are tidied"; then undo that, if you like`, humanize.Comma(notes))
	}
	return err
}

// customers deletes some, with all that belongs to them, for the page to bring exactly those back.
func (d *demo) customers(ctx context.Context) error {
	contacts, err := d.remove(ctx, "customers", "DELETE FROM deals WHERE contact_id % 9 = 4", "DELETE FROM contacts WHERE id % 9 = 4")
	if err == nil {
		d.line(`DELETE FROM contacts: %s customers are gone, with their deals and notes, and people go on. On the page, choose "before the customers are tidied", Look inside, contacts, all that are gone, and what belongs to them`,
			humanize.Comma(contacts))
	}
	return err
}

// remove deletes rows after a backup, and returns how many the last statement deleted.
func (d *demo) remove(ctx context.Context, what string, statements ...string) (rows int64, err error) {
	if d.crm.db == nil {
		return 0, errors.New("the application is stopped; type break to start the machine")
	}
	if _, err := d.m.Backup(by(ctx, "the demo"), snapshot.Manual("before the "+what+" are tidied")); err != nil {
		return 0, err
	}
	tx, err := d.crm.db.BeginTx(ctx, nil)
	if err != nil {
		return 0, fmt.Errorf("delete %s: %w", what, err)
	}
	defer func() { _ = tx.Rollback() }() // unless it was committed
	for _, statement := range statements {
		var gone sql.Result
		if gone, err = tx.ExecContext(ctx, statement); err == nil {
			rows, err = gone.RowsAffected()
		}
		if err != nil {
			return 0, fmt.Errorf("delete %s: %w", what, err)
		}
	}
	if err := tx.Commit(); err != nil {
		return 0, fmt.Errorf("delete %s: %w", what, err)
	}
	return rows, nil
}

// demoPause is for looking at the page while the database is damaged.
const demoPause = 8 * time.Second

// breakIt ruins the file and lets the page show it for some seconds before it does
// what a start of serve does: the start-up decision, and then the application.
func (d *demo) breakIt(ctx context.Context) error {
	if d.crm.db != nil {
		if err := d.crm.stop(); err != nil {
			return err
		}
		d.line("the application has stopped")
		if err := ruin(ctx, d.db); err != nil {
			return err
		}
	}
	report, err := d.m.Check(by(ctx, "the demo"), integrity.LevelQuick)
	if err != nil {
		return err
	}
	if report.Damaged() {
		d.line("noise on the disk, where pages were; a check says %s: %s", report.Verdict, short(report.Findings[0].Message, 70))
		d.line("look at the page; in %s the machine starts again", demoPause)
		if err := linger(ctx, demoPause); err != nil {
			return err
		}
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
	if err == nil && sum != samplecrm.ExpectedSum {
		err = fmt.Errorf("the accounts add up to %d instead of %d", sum, samplecrm.ExpectedSum)
	}
	if err != nil {
		return err
	}
	d.line("the application runs again, and its accounts add up to the cent")
	return nil
}

// ruin overwrites pages in several places of a database while no other process
// reads it: a backup that had just checked it would store the noise.
func ruin(ctx context.Context, path string) (err error) {
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
	const pageSize = 4096
	noise := make([]byte, 4*pageSize)
	source := rand.NewChaCha8([32]byte{1})
	for part := int64(1); err == nil && part < 6; part++ {
		_, _ = source.Read(noise) // never fails
		_, err = f.WriteAt(noise, st.Size()/pageSize*part/6*pageSize)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("damage the file: %w", err)
	}
	return nil
}

// demoRate is how many changes the people make per second.
const demoRate = 5

// demoCRM is the application of the demo: connections of its own to the
// database, and people who change it. One goroutine calls its methods.
type demoCRM struct {
	path    string
	trouble func(error) // receives what kept the people from working; they go on after a moment

	db   *sql.DB // nil while it is stopped
	home context.CancelFunc
	left chan struct{} // closed when the people have stopped
}

// start opens the application and lets people work until stop.
func (c *demoCRM) start(ctx context.Context) error {
	db, err := samplecrm.Open(c.path, "")
	if err != nil {
		return fmt.Errorf("open the sample application: %w", err)
	}
	ctx, c.home = context.WithCancel(ctx)
	c.db, c.left = db, make(chan struct{})
	go func(left chan<- struct{}) {
		defer close(left)
		w := samplecrm.NewWriter(db, uint64(time.Now().UnixNano()))
		for {
			err := w.Run(ctx, demoRate)
			if err == nil {
				return
			}
			c.trouble(err)
			if linger(ctx, 2*time.Second) != nil {
				return
			}
		}
	}(c.left)
	return nil
}

// stop closes the application; one that is stopped stays so.
func (c *demoCRM) stop() error {
	if c.db == nil {
		return nil
	}
	c.home()
	<-c.left
	err := c.db.Close()
	c.db = nil
	return err
}
