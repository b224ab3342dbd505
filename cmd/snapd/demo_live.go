package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"example.com/snapd/httpapi"
	"example.com/snapd/internal/message"
	"example.com/snapd/snapshot"
)

// liveDemo is the demo with its page: a CRM in which people work, five weeks of
// history, and things to try. Only run's goroutine uses crm.
type liveDemo struct {
	*demo
	crm  *liveCRM
	page *page
}

type liveDocument struct {
	demoDocument
	Page string `json:"page"` // its address, without the login
}

// run returns nil once a signal or a command ends it.
func (d *liveDemo) run(ctx context.Context, address *string) error {
	l, err := demoListener(address)
	if err != nil {
		return err
	}
	defer func() { _ = l.Close() }() // a second time, where the page had it
	d.write("A sample CRM, and the last five weeks of it; this takes some seconds.\n")
	if err := d.makePast(ctx); err != nil {
		return interrupted(ctx, err)
	}
	if d.m, err = d.a.open(ctx, d.configure); err != nil {
		return err
	}
	d.crm = &liveCRM{path: d.db, rate: liveRate, trouble: func(err error) { d.line("the application: %s", message.OneLine(err.Error())) }}
	if err := d.crm.start(ctx); err != nil {
		return interrupted(ctx, err)
	}
	if d.page, err = d.a.startPage(d.m, l, httpapi.Options{}, baseURL(l, false)); err != nil {
		return errors.Join(err, d.crm.stop())
	}
	d.greet()
	_ = linger(ctx, time.Second) // people's first changes are for the start-up backup
	if err := d.serve(ctx); err != nil {
		return err
	}
	if d.kept {
		d.write(fmt.Sprintf("\nThe files are yours to play with, and to delete: %s\nTo go on: %s\n", d.dir, d.a.commandLine(d.m, "serve")))
	}
	if !d.a.JSON {
		return nil
	}
	return d.a.result(liveDocument{d.document(), d.page.address()}, nil)
}

// demoListener takes a free port where the usual one is taken.
func demoListener(address *string) (net.Listener, error) {
	l, taken, err := (&listening{Listen: address}).open()
	if taken != nil {
		l, err = httpapi.Listen(httpapi.ListenOptions{Address: "127.0.0.1:0"})
	}
	if err == nil && l == nil {
		err = &usageError{"a demo without its page is the tour", "use --tour"}
	}
	return l, err
}

// configure is for a demo: much happens, and a quiet moment never comes.
func (d *liveDemo) configure(cfg *snapshot.Config) {
	cfg.Retention, cfg.OnEvent = demoPolicy, d.mirror
	cfg.OnChange, cfg.MinSpacing = 20*time.Second, 30*time.Second
}

// serve protects the database, and executes commands, until a signal or a command ends it.
func (d *liveDemo) serve(ctx context.Context) error {
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
	return errors.Join(err, <-over)
}

// typed gives the lines of standard input. Its goroutine ends with the input, or
// with the process.
func (d *liveDemo) typed() <-chan string {
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

func (d *liveDemo) greet() {
	d.write(fmt.Sprintf(`
The page is at

  %s

The database is %s; people make about %d changes a second.
Type one of these, and Enter:

%s
`, d.page.login(), d.db, liveRate, d.menu()))
}

// mirror prints events, as the page shows them.
func (d *liveDemo) mirror(ev snapshot.Event) {
	what := ev.Message
	switch ev.Type {
	case snapshot.EventBackedUp:
		what = fmt.Sprintf("%s (%s)", what, ev.Trigger)
	case snapshot.EventFailed:
		if ev.Operation == "check" {
			return // it found what was done to the database, and said so
		}
		what = fmt.Sprintf("%s failed: %s", ev.Operation, message.OneLine(ev.Err.Error()))
	case snapshot.EventRestored, snapshot.EventRepaired, snapshot.EventQuarantined, snapshot.EventVerified:
	default:
		return
	}
	if what = strings.TrimSpace(what); what == "" {
		what = fmt.Sprintf("%s %s", ev.Type, ev.Backup)
	}
	d.line("%s", what)
}

// line is something that happened.
func (d *liveDemo) line(format string, args ...any) {
	d.write(fmt.Sprintf("%s  %s\n", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, args...)))
}

// interrupted is err, or the interrupt that was its cause.
func interrupted(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}
