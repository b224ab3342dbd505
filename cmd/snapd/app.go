package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"

	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/trust"
	"example.com/snapd/snapshot"
)

// app is one run of the program.
type app struct {
	globals
	in      *os.File
	out     io.Writer // standard output: the result, nothing else
	console *console  // standard error: logs, progress, questions, errors
	log     *slog.Logger
	answers *bufio.Reader // over in, made with the first question
	signals *interrupts

	args     []string          // the command line
	settings map[string]string // of this run, see values
	level    slog.LevelVar     // of the log

	// seen receives every event of the Manager, one at a time; it may be nil.
	seen func(snapshot.Event)
}

func newApp(in, out, err *os.File) *app {
	return &app{in: in, out: out, console: newConsole(err), log: slog.New(slog.DiscardHandler)}
}

// run executes one command line.
func (a *app) run(ctx context.Context, args []string) error {
	a.args = args
	c, err := a.parse(args)
	if errors.Is(err, errHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	// Before any database is opened; see livedb. Where the system has no such
	// locks livedb keeps its descriptors open instead.
	if err := livedb.UseOFDLocks(); err != nil && !errors.Is(err, livedb.ErrNoOFDLocks) {
		return fmt.Errorf("choose the kind of file locks: %w", err)
	}
	if err := a.aloneIn(c); err != nil {
		return err
	}
	_, serving := c.(*serveCmd)
	a.log = a.logger(serving)
	if zone := unknownZone(); zone != "" {
		a.log.Warn("the time zone in TZ is not known: local times, and those of --cron, are UTC", "TZ", zone,
			"hint", "set TZ to a name such as Europe/Berlin")
	}
	if err := a.chooseUser(); err != nil {
		return err
	}
	if !serving && !a.Quiet {
		a.console.showProgress()
	}
	err = c.run(snapshot.WithCaller(ctx, caller(c)), a)
	if errors.Is(err, errHelp) {
		return nil
	}
	return err
}

func (a *app) close() { a.console.close() }

// logger writes to standard error. A one-shot command reports its failure
// itself, as its last line: unless a level was asked for, log lines of failures
// would say it twice, and only warnings are shown. serve ends so when it could
// not recover the database: that line too is left out, unless it is the only one
// in the form that was asked for.
func (a *app) logger(serving bool) *slog.Logger {
	a.level.Set(a.logLevel(serving))
	o := &slog.HandlerOptions{Level: &a.level}
	var h slog.Handler = slog.NewTextHandler(a.console, o)
	asJSON := a.logsJSON()
	if asJSON {
		h = slog.NewJSONHandler(a.console, o)
	}
	switch {
	case a.LogLevel != nil: // everything of that level was asked for
	case !serving:
		h = belowError{h}
	case asJSON == a.JSON:
		h = butRecover{h}
	}
	return slog.New(h)
}

// logLevel is the level that was asked for, or the usual one.
func (a *app) logLevel(serving bool) slog.Level {
	level := slog.LevelWarn
	if serving {
		level = slog.LevelInfo
	}
	if a.Quiet {
		level = slog.LevelError
	}
	if a.LogLevel != nil {
		if err := level.UnmarshalText([]byte(*a.LogLevel)); err != nil {
			level = slog.LevelInfo // the grammar allows only names that parse
		}
	}
	return level
}

// logsJSON reports whether log lines are JSON.
func (a *app) logsJSON() bool { return text(a.LogFormat, "") == "json" || a.LogFormat == nil && a.JSON }

// belowError passes on what is less than an error.
type belowError struct{ slog.Handler }

func (h belowError) Enabled(ctx context.Context, l slog.Level) bool {
	return l < slog.LevelError && h.Handler.Enabled(ctx, l)
}

// butRecover passes on all but the failure of Recover, with which serve ends.
type butRecover struct{ slog.Handler }

func (h butRecover) Handle(ctx context.Context, r slog.Record) error {
	fatal := false
	r.Attrs(func(attr slog.Attr) bool {
		fatal = r.Level >= slog.LevelError && attr.Key == "operation" && attr.Value.String() == "recover"
		return !fatal
	})
	if fatal {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}

// open opens the Manager of --db and --dir; more, when not nil, adds to its
// configuration.
func (a *app) open(ctx context.Context, more func(*snapshot.Config)) (*snapshot.Manager, error) {
	if a.DB == "" {
		return nil, &usageError{"no database is named", "use --db PATH or set SNAPD_DB"}
	}
	cfg := snapshot.Config{Database: a.DB, Dir: a.Dir, AnyOwner: a.User != "" && trust.User() == 0, Logger: a.log, OnEvent: a.event}
	remotes, err := a.remotes()
	if err != nil {
		return nil, err
	}
	if cfg.Remotes = remotes; more != nil {
		more(&cfg)
	}
	m, err := snapshot.Open(ctx, cfg)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = advised(&noSuchFile{err}, "is --db right? Its directory must exist")
	case err != nil && codeOf(err) == "failed":
		err = advised(err, "are --db and --dir right?")
	}
	return m, err
}

func (a *app) event(ev snapshot.Event) {
	a.console.event(ev)
	if a.seen != nil {
		a.seen(ev)
	}
}

// result prints what a command found: doc as the one JSON document, or what
// human writes; with --quiet nothing for people.
func (a *app) result(doc any, human func(w io.Writer)) error {
	a.console.endProgress()
	if a.JSON {
		return a.document(doc, "  ")
	}
	if a.Quiet {
		return nil
	}
	w := bufio.NewWriter(a.out)
	human(legible{w})
	if err := w.Flush(); err != nil { // or the first error before that
		return fmt.Errorf("print result: %w", err)
	}
	return nil
}

// script is result for SQL, which is printed byte for byte, but on a terminal.
func (a *app) script(doc any, write func(w io.Writer) error) error {
	if a.JSON || a.Quiet {
		return a.result(doc, nil)
	}
	a.console.endProgress()
	w := bufio.NewWriter(a.safe())
	if err := errors.Join(write(w), w.Flush()); err != nil {
		return fmt.Errorf("print result: %w", err)
	}
	return nil
}

// document prints doc as JSON.
func (a *app) document(doc any, indent string) error {
	enc := json.NewEncoder(a.out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", indent)
	if err := enc.Encode(doc); err != nil {
		return fmt.Errorf("print result: %w", err)
	}
	return nil
}

// listed is a list for a JSON document, in which none is [] and not null.
func listed[T any](list []T) []T { return append([]T{}, list...) }
