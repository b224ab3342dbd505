package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/samplecrm"
	"example.com/snapd/internal/schedule"
	"example.com/snapd/snapshot"
)

const (
	// pastBytes is the size of the sample database five weeks ago.
	pastBytes = 3 << 20
	// pastTurns are the times at which the schedule was due since then, and
	// pastEvery the time between them.
	pastTurns = 70
	pastEvery = 12 * time.Hour
	// pastEnd is how long ago the last of them was.
	pastEnd = 3*time.Hour + 40*time.Minute
	// The machine was off from one turn to the other, counted from the last one, 0.
	turnsOffOld, turnsOffNew = 25, 22
)

// demoPolicy leaves a table to look at: some backups of every age.
var demoPolicy = snapshot.Policy{Last: 10, Daily: 14, Weekly: 6}

// past makes the demo's history: real backups, drills and a restore of a
// database that changes, on a clock that walks through five weeks.
type past struct {
	m      *snapshot.Manager
	db     *sql.DB // one connection, which syncs nothing
	writer *samplecrm.Writer

	mu    sync.Mutex // guards the clock, which goes on from where it was set: what takes long still shows
	at    time.Time
	setAt time.Time
}

func (p *past) set(at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at, p.setAt = at, time.Now()
}

func (p *past) now() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.at.Add(time.Since(p.setAt))
}

// makePast returns when the database, the backups and the log are as if the
// demo had run for five weeks, until just now.
func (d *demo) makePast(ctx context.Context) (err error) {
	end := time.Now().UTC().Add(-pastEnd)
	p := &past{}
	p.set(end.Add(-pastTurns * pastEvery))
	if err := samplecrm.Create(ctx, d.db, samplecrm.Options{Bytes: pastBytes}); err != nil {
		return err
	}
	if p.db, err = samplecrm.Open(d.db, ""); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.db.Close()) }()
	p.db.SetMaxOpenConns(1)
	if err := p.exec(ctx, "PRAGMA synchronous=off"); err != nil {
		return err
	}
	p.writer = samplecrm.NewWriter(p.db, 1)
	if p.m, err = d.a.open(ctx, func(cfg *snapshot.Config) {
		cfg.Now, cfg.Retention, cfg.OnEvent = p.now, demoPolicy, nil
	}); err != nil {
		return err
	}
	for turn := pastTurns - 1; turn >= 0; turn-- {
		p.set(end.Add(-time.Duration(turn) * pastEvery))
		if turn <= turnsOffOld && turn >= turnsOffNew {
			continue
		}
		if err := p.turn(ctx, turn); err != nil {
			return fmt.Errorf("the demo's history, %s: %w", p.now().Format(time.DateTime), err)
		}
	}
	return nil
}

// turn is half a day: people work, the schedule's backup is due, and on some days
// something else happens.
func (p *past) turn(ctx context.Context, turn int) error {
	steps := 70
	switch p.now().Weekday() {
	case time.Saturday:
		steps = 12
	case time.Sunday:
		steps = 0
	}
	for range steps {
		if err := p.writer.Step(ctx); err != nil {
			return err
		}
	}
	trigger := catalog.TriggerSchedule
	if turn == pastTurns-1 || turn == turnsOffNew-1 {
		trigger = catalog.TriggerStartup
		p.m.Record(snapshot.Activity{Who: "automatic", Action: "serve", Outcome: "started", Detail: "a backup every 12h", Schedule: schedule.Every(pastEvery).String()})
	}
	if _, err := p.m.Backup(ctx, snapshot.Auto(trigger)); err != nil {
		return err
	}
	p.set(p.now().Add(3 * time.Hour))
	switch turn {
	case 52:
		_, err := p.backedUpFirst(ctx, "alice", "before the price import",
			`CREATE TABLE prices(id INTEGER PRIMARY KEY, article TEXT, text TEXT, cents INTEGER);
			WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 5000)
			INSERT INTO prices SELECT i, 'A-' || (10000 + i), hex(randomblob(100)), i * 7 % 90000 FROM n`)
		return err
	case 41:
		_, err := p.backedUpFirst(ctx, "bob", "before old files are removed", "DELETE FROM attachments WHERE id % 3 = 0; VACUUM")
		return err
	case 14: // a mistake, undone by a restore; what that replaced is a backup too
		b, err := p.backedUpFirst(ctx, "alice", "before the leads are tidied", "DELETE FROM deals WHERE stage = 'lead'")
		if err != nil {
			return err
		}
		p.set(p.now().Add(25 * time.Minute))
		_, err = p.m.Restore(by(ctx, "alice"), b.ID, snapshot.RestoreOptions{})
		return err
	case 9:
		req := snapshot.Manual("end of the quarter, for the auditors")
		req.Pin = true
		_, err := p.m.Backup(by(ctx, "carol"), req)
		return err
	case 18, 2:
		latest, err := p.m.Find("latest")
		if err != nil {
			return err
		}
		_, err = p.m.Drill(by(ctx, "bob"), latest.ID)
		return err
	}
	return nil
}

// backedUpFirst executes statements after a person's backup.
func (p *past) backedUpFirst(ctx context.Context, who, note, statements string) (snapshot.Backup, error) {
	b, err := p.m.Backup(by(ctx, who), snapshot.Manual(note))
	if err != nil {
		return b, err
	}
	return b, p.exec(ctx, statements)
}

func (p *past) exec(ctx context.Context, statements string) error {
	if _, err := p.db.ExecContext(ctx, statements); err != nil {
		return fmt.Errorf("%s: %w", short(statements, 40), err)
	}
	return nil
}

// by is a context with the person who acts.
func by(ctx context.Context, who string) context.Context {
	return snapshot.WithCaller(ctx, snapshot.Caller{Who: who})
}
