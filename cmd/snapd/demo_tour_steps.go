package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/dustin/go-humanize"

	"example.com/snapd/integrity"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/samplecrm"
	"example.com/snapd/snapshot"
)

// tourBytes is the size of the sample database.
const tourBytes = 48 << 20

// demoPageSize is samplecrm's default, in bytes.
const demoPageSize = 4096

// create makes the sample database and starts the application on it.
func (d *tour) create(ctx context.Context) (*liveCRM, error) {
	crm := &liveCRM{path: d.db, rate: tourRate}
	return crm, d.step("A sample CRM, and people working in it", func() error {
		d.say("making %s", d.db)
		d.a.console.progress("create", 0, 0)
		if err := samplecrm.Create(ctx, d.db, samplecrm.Options{Bytes: tourBytes}); err != nil {
			return err
		}
		if err := crm.start(ctx); err != nil {
			return err
		}
		st, err := os.Stat(d.db)
		if err != nil {
			return err
		}
		contacts, err := crm.count(ctx, "contacts")
		if err != nil {
			return err
		}
		d.say("%s, %s contacts; changes are being committed now, about %d a second", size(st.Size()), humanize.Comma(contacts), tourRate)
		return linger(ctx, time.Second)
	})
}

// backUp makes a backup while the writer runs.
func (d *tour) backUp(ctx context.Context, crm *liveCRM) error {
	before, began := crm.writer.Commits(), time.Now()
	b, err := d.m.Backup(ctx, snapshot.Manual("the demo's first"))
	if err != nil {
		return err
	}
	took, during := time.Since(began), crm.writer.Commits()-before
	d.say("%s", d.m.ArchivePath(b))
	d.say("%s in %s; stored in %s; read back and proven (%s check)", size(b.DatabaseBytes), duration(took), size(b.ArchiveBytes), b.Verification.Level)
	d.say("%s meanwhile, at %.0f a second", count(int(during), "change was committed", "changes were committed"), float64(during)/took.Seconds())
	// What is changed from here on is in no backup.
	return linger(ctx, time.Second)
}

// ruin stops the application and overwrites pages in the middle of its file.
func (d *tour) ruin(ctx context.Context, crm *liveCRM) error {
	if err := crm.pause(); err != nil {
		return err
	}
	var err error
	if d.transfers, err = crm.count(ctx, "transfers"); err != nil {
		return err
	}
	d.say("before: %s money transfers on the books", humanize.Comma(d.transfers))
	if err := crm.stop(); err != nil {
		return err
	}
	if users, known, err := livedb.Users(d.db); err != nil || known && len(users) > 0 {
		return errors.Join(err, fmt.Errorf("%s is open in %d other processes: the demo does not damage it under them", d.db, len(users)))
	}
	pages, err := overwritePages(d.db, 16)
	if err != nil {
		return err
	}
	d.say("%d pages of 4 KiB in the middle of the file now hold noise", pages)
	return nil
}

// overwritePages fills pages in the middle of a database that no process has open
// with noise.
func overwritePages(path string, pages int64) (int64, error) {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return 0, fmt.Errorf("damage the file: %w", err)
	}
	st, err := f.Stat()
	if err == nil {
		noise := make([]byte, pages*demoPageSize)
		source := rand.NewChaCha8([32]byte{1})
		_, _ = source.Read(noise) // never fails
		_, err = f.WriteAt(noise, st.Size()/demoPageSize/2*demoPageSize)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return 0, fmt.Errorf("damage the file: %w", err)
	}
	return pages, nil
}

// check shows the verdict on the damaged file.
func (d *tour) check(ctx context.Context, _ *liveCRM) error {
	report, err := integrity.Check(ctx, d.db, integrity.Options{})
	if err != nil {
		return err
	}
	d.say("%s, found in %s; the first of the findings:", report.Verdict, millis(report.DurationMS))
	for _, f := range report.Findings[:min(2, len(report.Findings))] {
		d.say("  %s: %s", f.Code, short(f.Message, 100))
	}
	if !report.Damaged() {
		return errors.New("the damage was not noticed")
	}
	return nil
}

// recover lets the start-up decision put the backup back, and starts the application.
func (d *tour) recover(ctx context.Context, crm *liveCRM) error {
	began := time.Now()
	rec, err := d.m.Recover(ctx)
	if err != nil {
		return err
	}
	if rec.Action != snapshot.ActionRestored {
		return fmt.Errorf("the database was not restored: %s", rec.Action)
	}
	d.say("%s in %s, from %s", rec.Action, duration(time.Since(began)), text(rec.Restored, "?"))
	d.say("the damaged file was kept whole, with its report: %s", text(rec.Quarantined, "?"))
	if err := crm.start(ctx); err != nil {
		return err
	}
	if err := crm.pause(); err != nil {
		return err
	}
	return d.accounts(ctx, crm)
}

// accounts reports what the recovery lost, and proves that the rest is one
// committed state.
func (d *tour) accounts(ctx context.Context, crm *liveCRM) error {
	now, err := crm.count(ctx, "transfers")
	if err != nil {
		return err
	}
	sum, err := samplecrm.Sum(ctx, crm.db)
	if err != nil {
		return err
	}
	if sum != samplecrm.ExpectedSum {
		return fmt.Errorf("the accounts add up to %d instead of %d", sum, samplecrm.ExpectedSum)
	}
	d.say("%s transfers are back; the %s made after the backup are in the kept file only (serve backs up more often)",
		humanize.Comma(now), humanize.Comma(d.transfers-now))
	d.say("the accounts add up to the cent: it is one committed state")
	return nil
}

// mistake backs up, then deletes rows by mistake.
func (d *tour) mistake(ctx context.Context, crm *liveCRM) error {
	b, err := d.m.Backup(ctx, snapshot.Manual("before the clean-up"))
	if err != nil {
		return err
	}
	d.before = b
	notes, err := crm.count(ctx, "notes")
	if err != nil {
		return err
	}
	d.say("backup %s", b.ID)
	if _, err := crm.db.ExecContext(ctx, "DELETE FROM notes"); err != nil {
		return fmt.Errorf("delete notes: %w", err)
	}
	left, err := crm.count(ctx, "notes")
	if err != nil {
		return err
	}
	d.say("DELETE FROM notes, with its WHERE forgotten: %s notes before, %s now", humanize.Comma(notes), humanize.Comma(left))
	return nil
}

// restore puts the state from before the mistake back, with the application's
// connections open.
func (d *tour) restore(ctx context.Context, crm *liveCRM) error {
	done, err := d.m.Restore(ctx, d.before.ID, snapshot.RestoreOptions{})
	if err != nil {
		return err
	}
	if done.SafetyBackup == nil {
		return errors.New("the state before the restore was not saved")
	}
	d.safety = *done.SafetyBackup
	notes, err := crm.count(ctx, "notes")
	if err != nil {
		return err
	}
	d.say("%s restore in %s: only the pages that differ were written, in one transaction", done.Method, millis(done.DurationMS))
	d.say("the application, on the connections it had open all along, sees %s notes", humanize.Comma(notes))
	d.say("what was replaced is a backup too: %s", d.safety)
	return nil
}

// undo restores what the restore replaced.
func (d *tour) undo(ctx context.Context, crm *liveCRM) error {
	done, err := d.m.Restore(ctx, d.safety, snapshot.RestoreOptions{})
	if err != nil {
		return err
	}
	notes, err := crm.count(ctx, "notes")
	if err != nil {
		return err
	}
	d.say("%s in %s: %s notes again", done.Method, millis(done.DurationMS), humanize.Comma(notes))
	if _, err := d.m.Restore(ctx, d.before.ID, snapshot.RestoreOptions{}); err != nil {
		return err
	}
	if notes, err = crm.count(ctx, "notes"); err != nil {
		return err
	}
	d.say("and back, because the notes were worth keeping: %s", humanize.Comma(notes))
	return nil
}

// status closes the application and sums up.
func (d *tour) status(ctx context.Context, crm *liveCRM) error {
	if err := crm.stop(); err != nil {
		return err
	}
	s, err := d.m.Status(ctx)
	if err != nil {
		return err
	}
	all, err := d.m.Backups()
	if err != nil {
		return err
	}
	d.say("%s: %s", s.State, s.Reason)
	for _, b := range all {
		d.say("%-35s %-11s %8s  %s  %s", b.ID, b.Trigger, size(b.ArchiveBytes), b.Verification.State, short(b.Note, 28)) // 100 columns
	}
	kept, err := filepath.Glob(filepath.Join(d.m.Dir(), "corrupted_*.db"))
	if err != nil {
		return err
	}
	d.say("kept for forensics: %s", count(len(kept), "damaged database", "damaged databases"))
	return nil
}

// linger lets the people work for a while.
func linger(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
