package main

import (
	"fmt"
	"slices"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/integrity"
	"example.com/snapd/internal/schedule"
	"example.com/snapd/snapshot"
)

// retention is how many automatic backups stay; shared by the commands that prune.
type retention struct {
	Keep        *int `placeholder:"N" help:"Keep the newest N automatic backups (10)."`
	KeepHourly  int  `placeholder:"N" help:"Also keep the newest one of each of N hours."`
	KeepDaily   int  `placeholder:"N" help:"Also keep the newest one of each of N days."`
	KeepWeekly  int  `placeholder:"N" help:"Also keep the newest one of each of N weeks."`
	KeepMonthly int  `placeholder:"N" help:"Also keep the newest one of each of N months."`
	KeepYearly  int  `placeholder:"N" help:"Also keep the newest one of each of N years."`
}

func (r retention) all() []int {
	return []int{r.last(), r.KeepHourly, r.KeepDaily, r.KeepWeekly, r.KeepMonthly, r.KeepYearly}
}

// last is --keep, or its default.
func (r retention) last() int {
	if r.Keep == nil {
		return snapshot.DefaultKeep
	}
	return *r.Keep
}

// given reports whether any rule was: else those of the last serve hold.
func (r retention) given() bool {
	return r.Keep != nil || r.KeepHourly+r.KeepDaily+r.KeepWeekly+r.KeepMonthly+r.KeepYearly > 0
}

// configure has the Manager prune by the rules that were given.
func (r retention) configure(cfg *snapshot.Config) {
	cfg.Retention, cfg.FollowService = r.policy(), !r.given()
}

// Validate is called by the parser.
func (r retention) Validate() error {
	if n := slices.Min(r.all()); n < 0 {
		return fmt.Errorf("--keep and --keep-* count backups: %d is not a number from 0", n)
	}
	return nil
}

// nothing reports that no rule keeps anything.
func (r retention) nothing() bool { return slices.Max(r.all()) == 0 }

// policy maps 0, which in a Policy stands for the default, to "none by this rule".
func (r retention) policy() snapshot.Policy {
	p := snapshot.Policy{Last: r.last(), Hourly: r.KeepHourly, Daily: r.KeepDaily, Weekly: r.KeepWeekly,
		Monthly: r.KeepMonthly, Yearly: r.KeepYearly}
	if r.last() == 0 {
		p.Last = catalog.None
	}
	return p
}

// scheduling says when automatic backups are made. status takes it too: whether a
// backup is overdue depends on what was promised.
type scheduling struct {
	Interval time.Duration `default:"12h" placeholder:"DURATION" help:"Time between automatic backups (${default}); 0 for none."`
	Cron     string        `placeholder:"EXPR" help:"Five cron fields, in local time, instead of --interval."`
}

// Validate is called by the parser.
func (s scheduling) Validate() error {
	if s.Interval < 0 {
		return fmt.Errorf("--interval %s is negative; use 0 for no scheduled backups", s.Interval)
	}
	if s.Interval > 0 && s.Interval < time.Second {
		return fmt.Errorf("--interval %s would only push good backups out; use at least 1s, for example 12h", s.Interval)
	}
	if s.Cron != "" && !schedule.ValidCron(s.Cron) {
		return fmt.Errorf("--cron %q is not a cron expression; use five fields, for example \"0 */6 * * *\"", s.Cron)
	}
	return nil
}

func (s scheduling) configure(cfg *snapshot.Config) {
	cfg.Interval, cfg.Cron = s.Interval, s.Cron
	if s.Interval == 0 {
		cfg.Interval = -1 // Config's own zero is the default
	}
}

// level is how deep a check looks; the grammar's enum has made sure of the name.
func level(name string) (integrity.Level, error) {
	l, err := integrity.ParseLevel(name)
	if err != nil {
		return 0, &usageError{err.Error(), ""}
	}
	return l, nil
}
