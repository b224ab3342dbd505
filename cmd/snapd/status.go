package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"example.com/snapd/internal/message"
	"example.com/snapd/snapshot"
)

type statusCmd struct {
	scheduling
}

// Help is what the parser adds to the help of status.
func (statusCmd) Help() string {
	return "Whether a backup is overdue is judged by the schedule of the serve that protects the database, or died doing so. " +
		"--interval and --cron say what was promised where none is known: when backups are made by cron, for example."
}

func (c *statusCmd) on(ctx context.Context, a *app, m *snapshot.Manager) error {
	s, err := m.Status(ctx)
	if err != nil {
		return err
	}
	if err := a.result(s, func(w io.Writer) { printStatus(ctx, w, m, s) }); err != nil {
		return err
	}
	if s.State != snapshot.Protected {
		return &outcome{exitCorrupt, fmt.Sprintf("%s: %s", s.State, s.Reason)}
	}
	return nil
}

func printStatus(ctx context.Context, w io.Writer, m *snapshot.Manager, s snapshot.Status) {
	fmt.Fprintf(w, "%s: %s\n", strings.ReplaceAll(string(s.State), "_", " "), s.Reason)
	verdict := "could not be checked"
	if s.Database.Verdict != nil {
		verdict = string(*s.Database.Verdict)
	}
	next, drill := "none: no serve is running", "never"
	if holder, err := m.RunningIn(); err == nil && holder != "" {
		switch s.Code {
		case snapshot.WhyDamaged:
			next = "none until the database is repaired"
		case snapshot.WhyMissing:
			next = "none until there is a database again"
		default:
			next = "none by schedule; serve is running"
		}
	}
	if s.NextRun != nil {
		next = fmt.Sprintf("%s (%s)", when(*s.NextRun), ago(*s.NextRun))
	}
	if d := s.LastDrill; d != nil {
		drill = fmt.Sprintf("%s of %s: %s in %s", ago(d.At), d.ID, d.Verdict, millis(d.DurationMS))
	}
	table(w, func(row func(...string)) {
		row("database", fmt.Sprintf("%s, %s, %s", s.Database.Path, size(s.Database.Bytes), verdict))
		if b := s.Break; b != nil {
			row("break", fmt.Sprintf("%s: %s", ago(b.At), message.OneLine(b.What)))
		}
		row("backups", m.Dir()+storedLine(s.Stored))
		row("newest verified", text(s.NewestVerified, "none"))
		row("would be lost", lossWindow(s))
		if c := s.Continuous; c.Point != nil {
			row("recovery points", fmt.Sprintf("%d, %s, the newest %s (%s); captures are %s", c.Points, size(c.Bytes), *c.Point, ago(*c.At), captures(c)))
		}
		for _, r := range s.Remotes {
			row("remote "+r.Name, remoteLine(r))
		}
		row("next backup", next)
		row("last drill", drill)
		if f := s.PruneFailed; f != nil {
			row("old backups", fmt.Sprintf("%s: could not be removed: %s", ago(f.At), message.OneLine(f.Message)))
		}
		if r := s.LastRestore; r != nil {
			undo := ""
			if r.Undo != nil {
				undo = "; snapd undo undoes it"
			}
			row("last "+r.Action, fmt.Sprintf("%s, of %s%s", ago(r.At), r.ID, undo))
		}
		for _, r := range s.Recovered {
			row("recovery", recoveredLine(r))
		}
		if len(s.Recovered) > 0 {
			row("", "snapd recover --seen, once that is known")
		}
		if ms := s.EstimatedRestoreMS; ms != nil {
			row("a restore takes", "about "+millis(*ms))
		}
		if n := len(s.Quarantined); n > 0 {
			var bytes int64
			for _, q := range s.Quarantined {
				bytes += q.Bytes
			}
			row("damaged and kept", fmt.Sprintf("%s, %s; see list", count(n, "database", "databases"), size(bytes)))
		}
		printReceivers(row, s)
		if free := s.FreeBytes; free != nil {
			row("free space", size(*free))
		}
		if r := s.Recovery; r != nil {
			row("recover would do", fmt.Sprintf("%s: %s", r.Action, message.OneLine(r.Reason)))
			for _, o := range r.Options {
				row("", fmt.Sprintf("%s %s loses %s", o.Action, text(o.Backup, "without a backup"), message.OneLine(o.Loses)))
			}
			if runsApplication(ctx, m) {
				row("", "snapd recover --restart does it: the application that serve runs is stopped meanwhile")
			}
		}
	})
}

// printReceivers names the receivers of notifications that fail.
func printReceivers(row func(...string), s snapshot.Status) {
	for _, r := range s.Receivers {
		if r.Error != "" {
			row("notifications", fmt.Sprintf("do not reach %s (%s): %s", r.Name, r.Target, message.OneLine(r.Error)))
		}
	}
}

// storedLine says how the stored backups are, where there is something to say.
func storedLine(s snapshot.Stored) (line string) {
	if s.ReadAgain != nil {
		line += "; a share was read again " + ago(*s.ReadAgain)
	}
	if s.Failed > 0 {
		line += fmt.Sprintf("; %d of %d failed the proof, see list", s.Failed, s.Backups)
	}
	return line
}

// lossWindow is what would be lost with the database.
func lossWindow(s snapshot.Status) string {
	switch {
	case s.LossWindow == nil:
		return "no verified backup"
	case s.Covered:
		return "nothing: unchanged since that backup"
	case *s.LossWindow == 0 && s.Continuous.Point != nil:
		return "nothing: every commit is captured"
	}
	return duration(time.Duration(*s.LossWindow) * time.Second)
}

// captures says whether commits are captured, and whether what was is damaged.
func captures(c snapshot.Continuous) string {
	word := string(c.State)
	if c.State == snapshot.CapturesGap {
		word = "stopped: " + message.OneLine(c.What)
	}
	if c.Damaged > 0 {
		word += fmt.Sprintf("; %s of the change log failed the proof", count(c.Damaged, "segment", "segments"))
	}
	return word
}
