package main

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"example.com/snapd/internal/message"
	"example.com/snapd/internal/notify"
)

type notifyCmd struct {
	Test notifyTestCmd `cmd:"" help:"Send a test to every receiver of the configuration, and say how each answered. Exit 1: one did not take it."`
}

type notifyTestCmd struct {
	On string `default:"at_risk" placeholder:"KIND" help:"What the test is about, such as at_risk or drill_failed (${default}): receivers that are not notified of it get none."`
}

// notifyDocument is the JSON form of a test.
type notifyDocument struct {
	Receivers []tested `json:"receivers"`
}

type tested struct {
	Name       string `json:"name"`
	Way        string `json:"way"`
	Target     string `json:"target"`
	Sent       bool   `json:"sent"` // false: it is not notified of that kind
	OK         bool   `json:"ok"`
	Error      string `json:"error"`
	DurationMS int64  `json:"duration_ms"`
}

func (c *notifyTestCmd) run(ctx context.Context, a *app) error {
	kind, err := notify.ParseKind(c.On)
	if err != nil {
		return &usageError{"--on: " + err.Error(), "see snapd help notify test"}
	}
	if a.Config == "" {
		return &usageError{"receivers of notifications are in the configuration file", "name it with --config"}
	}
	all, err := a.receivers()
	if err != nil {
		return err
	}
	if len(all) == 0 {
		return message.WithHint(fmt.Errorf("no receiver is configured in %s", a.Config), "add a [[notify]] table; docs/alerts.md has examples")
	}
	doc := notifyDocument{make([]tested, len(all))}
	var tests sync.WaitGroup
	for i, r := range all {
		tests.Go(func() {
			t := tested{Name: r.Name, Way: r.Way(), Target: r.Target(), Sent: r.Wants(kind)}
			if t.Sent {
				began := time.Now()
				err := notify.Try(ctx, r, kind)
				if t.OK = err == nil; err != nil {
					t.Error = err.Error()
				}
				t.DurationMS = time.Since(began).Milliseconds()
			}
			doc.Receivers[i] = t
		})
	}
	tests.Wait()
	if err := a.result(doc, func(w io.Writer) { printTested(w, doc.Receivers) }); err != nil {
		return err
	}
	failed := 0
	for _, t := range doc.Receivers {
		if t.Sent && !t.OK {
			failed++
		}
	}
	if failed > 0 {
		return &outcome{exitFailed, fmt.Sprintf("%s did not take the test", count(failed, "receiver", "receivers"))}
	}
	return nil
}

func printTested(w io.Writer, all []tested) {
	table(w, func(row func(...string)) {
		for _, t := range all {
			answer := "took it in " + millis(t.DurationMS)
			switch {
			case !t.Sent:
				answer = "is not notified of that kind"
			case !t.OK:
				answer = "failed: " + t.Error
			}
			row(t.Name, t.Target, answer)
		}
	})
}
