package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"example.com/snapd/internal/message"
	"example.com/snapd/snapshot"
)

// missing is what to do about a database that is not there, or may be in use.
type missing struct {
	Force     bool   `help:"Replace a damaged or missing database also where the system does not say whether another program has it open: you have made sure that none has."`
	Identity  string `placeholder:"FILE" help:"The secret key that opens the sealed copies at a remote, for when nothing here is usable."`
	OnMissing string `enum:"restore,fail,ignore" default:"restore" placeholder:"restore|fail|ignore" help:"What to do when the database is missing or empty while backups exist (${default})."`
}

func (c missing) configure(cfg *snapshot.Config) {
	cfg.OnMissing, cfg.AssumeUnused = snapshot.OnMissing(c.OnMissing), c.Force
	if c.Identity == "" {
		return
	}
	sealed := slices.ContainsFunc(cfg.Remotes, snapshot.Remote.Sealed)
	for i, r := range cfg.Remotes {
		if r.Sealed() || !sealed { // with a key what is not sealed does not count
			cfg.Remotes[i].Identity = c.Identity
		}
	}
}

// recoverPatience is the first of the waits of recoverPatiently; six of them, each
// twice as long, are some 13 seconds.
const recoverPatience = 200 * time.Millisecond

// recoverPatiently makes the start-up decision. A program that has the damaged database open
// may only be passing: a status looked at this moment, say.
func recoverPatiently(ctx context.Context, m *snapshot.Manager) (snapshot.Recovery, error) {
	for wait, tries := recoverPatience, 6; ; wait, tries = 2*wait, tries-1 {
		rec, err := m.Recover(ctx)
		if rec.Action != snapshot.ActionWaiting || !errors.Is(err, snapshot.ErrBusy) || tries == 0 || linger(ctx, wait) != nil {
			return rec, err
		}
	}
}

type recoverCmd struct {
	missing
	Level   string `enum:"quick,full" default:"quick" placeholder:"quick|full" help:"How deeply the database is checked (${default}). In full by itself where the last full check found damage."`
	Seen    bool   `help:"Only acknowledge what recoveries have lost, as status reports it; it is reported no longer."`
	Restart bool   `help:"Have the serve that runs the application (serve -- CMD) stop it, recover the database, and start it again. Nothing is stopped where there is nothing to recover, or no way to."`
	DryRun  bool   `help:"Only say what would be done, why, and what each way out would lose. A repair is tried on a private copy; nothing is changed."`
}

func (c *recoverCmd) configure(cfg *snapshot.Config) {
	c.missing.configure(cfg)
	if c.Level == "full" {
		cfg.RecoverLevel = snapshot.LevelFull
	}
}

func (c *recoverCmd) on(ctx context.Context, a *app, m *snapshot.Manager) error {
	if c.Seen {
		return c.acknowledge(ctx, a, m)
	}
	if c.DryRun {
		return c.plan(ctx, a, m)
	}
	rec, err := c.recover(ctx, a, m)
	if err != nil && rec.Action != snapshot.ActionWaiting {
		return err
	}
	// The wait is reported in both forms: the finding, and that nothing could be done.
	perr := a.result(rec, func(w io.Writer) { printRecovery(w, m, rec) })
	if err != nil {
		return err
	}
	return perr
}

// recover recovers the database here, or has serve do it around a restart of its application.
func (c *recoverCmd) recover(ctx context.Context, a *app, m *snapshot.Manager) (snapshot.Recovery, error) {
	if c.Restart {
		return askRestart(ctx, m, person(), func(what string) {
			if !a.Quiet {
				fmt.Fprintln(a.console, what)
			}
		})
	}
	rec, err := m.Recover(ctx)
	if errors.Is(err, snapshot.ErrBusy) && rec.Action == snapshot.ActionWaiting && runsApplication(ctx, m) {
		err = message.WithHint(err, "snapd recover --restart stops the application that serve runs, recovers the database, and starts the application again")
	}
	return rec, err
}

// Validate is called by the parser.
func (c *recoverCmd) Validate() error {
	if c.Seen && c.DryRun || c.Seen && c.Restart || c.DryRun && c.Restart {
		return errors.New("--seen, --dry-run and --restart exclude each other")
	}
	if c.Restart && (c.Force || c.Level == "full" || c.OnMissing != "restore") {
		return errors.New("with --restart serve recovers the database, by its own --on-missing and --force; give --restart alone")
	}
	return nil
}

// acknowledgement is what recover --seen says.
type acknowledgement struct {
	Acknowledged []snapshot.Recovered `json:"acknowledged"`
}

func (c *recoverCmd) acknowledge(ctx context.Context, a *app, m *snapshot.Manager) error {
	known, err := m.AcknowledgeRecovery(ctx)
	if err != nil {
		return err
	}
	return a.result(acknowledgement{known}, func(w io.Writer) {
		for _, r := range known {
			fmt.Fprintf(w, "acknowledged: %s\n", recoveredLine(r))
		}
		if len(known) == 0 {
			fmt.Fprintln(w, "there was nothing to acknowledge")
		}
	})
}

// recoveredLine says when a recovery was, what it lost, and where the damaged file is.
func recoveredLine(r snapshot.Recovered) string {
	line := fmt.Sprintf("%s %s, %s; lost: %s", r.Action, ago(r.At), when(r.At), message.OneLine(r.Loses))
	if r.Kept != nil {
		line += "; kept as " + *r.Kept
	}
	return line
}

// plan exits as the recovery would.
func (c *recoverCmd) plan(ctx context.Context, a *app, m *snapshot.Manager) error {
	p, err := m.PlanRecovery(ctx)
	if err != nil {
		return err
	}
	if err := a.result(p, func(w io.Writer) { printPlan(w, m, p) }); err != nil {
		return err
	}
	return p.Err
}

func printRecovery(w io.Writer, m *snapshot.Manager, rec snapshot.Recovery) {
	switch rec.Action {
	case snapshot.ActionNone:
		fmt.Fprintf(w, "%s: %s; nothing to do\n", m.Database(), rec.Verdict)
	case snapshot.ActionWaiting:
		fmt.Fprintf(w, "%s: %s; waiting until no other program has it open\n", m.Database(), rec.Verdict)
	case snapshot.ActionRepaired:
		fmt.Fprintf(w, "%s was %s; it was repaired: %s\n", m.Database(), rec.Verdict, rec.Repair.Summary())
	default:
		fmt.Fprintf(w, "%s was %s; restored %s\n", m.Database(), rec.Verdict, text(rec.Restored, "it")+atRemote(rec.Remote))
	}
	if rec.Action != snapshot.ActionNone {
		fmt.Fprintf(w, "why: %s\n", message.OneLine(rec.Reason))
	}
	if rec.Quarantined != nil {
		what := "the damaged database"
		if rec.Action == snapshot.ActionNone {
			what = "an orphan log"
		}
		fmt.Fprintf(w, "%s was kept as %s\n", what, *rec.Quarantined)
	}
	if rec.Unrestored != nil && *rec.Unrestored > 0 {
		fmt.Fprintf(w, "%s can still be read there and are not in the database; snapd salvage %s --to FILE brings them out\n",
			count(int(*rec.Unrestored), "row", "rows"), shellQuote(*rec.Quarantined))
	}
	if rec.Remote != nil {
		fmt.Fprintf(w, "serve does not write to that remote as long as it is another machine's; snapd remote adopt %s takes it over\n", *rec.Remote)
	}
	if !rec.LosesSince.IsZero() {
		fmt.Fprintf(w, "changes since %s (%s) are not in it\n", when(rec.LosesSince), ago(rec.LosesSince))
	}
}

func printPlan(w io.Writer, m *snapshot.Manager, p snapshot.RecoveryPlan) {
	fmt.Fprintf(w, "%s: %s; recover would do: %s\n", m.Database(), p.Verdict, p.Action)
	fmt.Fprintf(w, "why: %s\n", message.OneLine(p.Reason))
	if len(p.Options) == 0 {
		return
	}
	table(w, func(row func(...string)) {
		row("WAY OUT", "BACKUP", "PROVEN", "ROOM", "LOSES")
		for _, o := range p.Options {
			proven := "when taken"
			if o.Proven {
				proven = "yes"
			}
			row(string(o.Action), text(o.Backup, "-")+atRemote(o.Remote), proven, roomLine(o.Room), message.OneLine(o.Loses))
		}
	})
}

// atRemote says where a backup is that is not here.
func atRemote(remote *string) string {
	if remote == nil {
		return ""
	}
	return " at remote " + *remote
}

// roomLine says how much room a way out needs on each disk, and where that is not free.
func roomLine(rooms []snapshot.RecoveryRoom) string {
	var all []string
	for _, r := range rooms {
		line := size(r.Needs) + " in " + r.Dir
		if !r.Fits {
			line += " (only " + size(*r.Free) + " free)"
		}
		all = append(all, line)
	}
	return cmp.Or(strings.Join(all, ", "), "-")
}
