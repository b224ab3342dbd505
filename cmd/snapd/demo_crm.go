package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"example.com/snapd/internal/samplecrm"
)

// demoRate is how many changes the demo's users make per second.
const demoRate = 150

// liveCRM is the application of the demo: connections of its own to the
// database, and people who change it. One goroutine calls its methods.
type liveCRM struct {
	path   string
	db     *sql.DB
	writer *samplecrm.Writer
	cancel context.CancelFunc
	ended  chan error // the writer's end
	rounds uint64     // seeds: every round does something else
}

// start opens the application and lets people work until stop.
func (l *liveCRM) start(ctx context.Context) error {
	db, err := samplecrm.Open(l.path, "")
	if err != nil {
		return fmt.Errorf("open the sample application: %w", err)
	}
	l.rounds++
	l.db, l.writer, l.ended = db, samplecrm.NewWriter(db, l.rounds), make(chan error, 1)
	ctx, l.cancel = context.WithCancel(ctx)
	go func(w *samplecrm.Writer, ended chan<- error) { ended <- w.Run(ctx, demoRate) }(l.writer, l.ended)
	return nil
}

// pause sends the people home; the application's connections stay open.
func (l *liveCRM) pause() error {
	if l.cancel == nil {
		return nil
	}
	l.cancel()
	l.cancel = nil
	if err := <-l.ended; err != nil {
		return fmt.Errorf("the sample application: %w", err)
	}
	return nil
}

// stop closes the application. It may be called twice, and on one never started.
func (l *liveCRM) stop() error {
	if l == nil || l.db == nil {
		return nil
	}
	err := l.pause()
	err = errors.Join(err, l.db.Close())
	l.db = nil
	return err
}

// count is a figure that the application sees.
func (l *liveCRM) count(ctx context.Context, table string) (int64, error) {
	var n int64
	if err := l.db.QueryRowContext(ctx, "SELECT count(*) FROM "+table).Scan(&n); err != nil {
		return 0, fmt.Errorf("count %s: %w", table, err)
	}
	return n, nil
}
