package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"example.com/snapd/internal/samplecrm"
)

// How many changes the people make per second: in the tour, and with the page.
const (
	tourRate = 150
	liveRate = 5
)

// liveCRM is the application of the demo: connections of its own to the
// database, and people who change it. One goroutine calls its methods.
type liveCRM struct {
	path string
	rate float64
	// trouble, when not nil, receives the error that kept the people from working, and they
	// go on after a moment. Otherwise they stop, and pause returns it.
	trouble func(error)

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
	go func(w *samplecrm.Writer, ended chan<- error) { ended <- l.work(ctx, w) }(l.writer, l.ended)
	return nil
}

func (l *liveCRM) work(ctx context.Context, w *samplecrm.Writer) error {
	for {
		err := w.Run(ctx, l.rate)
		if err == nil || l.trouble == nil {
			return err
		}
		l.trouble(err)
		if linger(ctx, 2*time.Second) != nil {
			return nil
		}
	}
}

// running reports whether the application is open.
func (l *liveCRM) running() bool { return l.db != nil }

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
