package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"example.com/snapd/snapshot"
)

type statsCmd struct{}

func (c *statsCmd) reads() bool { return true }

func (c *statsCmd) on(ctx context.Context, a *app, m *snapshot.Manager) error {
	s, err := m.Stats()
	if err != nil {
		return err
	}
	return a.result(s, func(w io.Writer) {
		taken := func(id *string, at *time.Time) string {
			if id == nil || at == nil {
				return "none"
			}
			return fmt.Sprintf("%s, %s (%s)", *id, when(*at), ago(*at))
		}
		table(w, func(row func(...string)) {
			row("backups", fmt.Sprintf("%d (%d automatic, %d manual)", s.Count, s.Automatic, s.Manual))
			row("archives", fmt.Sprintf("%s in %s", size(s.TotalSize), m.Dir()))
			row("newest", taken(s.Latest, s.LatestTime))
			row("oldest", taken(s.Oldest, s.OldestTime))
		})
	})
}
