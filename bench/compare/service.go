package main

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"example.com/snapd/internal/samplecrm"
)

// service is a program that runs next to the application and keeps what it commits.
type service struct {
	name  string
	needs string   // the peer; "" for ours, and for none at all
	serve []string // arguments; nil: nothing runs
	// ready reports whether it has what it needs to begin with, and captures.
	ready func(ctx context.Context, f *field, db *sql.DB, began time.Time) (bool, error)
	// restore are the arguments that restore a moment to $W/out.db; of the zero time, the last one.
	restore func(f *field, at time.Time) []string
}

func services() []service {
	return []service{
		{name: "nothing"},
		{name: "snapd serve", serve: []string{"$SNAPD", "serve", "--db", "$DB", "--dir", "$W/b", "--listen", "127.0.0.1:0", "--log-level", "error"},
			ready: snapdReady,
			restore: func(_ *field, at time.Time) []string {
				if at.IsZero() {
					at = time.Now()
				}
				return []string{"$SNAPD", "restore", "--quiet", "--db", "$DB", "--dir", "$W/b", "--at", at.Format(time.RFC3339Nano), "--to", "$W/out.db"}
			}},
		{name: "litestream", needs: "litestream", serve: []string{"litestream", "replicate", "-log-level", "error", "$DB", "file://$W/b"},
			ready: litestreamReady,
			restore: func(_ *field, at time.Time) []string {
				args := []string{"litestream", "restore", "-o", "$W/out.db"}
				if !at.IsZero() {
					args = append(args, "-timestamp", at.UTC().Format(time.RFC3339Nano))
				}
				return append(args, "file://$W/b")
			}},
	}
}

// snapdReady: a commit made since it began is a recovery point.
func snapdReady(ctx context.Context, f *field, db *sql.DB, began time.Time) (bool, error) {
	if _, err := db.ExecContext(ctx, "UPDATE ledger SET probes = probes + 1"); err != nil {
		return false, err
	}
	cmd := f.command(ctx, []string{"$SNAPD", "points", "--json", "--limit", "1", "--db", "$DB", "--dir", "$W/b"})
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) { // there is no backup directory yet
		return false, nil
	}
	var doc struct {
		Points []struct {
			At   time.Time `json:"at"`
			Kind string    `json:"kind"`
		} `json:"points"`
	}
	if err == nil {
		err = json.Unmarshal(out, &doc)
	}
	return len(doc.Points) > 0 && doc.Points[0].Kind == "change" && doc.Points[0].At.After(began), err
}

// litestreamReady: it has stored as much as there is, and for a second no more.
func litestreamReady(ctx context.Context, f *field, _ *sql.DB, _ time.Time) (bool, error) {
	before, err := size(filepath.Join(f.work(), "b"))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	select {
	case <-ctx.Done():
		return false, ctx.Err()
	case <-time.After(time.Second):
	}
	after, err := size(filepath.Join(f.work(), "b"))
	return after > 0 && after == before, err
}

// command fills the paths in.
func (f *field) command(ctx context.Context, args []string) *exec.Cmd {
	for i, a := range args {
		args[i] = os.Expand(a, func(name string) string {
			return map[string]string{"DB": f.db, "W": f.work(), "SNAPD": f.snapd, "SELF": f.self}[name]
		})
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	together(cmd)
	return cmd
}

// running is a service or a writer.
type running struct {
	cmd  *exec.Cmd
	errs bytes.Buffer
	done chan error
}

// start starts the service, and waits until it is ready.
func (f *field) start(ctx context.Context, s service) (r *running, err error) {
	if s.serve == nil {
		return nil, nil
	}
	db, err := samplecrm.Open(f.db, "") // the application has it open
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	r = &running{cmd: f.command(ctx, append([]string{}, s.serve...)), done: make(chan error, 1)}
	r.cmd.Stderr = &r.errs
	if err := r.cmd.Start(); err != nil {
		return nil, err
	}
	began := time.Now()
	go func() { r.done <- r.cmd.Wait() }()
	for {
		ok, err := s.ready(ctx, f, db, began)
		if ok {
			return r, nil
		}
		if err != nil {
			return nil, errors.Join(err, r.kill())
		}
		select {
		case err := <-r.done:
			return nil, fmt.Errorf("%s ended: %w: %s", s.name, err, r.errs.Bytes())
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), r.kill())
		case <-time.After(time.Second):
		}
	}
}

// kill ends it at once, as kill -9 does. It does nothing for none.
func (r *running) kill() error {
	if r == nil {
		return nil
	}
	if err := r.cmd.Process.Kill(); err != nil {
		return err
	}
	<-r.done // an error: it was killed
	return nil
}

// usage is the zero value where there is no process.
func (r *running) usage() (usage, error) {
	if r == nil {
		return usage{}, nil
	}
	return usageOf(r.cmd.Process.Pid)
}

// committing is a writer at work.
type committing struct {
	running
	in  *os.File
	out *bufio.Reader
}

// commit starts a writer, and returns once it has begun.
func (f *field) commit(ctx context.Context, l ledger, perSecond float64) (*committing, error) {
	cmd := f.command(ctx, []string{"$SELF", "-write", "$DB", "-ledger", l.path, "-rates", fmt.Sprint(perSecond)})
	in, input, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	cmd.Stdin = in
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, errors.Join(err, input.Close())
	}
	c := &committing{running: running{cmd: cmd, done: make(chan error, 1)}, in: input, out: bufio.NewReader(out)}
	cmd.Stderr = &c.errs
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, input.Close())
	}
	if line, err := c.out.ReadString('\n'); err != nil || line != "writing\n" {
		return nil, errors.Join(fmt.Errorf("the writer said %q: %w", line, err), c.kill())
	}
	return c, nil
}

// end has the writer stop, and returns what it achieved.
func (c *committing) end() (l load, err error) {
	err = c.in.Close()
	if err == nil {
		err = json.NewDecoder(c.out).Decode(&l)
	}
	if werr := c.cmd.Wait(); werr != nil {
		return l, fmt.Errorf("writer: %w: %s", werr, c.errs.Bytes())
	}
	return l, err
}

func (c *committing) kill() error {
	err := c.cmd.Process.Kill()
	_ = c.cmd.Wait() // an error: it was killed
	return errors.Join(err, c.in.Close())
}
