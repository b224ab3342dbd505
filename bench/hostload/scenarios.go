package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"example.com/snapd/bench/internal/measure"
	"example.com/snapd/catalog"
	"example.com/snapd/snapshot"
)

// pair is a round: the application without a backup, and then for as long with one.
type pair struct{ idle, busy load }

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// inProcess: this process is the host, and makes automatic backups of its own database.
func inProcess(ctx context.Context, f *field) (err error) {
	dir, err := f.store()
	if err != nil {
		return err
	}
	m, err := snapshot.Open(ctx, snapshot.Config{Database: f.db, Dir: dir})
	if err != nil {
		return err
	}
	a, err := newApp(ctx, f.db, f.o.warm)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.close()) }()
	last := ""
	backup := func() error {
		b, err := m.Backup(ctx, snapshot.Auto(catalog.TriggerSchedule))
		if err == nil && b.ID == last {
			err = errors.New("nothing had changed: there was no backup to measure")
		}
		last = b.ID
		return err
	}
	began := time.Now()
	if err := backup(); err != nil { // measures how long one takes
		return err
	}
	long := time.Since(began)
	var pairs []pair
	for round := range f.o.rounds {
		fmt.Fprintf(os.Stderr, "inprocess: round %d of %d\n", round+1, f.o.rounds)
		var p pair
		if err := f.settle(ctx); err != nil {
			return err
		}
		if p.idle, err = a.during(ctx, func() error { return pause(ctx, long) }); err != nil {
			return err
		}
		work := backup
		if f.o.profile != "" && round+1 == f.o.rounds {
			work = profiled(f.o.profile, backup)
		}
		if err := f.settle(ctx); err != nil {
			return err
		}
		if p.busy, err = a.during(ctx, work); err != nil {
			return err
		}
		long = p.busy.Took
		pairs = append(pairs, p)
	}
	f.loadTable("A host that embeds the library, WAL mode", []string{"an automatic backup in the host's process"}, [][]pair{pairs})
	return nil
}

// snapdBackup runs snapd against an empty backup directory.
func (f *field) snapdBackup(ctx context.Context, args ...string) (run func() error, err error) {
	dir, err := f.store()
	if err != nil {
		return nil, err
	}
	words := append(strings.Fields(f.o.under), f.snapd, "backup", "--quiet", "--db", f.db, "--dir", dir)
	cmd := exec.CommandContext(ctx, words[0], append(words[1:], args...)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + f.o.dir, "TMPDIR=" + f.o.dir}
	return func() error {
		_, _, err := measure.Run(cmd)
		return err
	}, f.settle(ctx)
}

// otherProcess: the application is one process, snapd another.
func otherProcess(ctx context.Context, f *field) (err error) {
	a, err := f.start(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.close()) }()
	kinds := [][]string{nil, {"--auto"}}
	names := []string{"`snapd backup`", "`snapd backup --auto`"}
	pairs := make([][]pair, len(kinds))
	long := time.Second
	for round := range f.o.rounds + 1 { // the first one measures how long a backup takes
		for i, args := range kinds {
			fmt.Fprintf(os.Stderr, "process: round %d of %d\n", round, f.o.rounds)
			backup, err := f.snapdBackup(ctx, args...)
			if err != nil {
				return err
			}
			var p pair
			if p.idle, err = a.during(func() error { return pause(ctx, long) }); err != nil {
				return err
			}
			if err := f.settle(ctx); err != nil {
				return err
			}
			if p.busy, err = a.during(backup); err != nil {
				return err
			}
			long = p.busy.Took
			if round > 0 {
				pairs[i] = append(pairs[i], p)
			}
		}
	}
	f.loadTable("An application in another process, WAL mode", names, pairs)
	return nil
}

// held is a round in a rollback mode.
type held struct {
	copied     time.Duration // by cp
	idle, busy load
}

// rollback: the application has a rollback journal, and waits while the image is copied.
func rollback(ctx context.Context, f *field) (err error) {
	if err := f.journal(ctx, "delete"); err != nil {
		return err
	}
	a, err := f.start(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.close()) }()
	kinds := [][]string{nil, {"--auto"}}
	all := make([][]held, len(kinds))
	long := time.Second
	for round := range f.o.rounds {
		for i, args := range kinds {
			fmt.Fprintf(os.Stderr, "rollback: round %d of %d\n", round+1, f.o.rounds)
			h, err := f.heldRound(ctx, a, long, args)
			if err != nil {
				return err
			}
			all[i], long = append(all[i], h), h.busy.Took
		}
	}
	f.heldTable("An application in another process, rollback journal (DELETE)", []string{"`snapd backup`", "`snapd backup --auto`"}, all)
	return nil
}

func (f *field) heldRound(ctx context.Context, a *process, long time.Duration, args []string) (h held, err error) {
	backup, err := f.snapdBackup(ctx, args...)
	if err != nil {
		return h, err
	}
	to := filepath.Join(f.o.dir, "copy.db")
	cost, _, err := measure.Run(exec.CommandContext(ctx, "cp", f.db, to))
	if h.copied = cost.Wall; err != nil {
		return h, err
	}
	if err := errors.Join(os.Remove(to), f.settle(ctx)); err != nil {
		return h, err
	}
	if h.idle, err = a.during(func() error { return pause(ctx, long) }); err != nil {
		return h, err
	}
	if err := f.settle(ctx); err != nil {
		return h, err
	}
	h.busy, err = a.during(backup)
	return h, err
}

// journal gives the database another journal mode.
func (f *field) journal(ctx context.Context, mode string) (err error) {
	a, err := newApp(ctx, f.db, f.o.warm)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.close()) }()
	var got string
	if err := a.conn.QueryRowContext(ctx, "PRAGMA journal_mode="+mode).Scan(&got); err != nil {
		return err
	}
	if got != mode {
		return fmt.Errorf("journal mode %s, want %s", got, mode)
	}
	return nil
}
