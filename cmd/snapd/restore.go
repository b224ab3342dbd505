package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"example.com/snapd/snapshot"
)

type restoreCmd struct {
	ID string `arg:"" optional:"" help:"The backup, or a recovery point such as 1.4711 (see points); latest is the newest verified backup; after a restore the restored one."`
	At moment `placeholder:"TIME" help:"Instead of ID: the newest recovery point at or before this time: 2025-10-31 14:30, 2025-10-31 (that day's last), 14:30, yesterday 14:30, -2h, or RFC 3339."`
	To string `placeholder:"PATH" help:"Write it to this new file; the database is not touched."`
	restoring
	copies
}

func (c *restoreCmd) run(ctx context.Context, a *app) error {
	if c.From == "" && c.Identity != "" {
		return &usageError{"--identity is for the copies of a remote", "name that with --from URL"}
	}
	if c.From == "" && (c.ID == "") == (c.At == "") {
		return &usageError{"name one backup or recovery point: an ID, latest, or --at TIME", "see snapd list and snapd points"}
	}
	if c.To != "" && c.Offline {
		return &usageError{"--to and --offline exclude each other", "--offline is about the database itself"}
	}
	if _, ok := parseMoment(string(c.At), time.Now()); c.At != "" && !ok {
		return notATime("--at", c.At)
	}
	if err := mustHaveDirectory("restore", c.To); err != nil {
		return err
	}
	if c.From != "" {
		return c.fromRemote(ctx, a)
	}
	m, err := a.open(ctx, c.configure)
	if err != nil {
		return err
	}
	b, err := c.choose(ctx, m)
	if err != nil {
		return err
	}
	if c.To == "" {
		return c.over(ctx, a, m, b, nil, fmt.Sprintf("Restoring %s over %s.", b.ID, m.Database()))
	}
	done, err := m.Restore(ctx, b.ID, snapshot.RestoreOptions{To: c.To})
	return c.restored(a, m, done, err)
}

func (c *restoreCmd) reads() bool { return c.To != "" && c.From == "" }

// restoring are the flags of what restores over the database.
type restoring struct {
	Offline bool `help:"Swap the file instead of restoring through a transaction; refused while another program has the database open."`
	Force   bool `help:"Swap the file also where the system does not say whether another program has the database open: you have made sure that none has."`
	Yes     bool `short:"y" help:"Do not ask."`
}

func (c restoring) configure(cfg *snapshot.Config) { cfg.AssumeUnused = c.Force }

// over asks twice, unless --yes says not to, and restores b over the database, where there is a plan only
// while that holds. what says what it is about to do.
func (c restoring) over(ctx context.Context, a *app, m *snapshot.Manager, b snapshot.Backup, plan *snapshot.RestorePlan, what string) error {
	if !c.Yes {
		if err := confirmRestore(ctx, a, m, b, what); err != nil {
			return err
		}
	}
	done, err := m.Restore(ctx, b.ID, snapshot.RestoreOptions{Offline: c.Offline, Plan: plan})
	return c.restored(a, m, done, err)
}

// restored reports the end of a restore.
func (c restoring) restored(a *app, m *snapshot.Manager, done snapshot.RestoreResult, err error) error {
	if err != nil {
		if codeOf(err) == "corrupt" {
			err = advised(err, "choose another backup; snapd verify --all proves which are good")
		}
		return err
	}
	return a.result(done, func(w io.Writer) { c.print(w, a, m, done) })
}

// choose finds what is to be restored: a backup, or what describes a recovery point as one.
func (c *restoreCmd) choose(ctx context.Context, m *snapshot.Manager) (snapshot.Backup, error) {
	if c.At != "" {
		p, err := pointAt(ctx, m, c.At, time.Now())
		return p.Entry(), err
	}
	b, err := m.Find(c.ID)
	if err != nil {
		return b, fmt.Errorf("restore %s: %w", c.ID, err)
	}
	return b, nil
}

// confirmRestore asks twice: first about what will be lost, then for the
// database's name. what says what is about to be done.
func confirmRestore(ctx context.Context, a *app, m *snapshot.Manager, b snapshot.Backup, what string) error {
	if !a.attended() {
		return unattended("restoring over " + m.Database())
	}
	fate := "Its present state is saved first, as a backup of its own."
	if st, err := os.Stat(m.Database()); errors.Is(err, fs.ErrNotExist) || err == nil && st.Size() == 0 {
		fate = "There is no database there now."
	}
	fmt.Fprintf(a.console, "%s\nAll changes since %s (%s) will be gone from the database. %s\n", what, when(b.CreatedAt), ago(b.CreatedAt), fate)
	if err := a.consent(ctx, "Go on?"); err != nil {
		return err
	}
	name := filepath.Base(m.Database())
	return a.retype(ctx, fmt.Sprintf("Type the database's file name (%s) to restore:", name), name)
}

func (c restoring) print(w io.Writer, a *app, m *snapshot.Manager, done snapshot.RestoreResult) {
	fmt.Fprintf(w, "restored %s to %s (%s, %s)\n", done.Restored, done.To, done.Method, millis(done.DurationMS))
	if done.Method == snapshot.Swap && !c.Offline {
		fmt.Fprintf(w, "the file was replaced: %s\n", done.Reason)
	}
	if done.Quarantined != "" {
		fmt.Fprintf(w, "the damaged database was kept as %s\n", done.Quarantined)
	}
	if done.SafetyBackup != nil {
		fmt.Fprintf(w, "the state before it was saved as %s; to undo: %s\n", *done.SafetyBackup, a.commandLine(m, "undo"))
	}
}
