package main

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"time"

	modernc "modernc.org/sqlite"

	"example.com/snapd/bench/internal/measure"
	"example.com/snapd/internal/samplecrm"
)

const (
	thinks = time.Millisecond // between two transactions
	// retries is how soon a lock that was refused is tried again. SQLite's own busy
	// handler would sleep for up to a tenth of a second, and measure itself.
	retries = time.Millisecond
)

// load is what the application saw during a time.
type load struct {
	Took    time.Duration `json:"took_ns"`
	Commits int           `json:"commits"`
	P50     time.Duration `json:"p50_ns"` // of a transaction, from BEGIN to COMMIT
	P99     time.Duration `json:"p99_ns"`
	Max     time.Duration `json:"max_ns"`
	HeldOff time.Duration `json:"held_off_ns"` // the longest wait of a transaction for locks
}

func (l load) rate() float64 { return float64(l.Commits) / l.Took.Seconds() }

// app is an application with a pool of connections, one of which writes.
type app struct {
	db   *sql.DB
	conn *sql.Conn
	// warm is how many transactions come before a period. A snapshot of a database
	// whose log is wholly in the file makes every commit beyond its first thousand
	// pages try a checkpoint in vain, at a cost that grows with the log.
	warm int
}

func newApp(ctx context.Context, path string, warm int) (*app, error) {
	db, err := samplecrm.Open(path, "")
	if err != nil {
		return nil, err
	}
	conn, err := db.Conn(ctx)
	if err == nil {
		_, err = conn.ExecContext(ctx, "PRAGMA busy_timeout=0; PRAGMA synchronous=NORMAL")
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &app{db: db, conn: conn, warm: warm}, nil
}

func (a *app) close() error { return errors.Join(a.conn.Close(), a.db.Close()) }

// settle checkpoints the log: every period begins with an empty one.
func (a *app) settle(ctx context.Context) error {
	_, err := a.conn.ExecContext(ctx, "PRAGMA wal_checkpoint(truncate)")
	return err
}

// work inserts until stop is closed, and then once more: after a backup the log is
// checkpointed by the next commit. Its measurement begins when it closes warm.
func (a *app) work(ctx context.Context, warm chan<- struct{}, stop <-chan struct{}) (load, error) {
	var l load
	var latencies []time.Duration
	var began time.Time
	for n := 0; ; n++ {
		if n == a.warm {
			began = time.Now()
			close(warm)
		}
		last := false
		select {
		case <-stop:
			last = true
		case <-ctx.Done():
			return l, ctx.Err()
		case <-time.After(thinks):
		}
		start := time.Now()
		heldOff, err := a.insert(ctx, n)
		if err != nil {
			return l, err
		}
		if n < a.warm {
			continue
		}
		latencies = append(latencies, time.Since(start))
		l.HeldOff = max(l.HeldOff, heldOff)
		if last {
			l.Took, l.Commits = time.Since(began), len(latencies)
			l.P50, l.P99, l.Max = measure.Quantile(latencies, 0.5), measure.Quantile(latencies, 0.99), measure.Quantile(latencies, 1)
			return l, nil
		}
	}
}

// during is what the application sees while fn runs.
func (a *app) during(ctx context.Context, fn func() error) (load, error) {
	if err := a.settle(ctx); err != nil {
		return load{}, err
	}
	warm, stop, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	var l load
	go func() {
		var err error
		l, err = a.work(ctx, warm, stop)
		done <- err
	}()
	select {
	case err := <-done:
		return l, err
	case <-warm:
	}
	err := fn()
	close(stop)
	return l, errors.Join(err, <-done)
}

const insertSQL = `INSERT INTO activities(contact_id, kind, subject, body, happened_at) VALUES(
	(SELECT id FROM contacts WHERE id >= 1 + ? % (SELECT max(id) FROM contacts) ORDER BY id LIMIT 1), 'call', ?, ?, ?)`

const body = "Called about the offer of last week. They want the longer term, and asked for the figures once more before Friday; " +
	"send them to both addresses, and call again on Monday morning if there is no answer by then."

func (a *app) insert(ctx context.Context, n int) (heldOff time.Duration, err error) {
	wait := func(query string, args ...any) error {
		waited, err := a.patient(ctx, query, args...)
		heldOff += waited
		return err
	}
	if err := wait("BEGIN IMMEDIATE"); err != nil {
		return heldOff, err
	}
	if err := wait(insertSQL, n*7919, fmt.Sprint("Call ", n), body, time.Now().UTC().Format(time.RFC3339)); err != nil {
		_, rerr := a.conn.ExecContext(ctx, "ROLLBACK")
		return heldOff, errors.Join(err, rerr)
	}
	return heldOff, wait("COMMIT")
}

// patient tries again until no lock is in the way, and says for how long.
func (a *app) patient(ctx context.Context, query string, args ...any) (time.Duration, error) {
	began := time.Now()
	for waited := time.Duration(0); ; waited = time.Since(began) {
		_, err := a.conn.ExecContext(ctx, query, args...)
		var refused *modernc.Error
		if !errors.As(err, &refused) || refused.Code()&0xff != 5 { // SQLITE_BUSY
			return waited, err
		}
		select {
		case <-ctx.Done():
			return waited, ctx.Err()
		case <-time.After(retries):
		}
	}
}

// serve is the application as a process: it says what it saw between two lines.
func serve(ctx context.Context, o options, in io.Reader, out io.Writer) (err error) {
	a, err := newApp(ctx, o.write, o.warm)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.close()) }()
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		l, err := a.during(ctx, func() error {
			fmt.Fprintln(out, "{}")
			lines.Scan()
			return lines.Err()
		})
		if err != nil {
			return err
		}
		if err := json.NewEncoder(out).Encode(l); err != nil {
			return err
		}
	}
	return lines.Err()
}

// process is serve, seen from outside.
type process struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *json.Decoder
}

func (f *field) start(ctx context.Context) (*process, error) {
	p := &process{cmd: exec.CommandContext(ctx, f.self, "-write", f.db, "-warm", strconv.Itoa(f.o.warm))}
	p.cmd.Stderr = os.Stderr
	in, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.in, p.out = in, json.NewDecoder(out)
	return p, p.cmd.Start()
}

// during is what the application sees while fn runs.
func (p *process) during(fn func() error) (l load, err error) {
	for _, step := range []string{"begin", "end"} {
		if _, err := io.WriteString(p.in, step+"\n"); err != nil {
			return l, err
		}
		if err := p.out.Decode(&l); err != nil {
			return l, fmt.Errorf("the application: %w", err)
		}
		if step == "begin" {
			if err := fn(); err != nil {
				return l, err
			}
		}
	}
	return l, nil
}

func (p *process) close() error { return errors.Join(p.in.Close(), p.cmd.Wait()) }
