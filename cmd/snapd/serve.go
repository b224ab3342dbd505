package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"example.com/snapd/httpapi"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/message"
	"example.com/snapd/snapshot"
)

type serveCmd struct {
	scheduling
	retention
	missing
	listening
	OnChange time.Duration `default:"0" placeholder:"DURATION" help:"Also back up once the database has been quiet for this long after a change; 0 is off."`
	continuous
	CheckEvery time.Duration `default:"1h" placeholder:"DURATION" help:"Check the database this often if it changed, taking at most 1 % of the time; 0 is off."`
	Program    programLine   `arg:"" optional:"" passthrough:"partial" help:"-- CMD ARG…: a program to run while the database is protected. It starts after the recovery and gets the signals; when it ends serve makes the shutdown backup and ends with its status."`

	hangup    chan struct{}       // SIGHUP came
	receivers []snapshot.Receiver // of notifications
	remotes   []snapshot.Remote
}

// Validate is called by the parser; the embedded ones hide each other.
func (c *serveCmd) Validate() error {
	if c.OnChange < 0 {
		return fmt.Errorf("--on-change %s is negative; use 0 for no backups after changes", c.OnChange)
	}
	if c.CheckEvery < 0 {
		return fmt.Errorf("--check-every %s is negative; use 0 for no checks", c.CheckEvery)
	}
	return errors.Join(c.scheduling.Validate(), c.retention.Validate(), c.continuous.Validate(), c.listening.Validate(), c.Program.check())
}

func (c *serveCmd) configure(cfg *snapshot.Config) {
	cfg.Notify, cfg.Remotes = c.receivers, slices.Clone(c.remotes) // before missing, which adds its key to them
	c.scheduling.configure(cfg)
	c.missing.configure(cfg)
	c.continuous.configure(cfg)
	cfg.Retention, cfg.KeepReplaced, cfg.OnChange = c.policy(), c.replaced(), c.OnChange
	if cfg.CheckEvery = c.CheckEvery; c.CheckEvery == 0 {
		cfg.CheckEvery = -1
	}
}

func (c *serveCmd) run(ctx context.Context, a *app) (err error) {
	c.hangup = make(chan struct{}, 1)
	if a.signals != nil {
		a.signals.onHangup(c.hungUp)
	}
	if c.receivers, err = a.receivers(); err != nil {
		return err
	}
	if c.remotes, err = a.remotes(); err != nil {
		return err
	}
	l, taken, err := c.listening.open() // first: what is refused is refused before anything else is done
	if err != nil && !errors.As(err, new(*net.OpError)) {
		return err
	}
	if l != nil {
		defer func() { _ = l.Close() }() // a second time, where the page had it
	}
	// What opens is needed for the shutdown backup: a signal does not end it.
	m, merr := a.open(context.WithoutCancel(ctx), c.configure)
	if merr != nil {
		return merr
	}
	if holder, err := m.RunningIn(); err != nil {
		return err
	} else if holder != "" {
		return message.WithHint(fmt.Errorf("%w: %s already protects %s", snapshot.ErrBusy, holder, m.Dir()),
			"stop the other one, or give this one its own --dir")
	}
	if err != nil { // it has the address, too, if it is the other one of this directory
		return err
	}
	a.log.Info("protecting database", "path", m.Database(), "backups", m.Dir())
	endCapture, err := m.Capture(context.WithoutCancel(ctx))
	if err != nil {
		return err
	}
	defer endCapture()
	rec, err := recoverPatiently(ctx, m)
	if errors.Is(err, livedb.ErrMoving) && ctx.Err() == nil {
		// Another program opens and closes it all the time. Each backup proves what it stores.
		a.log.Warn("the database was not checked: it is written to all the time; the start-up backup checks it", "error", err.Error())
		err = nil
	}
	switch {
	case err == nil:
		c.announce(a, m, rec)
	case ctx.Err() == nil:
		snapshot.NotifyOnce(context.WithoutCancel(ctx), m)
		return err
	} // else only the shutdown backup is left to do
	shown, err := c.show(a, m, l, taken)
	if err != nil {
		return err
	}
	if len(c.Program) == 0 || ctx.Err() != nil {
		defer a.startControl(m, nil)()
		if err := c.protect(ctx, a, m, shown); err != nil {
			return err
		}
		doc, err := c.result(m)
		if err != nil {
			return err
		}
		return a.result(doc, func(io.Writer) {})
	}
	return c.accompany(ctx, a, m, shown)
}

// show starts the page and the API, and prints their address. Where the user has not asked
// for them in particular, trouble with them is no reason to leave the data alone.
func (c *serveCmd) show(a *app, m *snapshot.Manager, l net.Listener, trouble error) (*page, error) {
	var p *page
	if l != nil {
		var err error
		p, err = a.startPage(m, l, c.options(), baseURL(l, c.TLSCert != ""))
		if err != nil && (c.Listen != nil || c.TokenFile != "") {
			return nil, err
		}
		trouble = err
	}
	if trouble != nil {
		a.log.Warn("no page and no API: backups are made all the same", "error", trouble.Error(), "hint", hintOf(trouble))
	}
	if p == nil {
		return nil, nil
	}
	token := cmp.Or(c.TokenFile, filepath.Join(m.Dir(), httpapi.DefaultTokenFile))
	a.log.Info("page and API", "address", p.address(), "token_file", token)
	switch {
	case !p.handler.TokenCreated() || a.Quiet:
	case a.console.terminal():
		fmt.Fprintf(a.console, "The page, with the login in its address (the token is in %s; login-url shows it again):\n  %s\n", token, p.login())
	default: // a log is read by others, and kept
		a.log.Info("the token is new; snapd login-url prints the page's address with the login")
	}
	return p, nil
}

// protect runs the schedule until ctx has ended. Then the page ends, and with it
// what runs on its behalf, so that the shutdown backup has the last word.
func (c *serveCmd) protect(ctx context.Context, a *app, m *snapshot.Manager, shown *page) error {
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- m.Run(run) }()
	for serving := true; serving; {
		select {
		case err := <-ended: // it could not even begin
			return errors.Join(err, shown.close())
		case <-c.hangup:
			c.readAgain(a, m)
		case <-ctx.Done():
			serving = false
		}
	}
	if err := shown.close(); err != nil {
		a.log.Warn("the page did not end well", "error", err.Error())
	}
	stop()
	if err := <-ended; err != nil {
		return err
	}
	a.log.Info("stopped", "path", m.Database())
	return nil
}

// accompany protects the database for as long as the application runs.
func (c *serveCmd) accompany(ctx context.Context, a *app, m *snapshot.Manager, shown *page) error {
	program, err := a.startApplication(c.Program, c.hungUp)
	if err != nil {
		over, cancel := context.WithCancel(ctx)
		cancel()
		return errors.Join(err, c.protect(over, a, m, shown)) // if anything changed the database so far
	}
	defer a.startControl(m, program)()
	defer m.Subscribe(program.suggestRestart)()
	err = c.protect(program.until(ctx), a, m, shown)
	program.end() // where the protection could not even begin
	doc, derr := c.result(m)
	return program.result(doc, errors.Join(err, derr))
}

// announce says how things stand, and once it is known when the next backup is due.
func (c *serveCmd) announce(a *app, m *snapshot.Manager, rec snapshot.Recovery) {
	if rec.Action == snapshot.ActionRestored {
		a.log.Warn("the database was replaced by a backup", "verdict", rec.Verdict, "backup", text(rec.Restored, ""), "remote", text(rec.Remote, ""),
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
	var announced atomic.Bool
	a.seen = func(ev snapshot.Event) {
		if ev.Type == snapshot.EventScheduled && announced.CompareAndSwap(false, true) {
			a.log.LogAttrs(context.Background(), slog.LevelInfo, "next automatic backup", slog.Time("at", ev.Next))
		}
	}
}

// serveDocument is what --json promises: what serve leaves behind.
type serveDocument struct {
	NewestVerified *string `json:"newest_verified"`
}

func (c *serveCmd) result(m *snapshot.Manager) (doc serveDocument, err error) {
	b, err := m.Find("latest")
	if err == nil {
		doc.NewestVerified = &b.ID
	} else if errors.Is(err, snapshot.ErrNotFound) {
		err = nil
	}
	return doc, err
}
