package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"example.com/snapd/snapshot"
)

type serveCmd struct {
	schedule
	retention
	missing
	OnChange time.Duration `default:"0" placeholder:"DURATION" help:"Also back up once the database has been quiet for this long after a change; 0 is off."`
}

// Validate is called by the parser; the embedded ones hide each other.
func (c *serveCmd) Validate() error {
	if c.OnChange < 0 {
		return fmt.Errorf("--on-change %s is negative; use 0 for no backups after changes", c.OnChange)
	}
	return errors.Join(c.schedule.Validate(), c.retention.Validate())
}

func (c *serveCmd) configure(cfg *snapshot.Config) {
	c.schedule.apply(cfg)
	c.missing.apply(cfg)
	cfg.Retention, cfg.OnChange = c.policy(), c.OnChange
}

func (c *serveCmd) run(ctx context.Context, a *app) error {
	m, err := a.open(c.configure)
	if err != nil {
		return err
	}
	if holder, err := m.RunningIn(); err != nil {
		return err
	} else if holder != "" {
		return &hinted{fmt.Errorf("%w: %s already protects %s", snapshot.ErrBusy, holder, m.Dir()),
			"stop the other one, or give this one its own --dir"}
	}
	a.log.Info("protecting database", "path", m.Database(), "backups", m.Dir())
	rec, err := m.Recover(ctx)
	switch {
	case err == nil:
		c.announce(a, m, rec)
	case ctx.Err() == nil:
		return err
	} // else Run is left with the shutdown backup
	// The place for the HTTP server: started here with m, ended before the
	// shutdown backup that Run makes once ctx has ended.
	if err := m.Run(ctx); err != nil {
		return err
	}
	a.log.Info("stopped", "path", m.Database())
	return c.result(a, m)
}

// announce says how things stand, and once it is known when the next backup is due.
func (c *serveCmd) announce(a *app, m *snapshot.Manager, rec snapshot.Recovery) {
	if rec.Action == snapshot.ActionRestored {
		a.log.Warn("the database was replaced by a backup", "verdict", rec.Verdict, "backup", text(rec.Restored, ""),
			"quarantined", text(rec.Quarantined, ""), "loses_since", rec.LosesSince)
	}
	if b, err := m.Find("latest"); err == nil {
		a.log.Info("newest verified backup", "backup", b.ID, "taken", ago(b.CreatedAt))
	} else if errors.Is(err, snapshot.ErrNotFound) {
		a.log.Info("there is no verified backup yet")
	} else {
		a.log.Warn("newest verified backup unknown", "error", err.Error())
	}
	if c.Interval == 0 && c.Cron == "" {
		a.log.Info("no scheduled backups: --interval is 0", "on_change", c.OnChange > 0)
	}
	var told atomic.Bool
	a.seen = func(ev snapshot.Event) {
		if ev.Type == snapshot.EventScheduled && told.CompareAndSwap(false, true) {
			a.log.LogAttrs(context.Background(), slog.LevelInfo, "next automatic backup", slog.Time("at", ev.Next))
		}
	}
}

// result is the document that --json promises: what serve leaves behind.
func (c *serveCmd) result(a *app, m *snapshot.Manager) error {
	var doc struct {
		NewestVerified *string `json:"newest_verified"`
	}
	b, err := m.Find("latest")
	switch {
	case err == nil:
		doc.NewestVerified = &b.ID
	case !errors.Is(err, snapshot.ErrNotFound):
		return err
	}
	return a.result(doc, func(io.Writer) {})
}
