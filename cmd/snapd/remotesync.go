package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"example.com/snapd/internal/message"
	"example.com/snapd/snapshot"
)

type remoteSyncCmd struct {
	remoteNames
	Wait bool `help:"Wait until everything is there. Where no serve is at work, this command sends by itself, and always waits."`
}

// Help is what the parser adds to the help of remote sync.
func (remoteSyncCmd) Help() string {
	return "serve sends by itself. This has it look at the remotes and send now, also where one failed lately and would be tried later, or sends where no serve is at work. Exit 1: not everything could be sent."
}

func (c *remoteSyncCmd) on(ctx context.Context, a *app, m *snapshot.Manager) error {
	names, err := c.known(ctx, a, m)
	if err != nil {
		return err
	}
	doc := remoteList{[]snapshot.RemoteStatus{}}
	var failed []error
	for _, name := range names {
		r, err := c.sync(ctx, a, m, name)
		if ctx.Err() != nil {
			return err
		}
		if err != nil {
			failed = append(failed, err)
			continue
		}
		doc.Remotes = append(doc.Remotes, r)
	}
	if len(doc.Remotes) > 0 {
		if err := a.result(doc, func(w io.Writer) { printSynced(w, doc) }); err != nil {
			return err
		}
	}
	return errors.Join(failed...)
}

// known are the remotes to send to: those that are named or configured, else those of the serve of the directory.
func (c *remoteSyncCmd) known(ctx context.Context, a *app, m *snapshot.Manager) ([]string, error) {
	if len(c.Name) > 0 || a.Config != "" {
		return c.of(a)
	}
	s, err := m.Status(ctx)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, r := range s.Remotes {
		names = append(names, r.Name)
	}
	if len(names) == 0 {
		return c.of(a)
	}
	return names, nil
}

// sync has the serve of the directory send, where one is at work, and else sends.
func (c *remoteSyncCmd) sync(ctx context.Context, a *app, m *snapshot.Manager, name string) (snapshot.RemoteStatus, error) {
	last, err := ask(ctx, m, controlRequest{Do: doSync, Who: person(), Remote: name, Wait: c.Wait}, func(r controlReply) {
		if p := r.Progress; p != nil {
			a.console.progress(p.Phase, p.Done, p.Total)
		}
	})
	switch {
	case errors.As(err, new(*noServe)):
		return m.SyncRemote(ctx, name)
	case err != nil && ctx.Err() != nil:
		fmt.Fprintln(a.console, "serve goes on sending; status says how far it is")
		return snapshot.RemoteStatus{}, err
	case errors.Is(err, errServeEnded):
		return snapshot.RemoteStatus{}, message.WithHint(err, "its next start sends what is missing")
	case err != nil:
		return snapshot.RemoteStatus{}, err
	}
	return *last.Remote, nil
}

func printSynced(w io.Writer, doc remoteList) {
	for _, r := range doc.Remotes {
		what := "everything is there"
		if r.Pending > 0 {
			what = size(r.Pending) + " to send; status says how far it is"
		}
		fmt.Fprintf(w, "%s: %s: %s, the newest state %s\n", r.Name, what, count(r.Backups, "backup", "backups"), newestAt(r))
	}
}

// sync has this serve send what is missing at a remote.
func (c *control) sync(ctx context.Context, req controlRequest, reply func(controlReply) error) (last controlReply) {
	s, err := c.m.Status(ctx)
	if err != nil {
		return last.failedWith(err)
	}
	i := slices.IndexFunc(s.Remotes, func(r snapshot.RemoteStatus) bool { return r.Name == req.Remote })
	if i < 0 {
		return last.failedWith(message.WithHint(fmt.Errorf("remote %.80q: %w: serve sends to none of that name", req.Remote, snapshot.ErrNotFound), "snapd remote list shows the remotes"))
	}
	last.Remote = &s.Remotes[i]
	if !req.Wait {
		go c.m.SyncRemote(ctx, req.Remote) // how it ends is in the log, and in the status
		return last
	}
	now, err := c.moving(req.Remote, reply, func() (snapshot.RemoteStatus, error) { return c.m.SyncRemote(ctx, req.Remote) })
	if err == nil {
		last.Remote = &now
	}
	return last.failedWith(err)
}

// moving replies with the progress of a sync of the remote while it is at work.
func (c *control) moving(name string, reply func(controlReply) error, work func() (snapshot.RemoteStatus, error)) (snapshot.RemoteStatus, error) {
	moved, done := make(chan controlProgress, 1), make(chan struct{})
	go func() { // a subscriber may not wait for the one who asked
		defer close(done)
		for p := range moved {
			_ = reply(controlReply{Progress: &p}) // the last reply says what is wrong
		}
	}()
	forget := c.m.Subscribe(func(ev snapshot.Event) {
		if ev.Type == snapshot.EventProgress && ev.Operation == snapshot.OpSync && ev.Remote == name {
			select {
			case moved <- controlProgress{string(ev.Phase), ev.Done, ev.Total}:
			default: // it has not taken the last one yet
			}
		}
	})
	s, err := work()
	forget()
	close(moved)
	<-done
	return s, err
}
