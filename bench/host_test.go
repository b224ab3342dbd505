package bench

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	modernc "modernc.org/sqlite"

	"example.com/snapd/bench/internal/measure"
	"example.com/snapd/internal/samplecrm"
	"example.com/snapd/snapshot"
)

// BenchmarkHost measures what a backup costs the application whose database it is: how
// much longer its commits take, and how many fewer it makes, than in the same time just
// before without a backup. The application, this process, inserts a row for each
// transaction and then thinks for a millisecond, in WAL mode with synchronous=NORMAL or
// with a rollback journal. The backup is an automatic one of this process, or one of snapd.
// Each iteration is a pair of such times; all metrics are medians of the pairs.
func BenchmarkHost(b *testing.B) {
	for _, c := range []struct {
		name, journal string
		warm          int      // transactions before each time
		snapd         []string // its arguments; nil where this process makes the backup
	}{
		{"embedded", "wal", 100, nil},
		// The backup begins while the log is wholly in the file, as one at start-up does.
		{"embedded/checkpointed", "wal", 0, nil},
		{"snapd", "wal", 100, []string{"backup"}},
		{"snapd/auto", "wal", 100, []string{"backup", "--auto"}},
		{"rollback/snapd", "delete", 100, []string{"backup"}},
		{"rollback/snapd/auto", "delete", 100, []string{"backup", "--auto"}},
	} {
		b.Run(c.name, func(b *testing.B) {
			m, _ := crm(b, c.journal)
			backup := func() error {
				_, err := m.Backup(b.Context(), snapshot.Auto(snapshot.TriggerSchedule))
				return err
			}
			if c.snapd != nil {
				args := append(slices.Clone(c.snapd), "--quiet", "--db", m.Database())
				snapd := program(b)
				backup = func() error {
					_, _, err := measure.Run(exec.CommandContext(b.Context(), snapd, args...))
					return err
				}
			}
			h := newHost(b, m.Database(), c.warm)
			long := h.during(b, backup).took // how long one takes
			var idle, busy []load
			var copies []time.Duration
			for b.Loop() {
				if c.journal == "delete" {
					copies = append(copies, copied(b, m.Database()))
				}
				idle = append(idle, h.during(b, func() error { time.Sleep(long); return nil }))
				busy = append(busy, h.during(b, backup))
				long = busy[len(busy)-1].took
			}
			report(b, idle, busy, copies)
		})
	}
}

// report reports the medians of the figures of each pair.
func report(b *testing.B, idle, busy []load, copies []time.Duration) {
	metric := func(unit string, figure func(i int) float64) {
		var all []float64
		for i := range busy {
			all = append(all, figure(i))
		}
		b.ReportMetric(measure.Median(all), unit)
	}
	ms := func(d time.Duration) float64 { return d.Seconds() * 1000 }
	metric("commits/s", func(i int) float64 { return busy[i].rate() })
	metric("×idle-commits", func(i int) float64 { return busy[i].rate() / idle[i].rate() })
	metric("p99-ms", func(i int) float64 { return ms(busy[i].p99) })
	metric("×idle-p99", func(i int) float64 { return float64(busy[i].p99) / float64(idle[i].p99) })
	metric("longest-ms", func(i int) float64 { return ms(busy[i].longest) })
	if copies != nil {
		metric("held-off-ms", func(i int) float64 { return ms(busy[i].heldOff) })
		metric("×cp-held-off", func(i int) float64 { return float64(busy[i].heldOff) / float64(copies[i]) })
	}
}

// load is what the application saw during a time.
type load struct {
	took         time.Duration
	commits      int
	p99, longest time.Duration // of a transaction, from BEGIN to COMMIT
	heldOff      time.Duration // the longest wait of a transaction for locks
}

func (l load) rate() float64 { return float64(l.commits) / l.took.Seconds() }

// host is the application: a pool of connections; one writes. A snapshot of a
// database whose log is wholly in the file makes every commit beyond its first thousand
// pages try a checkpoint in vain, at a cost that grows with the log.
type host struct {
	conn *sql.Conn
	warm int
}

func newHost(b *testing.B, path string, warm int) *host {
	db, err := samplecrm.Open(path, "")
	if err != nil {
		b.Fatal(err)
	}
	conn, err := db.Conn(b.Context())
	if err == nil {
		_, err = conn.ExecContext(b.Context(), "PRAGMA busy_timeout=0; PRAGMA synchronous=NORMAL")
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := errors.Join(conn.Close(), db.Close()); err != nil {
			b.Error(err)
		}
	})
	return &host{conn, warm}
}

// during is what the application sees while fn runs. The log is empty at the beginning,
// and the disk has finished what came before.
func (h *host) during(b *testing.B, fn func() error) (l load) {
	_, err := h.conn.ExecContext(b.Context(), "PRAGMA wal_checkpoint(truncate)")
	if err == nil {
		_, _, err = measure.Run(exec.CommandContext(b.Context(), "sync"))
	}
	if err != nil {
		b.Fatal(err)
	}
	warm, stop, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		var err error
		l, err = h.work(b.Context(), warm, stop)
		done <- err
	}()
	select {
	case err := <-done:
		b.Fatal(err)
	case <-warm:
	}
	err = fn()
	close(stop)
	if err := errors.Join(err, <-done); err != nil {
		b.Fatal(err)
	}
	return l
}

// work inserts until stop is closed, and then once more: after a backup the log is
// checkpointed by the next commit. Its measurement begins when it closes warm.
func (h *host) work(ctx context.Context, warm chan<- struct{}, stop <-chan struct{}) (l load, err error) {
	var latencies []time.Duration
	var began time.Time
	for n, last := 0, false; !last; n++ {
		if n == h.warm {
			began = time.Now()
			close(warm)
		}
		select {
		case <-stop:
			last = true
		case <-time.After(time.Millisecond):
		}
		start := time.Now()
		heldOff, err := h.insert(ctx, n)
		if err != nil {
			return l, err
		}
		if n >= h.warm {
			latencies = append(latencies, time.Since(start))
			l.heldOff = max(l.heldOff, heldOff)
		}
	}
	slices.Sort(latencies)
	l.took, l.commits = time.Since(began), len(latencies)
	l.p99, l.longest = latencies[(len(latencies)*99-1)/100], latencies[len(latencies)-1]
	return l, nil
}

const activitySQL = `INSERT INTO activities(contact_id, kind, subject, body, happened_at) VALUES(
	(SELECT id FROM contacts WHERE id >= 1 + ? % (SELECT max(id) FROM contacts) ORDER BY id LIMIT 1), 'call', ?,
	'Called about the offer of last week. They want the longer term, and asked for the figures once more before Friday; ' ||
	'send them to both addresses, and call again on Monday morning if there is no answer by then.', ?)`

// insert returns how long locks were in the way. SQLite's own busy handler would sleep
// for up to a tenth of a second, and measure itself.
func (h *host) insert(ctx context.Context, n int) (heldOff time.Duration, err error) {
	patient := func(query string, args ...any) error {
		began := time.Now()
		for waited := time.Duration(0); ; waited = time.Since(began) {
			_, err := h.conn.ExecContext(ctx, query, args...)
			var refused *modernc.Error
			if !errors.As(err, &refused) || refused.Code()&0xff != 5 { // SQLITE_BUSY
				heldOff += waited
				return err
			}
			time.Sleep(time.Millisecond)
		}
	}
	if err := patient("BEGIN IMMEDIATE"); err != nil {
		return heldOff, err
	}
	if err := patient(activitySQL, n*7919, fmt.Sprint("Call ", n), time.Now().UTC().Format(time.RFC3339)); err != nil {
		return heldOff, err
	}
	return heldOff, patient("COMMIT")
}

// copied is how long cp takes.
func copied(b *testing.B, db string) time.Duration {
	to := filepath.Join(b.TempDir(), "copy.db")
	cost, _, err := measure.Run(exec.CommandContext(b.Context(), "cp", db, to))
	if err == nil {
		err = os.Remove(to)
	}
	if err != nil {
		b.Fatal(err)
	}
	return cost.Wall
}
