package main

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"example.com/snapd/internal/catalogfile"
	"example.com/snapd/internal/failure"
	"example.com/snapd/snapshot"
)

const description = "Backs up an SQLite database while others use it, proves every backup, and puts a good one back when the database is damaged."

// globals are the flags that every command takes.
type globals struct {
	Help      helpFlag   `short:"h" help:"Show help; after a command, that command's."`
	DB        string     `name:"db" env:"SNAPD_DB" placeholder:"PATH" help:"The SQLite database to protect."`
	Dir       string     `env:"SNAPD_DIR" placeholder:"DIR" help:"Where the backups are; default: backups next to the database."`
	User      string     `placeholder:"USER" help:"For root: whose rights to files are used. Default: those of the owner of the directories of database and backups. root: as root, although that owner could exchange them."`
	JSON      bool       `name:"json" help:"One JSON document on standard output, errors as JSON on standard error."`
	Quiet     bool       `short:"q" help:"Say nothing but errors."`
	LogFormat *string    `enum:"text,json" placeholder:"text|json" help:"Format of log lines on standard error; default: text, with --json json."`
	LogLevel  *string    `enum:"debug,info,warn,error" placeholder:"LEVEL" help:"debug, info, warn or error; default: info for serve, warn for the others."`
	Config    configFile `placeholder:"FILE" help:"TOML file with settings named like the long flags of serve. Flags and environment win."`
}

// grammar is the whole command line.
type grammar struct {
	globals

	Serve    serveCmd    `cmd:"" help:"Protect the database: check, recover if it is damaged, back up by schedule until stopped."`
	Points   pointsCmd   `cmd:"" help:"List the states that can be restored: the backups, and every commit captured in between."`
	Backup   backupCmd   `cmd:"" help:"Make one backup now; kept until deleted."`
	List     listCmd     `cmd:"" help:"List the backups, newest first."`
	Stats    statsCmd    `cmd:"" help:"How many backups there are and how large they are."`
	Status   statusCmd   `cmd:"" help:"Is the data protected, and if not, why? Exit 0: protected, 3: not."`
	Check    checkCmd    `cmd:"" help:"Is a database, or an archive, whole? Exit 3: corrupt."`
	Verify   verifyCmd   `cmd:"" help:"Prove stored backups again."`
	Drill    drillCmd    `cmd:"" help:"Rehearse a restore: to a scratch file, with a full check, timed."`
	Tables   tablesCmd   `cmd:"" help:"List the tables inside a backup, without restoring it."`
	Query    queryCmd    `cmd:"" help:"Ask the database inside a backup or a recovery point, without restoring it: one SELECT."`
	Export   exportCmd   `cmd:"" help:"Write a backup or a recovery point to a new file: a database, an SQL script, or a table as CSV."`
	Diff     diffCmd     `cmd:"" help:"What changed between two states: for each table the rows that were added, removed and changed."`
	Log      logCmd      `cmd:"" help:"What each recovery point changed: when did this row vanish?"`
	Rows     rowsCmd     `cmd:"" name:"restore-rows" help:"Bring rows back into the live database that are gone or others now."`
	Restore  restoreCmd  `cmd:"" help:"Put a backup, or the state at a moment, in the database's place, or write it to another file."`
	Undo     undoCmd     `cmd:"" help:"Undo the last restore: put back what it replaced."`
	Recover  recoverCmd  `cmd:"" help:"Check the database, and restore the newest good backup if it is damaged or missing."`
	Salvage  salvageCmd  `cmd:"" help:"Copy every row that can still be read of a damaged database into a new one."`
	Accept   acceptCmd   `cmd:"" help:"The database was replaced or emptied on purpose: report it no more, and let retention go on."`
	Prune    pruneCmd    `cmd:"" help:"Remove the automatic backups that the retention rules no longer keep."`
	Delete   deleteCmd   `cmd:"" help:"Delete backups for good."`
	Pin      pinCmd      `cmd:"" help:"Exempt a backup from pruning."`
	Unpin    unpinCmd    `cmd:"" help:"Let pruning have a backup again."`
	Remote   remoteCmd   `cmd:"" help:"Copies off this machine: check, list, sync, verify, adopt."`
	Notify   notifyCmd   `cmd:"" help:"Test the receivers of notifications: notify test."`
	Rebuild  rebuildCmd  `cmd:"" help:"Rebuild the catalog from the archives."`
	LoginURL loginURLCmd `cmd:"" name:"login-url" help:"Print the address of the page of serve, with the login in it."`
	Demo     demoCmd     `cmd:"" help:"See all of it on a sample database, in a fresh directory."`
	Version  versionCmd  `cmd:"" help:"Print versions."`
	Keygen   keygenCmd   `cmd:"" help:"Make a key for copies off the machine, and the sheet with which they are restored."`
	HelpCmd  helpCmd     `cmd:"" name:"help" help:"Show help."`
}

// command is what every command of the grammar is, as it stands or by opening.
type command interface {
	run(ctx context.Context, a *app) error
}

// onDatabase is a command that works on the database of --db through its Manager,
// which its method configure, if it has one, configures.
type onDatabase interface {
	on(ctx context.Context, a *app, m *snapshot.Manager) error
}

type opening struct{ onDatabase }

// reads reports whether the command works on a backup directory that has come here without its database.
func (c opening) reads() bool {
	alone, ok := c.onDatabase.(interface{ reads() bool })
	return ok && alone.reads()
}

// aloneIn names the database where --dir alone does, for a command that only reads the backup directory.
func (a *app) aloneIn(c command) (err error) {
	if alone, ok := c.(interface{ reads() bool }); !ok || !alone.reads() || a.DB != "" || a.Dir == "" {
		return nil
	}
	a.DB, err = catalogfile.DatabaseOf(a.Dir)
	return failure.Explain(err)
}

func (c opening) run(ctx context.Context, a *app) error {
	if done, err := away(ctx, a, c.onDatabase); done || err != nil {
		return err
	}
	var more func(*snapshot.Config)
	if with, ok := c.onDatabase.(interface{ configure(*snapshot.Config) }); ok {
		more = with.configure
	}
	m, err := a.open(ctx, more)
	if err != nil {
		return err
	}
	return c.on(ctx, a, m)
}

// errHelp: help was shown, and nothing else is to be done.
var errHelp = errors.New("help was shown")

type helpFlag bool

// IgnoreDefault keeps the parser from treating help as a value to reset.
func (helpFlag) IgnoreDefault() {}

// BeforeReset shows help before anything else about the line is judged.
func (helpFlag) BeforeReset(ctx *kong.Context) error {
	if err := ctx.PrintUsage(false); err != nil {
		return fmt.Errorf("print help: %w", err)
	}
	return errHelp
}

type helpCmd struct {
	Command []string `arg:"" optional:"" help:"The command to describe."`
}

func (c *helpCmd) run(_ context.Context, a *app) error {
	_, err := a.parse(append(slices.Clone(c.Command), "--help"))
	return err
}

// parse reads the command line into a and returns the command.
func (a *app) parse(args []string) (command, error) {
	var g grammar
	parser, err := kong.New(&g, kong.Name("snapd"), kong.Description(description), kong.NoDefaultHelp(), rawText,
		kong.Writers(a.out, a.console), kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}))
	if err != nil {
		return nil, fmt.Errorf("command line: %w", err)
	}
	// Errors of the command line itself are reported in the requested form.
	a.JSON = wantsJSON(args)
	parsed, err := parser.Parse(args)
	if errors.Is(err, errHelp) {
		return nil, errHelp
	}
	if err == nil {
		err = errors.Join(noneTwice(parsed), noneEmpty(parsed))
	}
	if err != nil {
		return nil, misread(err)
	}
	a.globals, a.settings = g.globals, values(parser.Model)
	switch c := parsed.Selected().Target.Addr().Interface().(type) {
	case command:
		return c, nil
	case onDatabase:
		return opening{c}, nil
	}
	return nil, fmt.Errorf("command line: %s does nothing", parsed.Command())
}

// misread is the message for a person about a line that the parser refused.
func misread(err error) error {
	var usage *usageError
	if errors.As(err, &usage) {
		return usage
	}
	var refused *kong.ParseError
	if !errors.As(err, &refused) || refused.Context == nil {
		return &usageError{err.Error(), "see snapd help"}
	}
	if chosen := refused.Context.Selected(); chosen != nil {
		return &usageError{err.Error(), "see snapd help " + chosen.Name}
	}
	const all = "snapd help lists the commands"
	if name, ok := strings.CutPrefix(err.Error(), "unexpected argument "); ok {
		meant := ""
		if i := strings.LastIndex(name, ", did you mean "); i >= 0 {
			name, meant = name[:i], name[i:]
		}
		return &usageError{fmt.Sprintf("unknown command %q%s", name, meant), all}
	}
	if len(refused.Context.Args) == 0 {
		return &usageError{err.Error(), all + ", and snapd demo shows them at work"}
	}
	return &usageError{err.Error(), all}
}

// noneTwice refuses a flag of one value that was given several: the person means both, and
// one would be dropped without a word. A flag without a value may well stand twice.
func noneTwice(line *kong.Context) error {
	given := map[*kong.Flag]bool{}
	for _, part := range line.Path {
		f := part.Flag
		if f == nil || part.Resolved || f.IsBool() || f.IsCumulative() {
			continue
		}
		if given[f] {
			return &usageError{fmt.Sprintf("--%s is given twice", f.Name), "it takes one value; leave one of them out"}
		}
		given[f] = true
	}
	return nil
}

// noneEmpty refuses texts that were given and are empty: an unset variable of a
// script would otherwise choose the default, which may be the live database. A
// note may well be empty, and so may an argument of another program.
func noneEmpty(line *kong.Context) error {
	for _, part := range line.Path {
		switch {
		case part.Flag != nil && !part.Resolved && part.Flag.Name != "note" && part.Flag.Target.Kind() == reflect.String &&
			part.Flag.Target.Len() == 0:
			return emptyArgument("--" + part.Flag.Name)
		case part.Positional != nil && !part.Positional.Passthrough && hasEmpty(part.Positional.Target):
			return emptyArgument("<" + part.Positional.Name + ">")
		}
	}
	return nil
}

func hasEmpty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.String:
		return v.Len() == 0
	case reflect.Slice:
		for i := range v.Len() {
			if hasEmpty(v.Index(i)) {
				return true
			}
		}
	}
	return false
}

func emptyArgument(name string) error {
	return &usageError{name + " is empty", "give it a value or leave it out; a variable that is not set looks like this"}
}

func wantsJSON(args []string) bool {
	for _, arg := range args {
		if arg == "--" {
			return false
		}
		if arg == "--json" || strings.HasPrefix(arg, "--json=") && arg != "--json=false" {
			return true
		}
	}
	return false
}
