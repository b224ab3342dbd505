//go:build unix

package bench

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/samplecrm"
	"example.com/snapd/snapshot"
)

// BenchmarkBackupOfACheckedState makes scheduled backups next to a service, each after one page of a thousand changed since the last
// one: in turn of a state that the service's hourly anchor has checked, as of a database on which nobody has worked since, and of one that
// it has not. ratio is the processor time of the one to that of the other.
func BenchmarkBackupOfACheckedState(b *testing.B) {
	m, bytes := crm(b, "wal")
	var later atomic.Int64 // hours
	events := make(chan snapshot.EventType, 100)
	cfg := snapshot.Config{
		Database: m.Database(), Interval: 10_000 * time.Hour, Continuous: 100 * time.Millisecond,
		Now: func() time.Time { return time.Now().Add(time.Duration(later.Load()) * time.Hour) },
		OnEvent: func(e snapshot.Event) {
			switch e.Type {
			case snapshot.EventBackedUp, snapshot.EventCaptured, snapshot.EventAnchored:
				events <- e.Type
			}
		},
	}
	m, err := snapshot.Open(b.Context(), cfg)
	if err != nil {
		b.Fatal(err)
	}
	wait := func(want snapshot.EventType) {
		for e := range events {
			if e == want {
				return
			}
		}
	}
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	wait(snapshot.EventBackedUp)
	app, err := samplecrm.Open(m.Database(), "") // its last close would be a change of the files
	if err != nil {
		b.Fatal(err)
	}
	defer app.Close()
	if err := app.Ping(); err != nil {
		b.Fatal(err)
	}
	backup := func(checked bool) (cpu time.Duration) {
		touchPages(b, m.Database(), bytes/4096/1000)
		wait(snapshot.EventCaptured)
		if checked {
			later.Add(1000)
			if err := m.Reload(cfg); err != nil {
				b.Fatal(err)
			}
			wait(snapshot.EventAnchored)
		}
		began := cpuTime()
		if _, err := m.Backup(b.Context(), snapshot.Auto(catalog.TriggerSchedule)); err != nil {
			b.Fatal(err)
		}
		cpu = cpuTime() - began
		wait(snapshot.EventBackedUp)
		return cpu
	}
	var checked, unchecked time.Duration
	for b.Loop() {
		unchecked += backup(false)
		checked += backup(true)
	}
	b.ReportMetric(checked.Seconds()/unchecked.Seconds(), "ratio")
	b.ReportMetric(unchecked.Seconds()/float64(b.N), "cpu-s/unchecked")
	b.ReportMetric(checked.Seconds()/float64(b.N), "cpu-s/checked")
	cancel()
	go func() {
		for range events {
		}
	}()
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
}
