package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/integrity"
	"example.com/snapd/internal/durable"
	"example.com/snapd/snapshot"
)

// manual makes a person's backup.
func (p *past) manual(ctx context.Context, who, note string, pin bool) (snapshot.Backup, error) {
	req := snapshot.Manual(note)
	req.Pin = pin
	return p.m.Backup(by(ctx, who), req)
}

// imported: a backup before risky work, which makes the database larger.
func (p *past) imported(ctx context.Context) error {
	if _, err := p.manual(ctx, "alice", "before the price import", false); err != nil {
		return err
	}
	return p.exec("import prices", `CREATE TABLE prices(id INTEGER PRIMARY KEY, article TEXT, text TEXT, cents INTEGER);
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 5000)
		INSERT INTO prices SELECT i, 'A-' || (10000 + i), hex(randomblob(100)), i * 7 % 90000 FROM n`)
}

// cleanedUp: the same, and the database gets smaller.
func (p *past) cleanedUp(ctx context.Context) error {
	if _, err := p.manual(ctx, "bob", "before old files are removed", false); err != nil {
		return err
	}
	return p.exec("remove old files", "DELETE FROM attachments WHERE id % 3 = 0; VACUUM")
}

// away: the file is not where it was when a backup is due, nor when it is tried
// again, as where a share is not mounted.
func (p *past) away(ctx context.Context) (err error) {
	if err := p.crm.Close(); err != nil {
		return fmt.Errorf("move the database: %w", err)
	}
	if err := durable.Rename(p.db, p.db+".away"); err != nil {
		return fmt.Errorf("move the database: %w", err)
	}
	for range 2 {
		if _, berr := p.m.Backup(ctx, snapshot.Auto(catalog.TriggerSchedule)); !errors.Is(berr, snapshot.ErrMissing) {
			err = errors.Join(err, fmt.Errorf("the backup of a missing database: want %w, have %w", snapshot.ErrMissing, berr))
		}
		p.later(time.Minute)
	}
	if err = errors.Join(err, durable.Rename(p.db+".away", p.db)); err != nil {
		return err
	}
	return p.open()
}

// restored: a mistake, undone by a restore. What that replaced is a backup too.
func (p *past) restored(ctx context.Context) error {
	b, err := p.manual(ctx, "alice", "before the leads are tidied", false)
	if err != nil {
		return err
	}
	if err := p.exec("tidy the leads", "DELETE FROM deals WHERE stage = 'lead'"); err != nil {
		return err
	}
	p.later(25 * time.Minute)
	_, err = p.m.Restore(by(ctx, "alice"), b.ID, snapshot.RestoreOptions{})
	return err
}

// audited: a state for the books, and everything proven again.
func (p *past) audited(ctx context.Context) error {
	if _, err := p.manual(ctx, "carol", "end of the quarter, for the auditors", true); err != nil {
		return err
	}
	all, err := p.m.Backups()
	if err != nil {
		return err
	}
	for _, b := range all[:min(3, len(all))] {
		p.later(time.Second)
		if _, err := p.m.Verify(by(ctx, "carol"), b.ID, integrity.LevelFull); err != nil {
			return err
		}
	}
	return nil
}

func (p *past) updated(ctx context.Context) error {
	_, err := p.manual(ctx, "bob", "before the update to 4.2", false)
	return err
}

// drilled: a whole restore, into a scratch file.
func (p *past) drilled(ctx context.Context) error {
	latest, err := p.m.Find("latest")
	if err != nil {
		return err
	}
	_, err = p.m.Drill(by(ctx, "bob"), latest.ID)
	return err
}
