package main

import (
	"context"
	"errors"
	"fmt"

	"example.com/snapd/internal/message"
	"example.com/snapd/snapshot"
)

// restart recovers the database around a restart of the application.
func (c *control) restart(ctx context.Context, reply func(controlReply) error) (last controlReply) {
	if c.program == nil {
		return last.failedWith(noApplication(c.m))
	}
	rec, err := c.program.recover(ctx, c.m, func(what string) { _ = reply(controlReply{Say: what}) }) // the last reply says what is wrong
	last.LosesSince = rec.LosesSince
	if rec.Action != "" {
		last.Recovery = &rec
	}
	return last.failedWith(err)
}

// askRestart has the serve of m's directory restart its application around a recovery. say is called
// with what is being waited for. What was asked is carried out although ctx ends.
func askRestart(ctx context.Context, m *snapshot.Manager, who string, say func(string)) (rec snapshot.Recovery, err error) {
	last, err := ask(ctx, m, controlRequest{Do: doRestart, Who: who}, func(r controlReply) { say(message.OneLine(r.Say)) })
	if last.Recovery != nil {
		rec, rec.LosesSince = *last.Recovery, last.LosesSince
	}
	var none *noServe
	switch {
	case err == nil, errors.As(err, new(*relayed)):
		return rec, err
	case ctx.Err() != nil:
		say("serve goes on with the recovery; status and its log say how it ends")
		return rec, ctx.Err()
	case errors.Is(err, errServeEnded):
		return rec, message.WithHint(err, "see its log, and status; its next start recovers the database before the application starts")
	case errors.As(err, &none):
		return rec, noApplication(m)
	}
	return rec, message.WithHint(fmt.Errorf("%w: ask serve: %w", snapshot.ErrRefused, err), recoverByHand)
}

const recoverByHand = "stop the application, run snapd recover, and start it again"

// noApplication says what to do where no serve runs the application.
func noApplication(m *snapshot.Manager) error {
	what := "no snapd serve runs the application of " + m.Database()
	if holder, err := m.RunningIn(); err == nil && holder != "" {
		what = fmt.Sprintf("%s protects %s, but has not started its application (serve -- CMD)", holder, m.Database())
	}
	return message.WithHint(fmt.Errorf("%w: %s", snapshot.ErrRefused, what), recoverByHand)
}

// runsApplication reports whether a serve that runs an application protects m's database.
func runsApplication(ctx context.Context, m *snapshot.Manager) bool {
	ctx, cancel := context.WithTimeout(ctx, controlPatience)
	defer cancel()
	last, err := ask(ctx, m, controlRequest{Do: doAsk}, func(controlReply) {})
	return err == nil && last.Application
}
