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
	Keep         *int `placeholder:"N" help:"Keep the newest N automatic backups (10)."`
	KeepHourly   int  `placeholder:"N" help:"Also keep the newest one of each of N hours."`
	KeepDaily    *int `placeholder:"N" help:"Also keep the newest one of each of N days (7)."`
	KeepWeekly   int  `placeholder:"N" help:"Also keep the newest one of each of N weeks."`
	KeepMonthly  int  `placeholder:"N" help:"Also keep the newest one of each of N months."`
	KeepYearly   int  `placeholder:"N" help:"Also keep the newest one of each of N years."`
	KeepReplaced *int `placeholder:"DAYS" help:"After the database was replaced, emptied or restored, count the backups from before by themselves for so many days, or until accept (30)."`
}

func (r retention) all() []int {
	return []int{r.last(), r.KeepHourly, r.daily(), r.KeepWeekly, r.KeepMonthly, r.KeepYearly}
}

// last is --keep, daily --keep-daily, or the default.
func (r retention) last() int  { return given(r.Keep, snapshot.DefaultKeep) }
func (r retention) daily() int { return given(r.KeepDaily, snapshot.DefaultKeepDaily) }

func given(flag *int, otherwise int) int {
	if flag == nil {
		return otherwise
	}
	return *flag
}

// given reports whether any rule was: else those of the last serve hold.
func (r retention) given() bool {
	return r.Keep != nil || r.KeepDaily != nil || r.KeepReplaced != nil || r.KeepHourly+r.KeepWeekly+r.KeepMonthly+r.KeepYearly > 0
}

// configure has the Manager prune by the rules that were given.
func (r retention) configure(cfg *snapshot.Config) {
	cfg.Retention, cfg.KeepReplaced, cfg.FollowService = r.policy(), r.replaced(), !r.given()
}

// Validate is called by the parser.
func (r retention) Validate() error {
	if n := slices.Min(r.all()); n < 0 {
		return fmt.Errorf("--keep and --keep-* count backups: %d is not a number from 0", n)
	}
	if n := given(r.KeepReplaced, 0); n < 0 || n > maxReplaced {
		return fmt.Errorf("--keep-replaced %d: want a number of days from 0 to %d", n, maxReplaced)
	}
	return nil
}

// maxReplaced bounds --keep-replaced: ten years.
const maxReplaced = 3660

// replaced is --keep-replaced as Config has it.
func (r retention) replaced() time.Duration {
	if days := given(r.KeepReplaced, int(snapshot.DefaultKeepReplaced/(24*time.Hour))); days > 0 {
		return time.Duration(days) * 24 * time.Hour
	}
	return -1
}

// nothing reports that no rule keeps anything.
func (r retention) nothing() bool { return slices.Max(r.all()) == 0 }

// policy maps 0, which in a Policy stands for the default, to "none by this rule".
func (r retention) policy() snapshot.Policy {
	p := snapshot.Policy{Last: r.last(), Hourly: r.KeepHourly, Daily: r.daily(), Weekly: r.KeepWeekly,
		Monthly: r.KeepMonthly, Yearly: r.KeepYearly}
	if p.Last == 0 {
		p.Last = catalog.None
	}
	if p.Daily == 0 {
		p.Daily = catalog.None
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
