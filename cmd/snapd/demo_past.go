package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
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
)

// demoPolicy leaves a table to look at: some backups of every age.
var demoPolicy = snapshot.Policy{Last: 10, Daily: 14, Weekly: 6}

// pastClock is a clock that is put to a time, and goes on from there: what takes
// long still shows.
type pastClock struct {
	mu     sync.Mutex
	at     time.Time
	passed time.Time // when it was put there
}

func (c *pastClock) put(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at, c.passed = at, time.Now()
}

func (c *pastClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at.Add(time.Since(c.passed))
}

// past makes the demo's history: real backups, failures and restores of a
// database that changes, on a clock that walks through five weeks.
type past struct {
	*demo
	clock  pastClock
	end    time.Time // the last turn
	crm    *sql.DB   // one connection, which syncs nothing
	writer *samplecrm.Writer
}

// chapter is something that happened in addition to the schedule.
type chapter func(*past, context.Context) error

// chapters stand with the turn they came after, counted from the last one, 0.
var chapters = map[int]chapter{
	52: (*past).imported,
	41: (*past).cleanedUp,
	18: (*past).drilled,
	14: (*past).restored,
	9:  (*past).audited,
	3:  (*past).updated,
	2:  (*past).drilled,
}

// What became of single turns.
const (
	turnAway    = 33 // the database was not there, and all that day
	turnsOffOld = 25 // the machine was off from here …
	turnsOffNew = 22 // … to here
)

// makePast returns when the database, the backups and the log are as if the
// demo had run for five weeks, until just now.
func (d *demo) makePast(ctx context.Context) (err error) {
	p := &past{demo: d}
	p.end = time.Now().UTC().Add(-pastEnd)
	p.clock.put(p.due(pastTurns))
	if err := samplecrm.Create(ctx, d.db, samplecrm.Options{Bytes: pastBytes}); err != nil {
		return err
	}
	if err := p.open(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.crm.Close()) }()
	if d.m, err = d.a.open(ctx, func(cfg *snapshot.Config) {
		cfg.Now, cfg.Retention, cfg.OnEvent = p.clock.now, demoPolicy, nil
	}); err != nil {
		return err
	}
	for i := pastTurns - 1; i >= 0; i-- {
		p.clock.put(p.due(i))
		if err := p.turn(ctx, i); err != nil {
			return fmt.Errorf("the demo's history, %s: %w", p.clock.now().Format(time.DateTime), err)
		}
		if i%14 == 0 {
			if err := p.tellWeek(); err != nil {
				return err
			}
		}
	}
	return nil
}

// due is the time of a turn.
func (p *past) due(turn int) time.Time { return p.end.Add(-time.Duration(turn) * pastEvery) }

// open opens the application's database. Nothing of it need survive a power cut.
func (p *past) open() error {
	db, err := samplecrm.Open(p.db, "")
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(1)
	p.crm, p.writer = db, samplecrm.NewWriter(db, uint64(p.clock.now().Unix()))
	return p.exec("set up", "PRAGMA synchronous=off")
}

func (p *past) exec(what, statements string) error {
	if _, err := p.crm.Exec(statements); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// turn is half a day: people work, and the schedule's backup is due.
func (p *past) turn(ctx context.Context, i int) error {
	if i <= turnsOffOld && i >= turnsOffNew {
		return nil
	}
	if err := p.work(ctx); err != nil {
		return err
	}
	if p.clock.now().YearDay() == p.due(turnAway).YearDay() {
		return p.away(ctx)
	}
	trigger := catalog.TriggerSchedule
	if i == pastTurns-1 || i == turnsOffNew-1 {
		trigger = catalog.TriggerStartup
		p.m.Record(snapshot.Activity{Who: "automatic", Action: "serve", Outcome: "started", Detail: "a backup every 12h", Schedule: schedule.Every(pastEvery).String()})
	}
	if _, err := p.m.Backup(ctx, snapshot.Auto(trigger)); err != nil {
		return err
	}
	next := chapters[i]
	if next == nil {
		return nil
	}
	p.later(3 * time.Hour)
	return next(p, ctx)
}

// work is half a day's changes: few on Saturdays, none on Sundays.
func (p *past) work(ctx context.Context) error {
	steps := 70
	switch p.clock.now().Weekday() {
	case time.Saturday:
		steps = 12
	case time.Sunday:
		return nil
	}
	for range steps {
		if err := p.writer.Step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (p *past) later(d time.Duration) { p.clock.put(p.clock.now().Add(d)) }

// by is a context with the person who acts.
func by(ctx context.Context, who string) context.Context {
	return snapshot.WithCaller(ctx, snapshot.Caller{Who: who})
}

func (p *past) tellWeek() error {
	st, err := os.Stat(p.db)
	if err != nil {
		return err
	}
	all, err := p.m.Backups()
	if err != nil {
		return err
	}
	p.write(fmt.Sprintf("   … until %s: database %s, %s kept\n", p.clock.now().Format("Mon 2 Jan"), size(st.Size()), count(len(all), "backup", "backups")))
	return nil
}
