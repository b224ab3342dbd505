package main

import (
	"fmt"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/snapshot"
)

// remoteTable is a [[remote]] of the configuration file.
type remoteTable struct {
	Name           string   `toml:"name"`
	URL            string   `toml:"url"`
	Limit          string   `toml:"limit"`
	Recipients     []string `toml:"recipients"`
	RecipientsFile string   `toml:"recipients_file"`
	Identity       string   `toml:"identity"`
	Keep           *int     `toml:"keep"`
	KeepHourly     int      `toml:"keep_hourly"`
	KeepDaily      *int     `toml:"keep_daily"`
	KeepWeekly     int      `toml:"keep_weekly"`
	KeepMonthly    int      `toml:"keep_monthly"`
	KeepYearly     int      `toml:"keep_yearly"`
	Delete         *bool    `toml:"delete"`
	Period         string   `toml:"period"`
}

// remotes are those of the configuration file.
func (a *app) remotes() (all []snapshot.Remote, err error) {
	if a.Config == "" {
		return nil, nil
	}
	tables, err := readTables[remoteTable](string(a.Config), "remote")
	if err != nil {
		return nil, err
	}
	for i, t := range tables {
		r, err := t.remote()
		if err != nil {
			return nil, &usageError{fmt.Sprintf("configuration %s: [[remote]] %d: %v", a.Config, i+1, err), "see docs/remotes.md"}
		}
		all = append(all, r)
	}
	return all, nil
}

func (t remoteTable) remote() (r snapshot.Remote, err error) {
	r = snapshot.Remote{Name: t.Name, URL: t.URL, Limit: t.Limit, Recipients: t.Recipients, RecipientsFile: t.RecipientsFile, Identity: t.Identity, NoDelete: t.Delete != nil && !*t.Delete}
	if t.Recipients != nil && len(t.Recipients) == 0 && t.RecipientsFile == "" {
		return r, fmt.Errorf("recipients is empty: name the keys, or leave it out to store copies as they are")
	}
	rules := retention{Keep: t.Keep, KeepHourly: t.KeepHourly, KeepDaily: t.KeepDaily, KeepWeekly: t.KeepWeekly, KeepMonthly: t.KeepMonthly, KeepYearly: t.KeepYearly}
	if err := rules.Validate(); err != nil {
		return r, err
	}
	if rules.given() {
		r.Retention = rules.policy()
	}
	if r.Retention.Last == catalog.None && rules.nothing() {
		return r, fmt.Errorf("no rule keeps anything there")
	}
	if t.Period != "" {
		if r.Period, err = time.ParseDuration(t.Period); err != nil {
			return r, fmt.Errorf("period: %.40q is no duration such as 1h", t.Period)
		}
	}
	return r, nil
}
