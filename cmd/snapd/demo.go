package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"example.com/snapd/httpapi"
	"example.com/snapd/internal/message"
	"example.com/snapd/snapshot"
)

type demoCmd struct {
	In     string  `placeholder:"DIR" help:"Use this new or empty directory instead of a temporary one."`
	Clean  bool    `help:"Remove the directory at the end."`
	Listen *string `placeholder:"ADDRESS" help:"Where the page is; default 127.0.0.1:8321, or a free port where that is taken."`
}

// demo is one run of it: a CRM in which people work, with five weeks of history, its page,
// and things to try. Only run's goroutine uses crm.
type demo struct {
	a    *app
	m    *snapshot.Manager
	dir  string
	db   string
	crm  *demoCRM
	page *page
}

type demoDocument struct {
	Directory  string `json:"directory"`
	Database   string `json:"database"`
	Backups    string `json:"backups"`
	Kept       bool   `json:"kept"` // the directory is still there
	DurationMS int64  `json:"duration_ms"`
	Page       string `json:"page"` // its address, without the login
}

func (c *demoCmd) run(ctx context.Context, a *app) (err error) {
	began := time.Now()
	l, err := demoListener(c.Listen)
	if err != nil {
		return err
	}
	defer func() { _ = l.Close() }() // a second time, where the page had it
	dir, err := c.directory()
	if err != nil {
		return err
	}
	defer func() {
		if c.Clean {
			err = errors.Join(err, os.RemoveAll(dir))
		} else if err != nil && os.Remove(dir) != nil { // it is not empty
			fmt.Fprintf(a.console, "the demo's files are in %s\n", dir)
		}
	}()
	if a.LogLevel == nil {
		a.log = slog.New(slog.DiscardHandler) // the demo prints its own text
	}
	d := &demo{a: a, dir: dir, db: filepath.Join(dir, "crm.db")}
	a.DB, a.Dir = d.db, filepath.Join(dir, "backups")
	if err := d.run(ctx, l); err != nil {
		if ctx.Err() != nil { // that was the cause
			return ctx.Err()
		}
		return err
	}
	if !c.Clean {
		d.write("\nThe files are yours to play with, and to delete: %s\nTo go on: %s\n", dir, a.commandLine(d.m, "serve"))
	}
	if !a.JSON {
		return nil
	}
	return a.result(demoDocument{dir, d.db, d.m.Dir(), !c.Clean, time.Since(began).Milliseconds(), d.page.address()}, nil)
}

// demoListener takes a free port where the usual one is taken.
func demoListener(address *string) (net.Listener, error) {
	l, taken, err := (&listening{Listen: address}).open()
	if taken != nil {
		l, err = httpapi.Listen(httpapi.ListenOptions{Address: "127.0.0.1:0"})
	}
	if err == nil && l == nil {
		err = &usageError{"the demo is a page: --listen none leaves nothing of it", "name an address, or leave --listen out"}
	}
	return l, err
}

// directory returns the demo's own directory.
func (c *demoCmd) directory() (dir string, err error) {
	if c.In == "" {
		if dir, err = os.MkdirTemp("", "snapd-demo-"); err != nil {
			return "", fmt.Errorf("demo: %w", err)
		}
		return dir, nil
	}
	dir, err = filepath.Abs(c.In)
	var names []fs.DirEntry
	if err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	if err == nil {
		names, err = os.ReadDir(dir)
	}
	if err != nil {
		return "", fmt.Errorf("demo: %w", err)
	}
	if len(names) > 0 {
		return "", &refusal{fmt.Sprintf("demo: %s is not empty", dir), "name a directory that is new or empty"}
	}
	return dir, nil
}

// run makes the past, serves the page, and returns nil once a signal or a command ends it.
func (d *demo) run(ctx context.Context, l net.Listener) (err error) {
	d.write("A sample CRM, and the last five weeks of it; this takes some seconds.\n")
	if err := d.makePast(ctx); err != nil {
		return err
	}
	d.m, err = d.a.open(ctx, func(cfg *snapshot.Config) {
		cfg.Retention, cfg.OnEvent = demoPolicy, d.mirror
		cfg.OnChange, cfg.MinSpacing = 20*time.Second, 30*time.Second // a quiet moment never comes
	})
	if err != nil {
		return err
	}
	d.crm = &demoCRM{path: d.db, trouble: func(err error) { d.line("the application: %s", message.OneLine(err.Error())) }}
	if err := d.crm.start(ctx); err != nil {
		return err
	}
	if d.page, err = d.a.startPage(d.m, l, httpapi.Options{}, baseURL(l, false)); err != nil {
		return errors.Join(err, d.crm.stop())
	}
	d.write("\nThe page is at\n\n  %s\n\nThe database is %s; people make about %d changes a second.\nType one of these, and Enter:\n\n%s\n",
		d.page.login(), d.db, demoRate, demoMenu())
	_ = linger(ctx, time.Second) // people's first changes are for the start-up backup
	return d.serve(ctx)
}

// serve protects the database, and executes commands, until a signal or a command ends it.
func (d *demo) serve(ctx context.Context) error {
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	over := make(chan error, 1)
	go func() { over <- d.m.Run(run) }()
	lines := d.typed()
	for going := true; going; {
		select {
		case <-ctx.Done():
			going = false
		case err := <-over:
			return errors.Join(err, d.crm.stop(), d.page.close())
		case line, ok := <-lines:
			if !ok {
				lines = nil // there is no input, or no more
				continue
			}
			going = d.obey(ctx, line)
		}
	}
	d.write("\nending: the application, the page, and a last backup\n")
	err := errors.Join(d.crm.stop(), d.page.close())
	stop()
	if err = errors.Join(err, <-over); err != nil {
		return fmt.Errorf("the end of the demo: %w", err)
	}
	return nil
}

// typed gives the lines of standard input. Its goroutine ends with the input, or
// with the process.
func (d *demo) typed() <-chan string {
	lines := make(chan string)
	go func() {
		defer close(lines)
		in := bufio.NewScanner(d.a.in)
		in.Buffer(nil, 1<<10)
		for in.Scan() {
			lines <- in.Text()
		}
	}()
	return lines
}

// mirror prints events, as the page shows them.
func (d *demo) mirror(ev snapshot.Event) {
	switch ev.Type {
	case snapshot.EventBackedUp:
		d.line("%s (%s)", ev.Message, ev.Trigger)
	case snapshot.EventRestored, snapshot.EventRepaired, snapshot.EventQuarantined, snapshot.EventVerified:
		d.line("%s", ev.Message)
	case snapshot.EventFailed:
		if ev.Operation != snapshot.OpCheck { // that one finds what was done to the database, which prints it
			d.line("%s failed: %s", ev.Operation, message.OneLine(ev.Err.Error()))
		}
	}
}

// line is something that happened.
func (d *demo) line(format string, args ...any) {
	d.write("%s  %s\n", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, args...))
}

// write writes at once, so that the text appears as things happen; with a JSON
// document it goes to standard error.
func (d *demo) write(format string, args ...any) {
	switch {
	case d.a.Quiet:
	case d.a.JSON:
		fmt.Fprintf(d.a.console, format, args...)
	default:
		fmt.Fprintf(d.a.out, format, args...) // a broken pipe ends the process
	}
}

// linger waits, or returns why ctx ended.
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
