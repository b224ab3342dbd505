package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"example.com/snapd/internal/message"
	"example.com/snapd/internal/remote"
	"example.com/snapd/snapshot"
)

type remoteCmd struct {
	Check  remoteCheckCmd  `cmd:"" help:"Try what a remote has to do, with an object of its own that is removed again."`
	List   remoteListCmd   `cmd:"" help:"What is at the remotes, how old it is, and how it is proven."`
	Sync   remoteSyncCmd   `cmd:"" help:"Send what is missing at the remotes now."`
	Verify remoteVerifyCmd `cmd:"" help:"Prove the copies at the remotes. Exit 3: some are damaged."`
	Adopt  remoteAdoptCmd  `cmd:"" help:"Go on with a remote that another machine or directory wrote to, which then stops."`
}

// remoteNames are the remotes that a command is about.
type remoteNames struct {
	Name []string `arg:"" optional:"" help:"Remotes of the configuration; default: all of them."`
}

func (c remoteNames) of(a *app) (names []string, err error) {
	configured, err := a.remotes()
	if err != nil {
		return nil, err
	}
	for _, r := range configured {
		names = append(names, r.Name)
	}
	if len(c.Name) > 0 {
		return c.Name, nil
	}
	if len(names) == 0 {
		return nil, &usageError{"no remote is configured", "name a file with [[remote]] in it with --config; see docs/remotes.md"}
	}
	return names, nil
}

type remoteCheckCmd struct{ remoteNames }

type remoteChecks struct {
	Remotes []remoteChecked `json:"remotes"`
}

type remoteChecked struct {
	Name   string                 `json:"name"`
	OK     bool                   `json:"ok"`
	Probes []snapshot.RemoteProbe `json:"probes"`
	Key    string                 `json:"key"` // "proven", "unproven", or "none" where copies are not encrypted
}

func (c *remoteCheckCmd) on(ctx context.Context, a *app, m *snapshot.Manager) error {
	names, err := c.of(a)
	if err != nil {
		return err
	}
	var doc remoteChecks
	failed := 0
	for _, name := range names {
		probes, err := snapshot.CheckRemote(ctx, m, name)
		if err != nil {
			return err
		}
		checked := remoteChecked{Name: name, OK: true, Probes: probes, Key: a.keyOf(m, name)}
		for _, p := range probes {
			checked.OK = checked.OK && (p.OK || !p.Needed)
		}
		if !checked.OK {
			failed++
		}
		doc.Remotes = append(doc.Remotes, checked)
	}
	if err := a.result(doc, func(w io.Writer) { printRemoteChecks(w, doc) }); err != nil {
		return err
	}
	if failed > 0 {
		return &outcome{exitFailed, fmt.Sprintf("%s cannot be used", count(failed, "remote", "remotes"))}
	}
	return nil
}

// keyOf says whether it was proved that what is encrypted for a remote can be read.
func (a *app) keyOf(m *snapshot.Manager, name string) string {
	configured, _ := a.remotes() // it was read before
	for _, r := range configured {
		if r.Name != name || !r.Sealed() {
			continue
		}
		proven, err := remote.ReadProofs(m.Dir())
		keys, errKeys := remote.Keys(r)
		if err != nil || errKeys != nil {
			return "unproven"
		}
		for _, key := range keys.Strings() {
			if _, ok := proven[key]; ok {
				return "proven"
			}
		}
		return "unproven"
	}
	return "none"
}

func printRemoteChecks(w io.Writer, doc remoteChecks) {
	for _, r := range doc.Remotes {
		fmt.Fprintf(w, "%s\n", r.Name)
		table(w, func(row func(...string)) {
			for _, p := range r.Probes {
				word := "yes"
				if !p.OK {
					word = "no"
					if p.Needed {
						word = "NO"
					}
				}
				row("  "+p.What, word, message.OneLine(p.Detail))
			}
		})
		switch r.Key {
		case "none":
			fmt.Fprintln(w, "  copies are not encrypted: who owns the store can read them")
		case "unproven":
			fmt.Fprintln(w, "  that the copies can be read was never proved: snapd keygen --prove FILE, where the secret key is, does that")
		}
	}
}

type remoteListCmd struct{}

type remoteList struct {
	Remotes []snapshot.RemoteStatus `json:"remotes"`
}

func (c *remoteListCmd) on(ctx context.Context, a *app, m *snapshot.Manager) error {
	s, err := m.Status(ctx)
	if err != nil {
		return err
	}
	return a.result(remoteList{s.Remotes}, func(w io.Writer) {
		if len(s.Remotes) == 0 {
			fmt.Fprintln(w, "there are no remotes; docs/remotes.md says how to have one")
			return
		}
		table(w, func(row func(...string)) {
			row("NAME", "STATE", "BACKUPS", "NEWEST STATE", "SIZE", "PROOF", "ENCRYPTED", "WHERE")
			for _, r := range s.Remotes {
				row(r.Name, string(r.State), fmt.Sprint(r.Backups), newestAt(r), size(r.Bytes), strings.ReplaceAll(r.Proof, "_", " "), yesNo(r.Encrypted), r.URL)
			}
		})
		for _, r := range s.Remotes {
			if r.Error != nil {
				fmt.Fprintf(w, "%s: %s\n", r.Name, message.OneLine(*r.Error))
			}
			if r.Damaged > 0 {
				fmt.Fprintf(w, "%s: %s not what was stored; remote verify names them\n", r.Name, count(r.Damaged, "object is", "objects are"))
			}
		}
	})
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// newestAt is what could be restored from a remote.
func newestAt(r snapshot.RemoteStatus) string {
	if r.NewestAt == nil {
		return "none"
	}
	return ago(*r.NewestAt)
}

// remoteLine is a remote in one line of the status.
func remoteLine(r snapshot.RemoteStatus) string {
	line := fmt.Sprintf("%s, %s, the newest state %s", r.State, count(r.Backups, "backup", "backups"), newestAt(r))
	if r.Pending > 0 {
		line += ", " + size(r.Pending) + " to send"
	}
	if r.LagSeconds != nil && *r.LagSeconds > 0 {
		line += " for " + duration(time.Duration(*r.LagSeconds)*time.Second)
	}
	if !r.Encrypted {
		line += ", not encrypted"
	}
	if r.Error != nil {
		line += "; " + message.OneLine(*r.Error)
	}
	return line
}

type remoteVerifyCmd struct {
	remoteNames
	ReadBack bool `help:"Download everything and compare it, instead of asking the store for sizes and checksums."`
}

type remoteVerified struct {
	Remotes []snapshot.RemoteVerified `json:"remotes"`
}

func (c *remoteVerifyCmd) on(ctx context.Context, a *app, m *snapshot.Manager) error {
	names, err := c.of(a)
	if err != nil {
		return err
	}
	doc, damaged := remoteVerified{Remotes: []snapshot.RemoteVerified{}}, 0
	var failed []error
	for _, name := range names {
		v, err := snapshot.VerifyRemote(ctx, m, name, c.ReadBack)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		doc.Remotes = append(doc.Remotes, v)
		damaged += len(v.Damaged)
	}
	if err := a.result(doc, func(w io.Writer) { printRemoteVerified(w, doc) }); err != nil {
		return err
	}
	if damaged > 0 {
		return &outcome{exitCorrupt, fmt.Sprintf("%s not what was stored", count(damaged, "object is", "objects are"))}
	}
	return errors.Join(failed...)
}

func printRemoteVerified(w io.Writer, doc remoteVerified) {
	for _, v := range doc.Remotes {
		how := "by what the store says of them"
		if v.ReadBack {
			how = "read back and compared"
		}
		fmt.Fprintf(w, "%s: %s, %s whole, %s\n", v.Name, count(v.Objects, "object", "objects"), size(v.Bytes), how)
		for _, d := range v.Damaged {
			fmt.Fprintf(w, "  %s: %s\n", d.Object, message.OneLine(d.What))
		}
	}
}

type remoteAdoptCmd struct {
	Name string `arg:"" help:"The remote."`
	Yes  bool   `short:"y" help:"Do not ask."`
}

// Help is what the parser adds to the help of remote adopt.
func (remoteAdoptCmd) Help() string {
	return "A remote belongs to the backup directory that wrote to it last; any other is refused, so that two machines do not mix their backups. This makes it the directory's: for a new machine " +
		"in the place of a lost one, or a directory that was moved. What is there stays, and what is made from now on is on a new timeline. If the other machine still runs, it stops sending."
}

type remoteAdopted struct {
	Remote string `json:"remote"`
	Before string `json:"before"` // what wrote there; "" for none
}

func (c *remoteAdoptCmd) on(ctx context.Context, a *app, m *snapshot.Manager) error {
	if !c.Yes {
		if !a.attended() {
			return unattended("adopting a remote")
		}
		if err := a.consent(ctx, "The snapd that writes to remote "+c.Name+" now will be stopped. Go on?"); err != nil {
			return err
		}
	}
	before, err := snapshot.AdoptRemote(ctx, m, c.Name)
	if err != nil {
		return err
	}
	return a.result(remoteAdopted{c.Name, before}, func(w io.Writer) {
		fmt.Fprintf(w, "remote %s is this directory's now; serve sends the next backup there\n", c.Name)
		if before != "" {
			fmt.Fprintf(w, "before, it was written to by %s\n", message.OneLine(before))
		}
	})
}
