package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"example.com/snapd/internal/samplecrm"
)

// trial is what came of one writer next to one service.
type trial struct {
	load      load
	service   usage         // while the writer was at work
	idle      usage         // after it, for options.idle
	stored    int64         // bytes, in addition to what was stored when it began
	wal       int64         // the most that the -wal had
	last, mid time.Duration // restores to the end and to the middle of the run, to a file
	behind    int64         // commits that the restore to the middle was behind that moment
	losses    []loss        // of each kill
}

// loss is what a kill of writer and service cost.
type loss struct {
	commits int64
	span    time.Duration // from the last restored commit to the last acknowledged one
}

// continuous compares services that keep each commit, next to the same writer.
func (f *field) continuous(ctx context.Context) error {
	rates, err := f.o.perSecond()
	if err != nil {
		return err
	}
	if _, err := usageOf(os.Getpid()); err != nil {
		return err
	}
	if err := makeLedger(ctx, f.db); err != nil {
		return err
	}
	template := f.db
	f.db = filepath.Join(f.work(), "crm.db")
	var list []service
	for _, s := range services() {
		if s.needs == "" || f.have[s.needs] != "" {
			list = append(list, s)
		} else if !f.o.ours {
			fmt.Fprintf(os.Stderr, "NOT COMPARED with %s, which is not on PATH\n", s.name)
		}
	}
	results := map[string][]trial{}
	order := rand.New(rand.NewPCG(2, 2))
	for round := range f.o.rounds {
		for _, i := range order.Perm(len(list) * len(rates)) {
			s, rate := list[i/len(rates)], rates[i%len(rates)]
			fmt.Fprintf(os.Stderr, "round %d of %d: %s, %g commits a second\n", round+1, f.o.rounds, s.name, rate)
			t, err := f.trial(ctx, s, template, rate)
			if err != nil {
				return fmt.Errorf("%s, %g commits a second: %w", s.name, rate, err)
			}
			key := s.name + " " + fmt.Sprint(rate)
			results[key] = append(results[key], t)
		}
	}
	f.continuousTable(os.Stdout, list, rates, results)
	return nil
}

// perSecond are the rates asked for.
func (o options) perSecond() (list []float64, err error) {
	for s := range strings.SplitSeq(o.rates, ",") {
		rate, err := strconv.ParseFloat(s, 64)
		if err != nil || rate <= 0 {
			return nil, fmt.Errorf("-rates %q: commits a second, as 100,1000", o.rates)
		}
		list = append(list, rate)
	}
	return list, nil
}

// trial runs the writer next to the service, on a copy of the database.
func (f *field) trial(ctx context.Context, s service, template string, rate float64) (t trial, err error) {
	if err := f.emptied(ctx, &job{}); err != nil {
		return t, err
	}
	if _, err := f.shell(ctx, "cp "+template+" $DB && sync && $SELF -touch "+strconv.FormatInt(2*f.bytes, 10)); err != nil {
		return t, err
	}
	l := ledger{filepath.Join(f.work(), "ledger")}
	r, err := f.start(ctx, s)
	if err != nil {
		return t, err
	}
	alive := r
	defer func() {
		if alive != nil {
			err = errors.Join(err, alive.kill())
		}
	}()
	began := time.Now()
	if err := f.busy(ctx, &t, l, r, rate); err != nil {
		return t, err
	}
	ended := time.Now()
	if r == nil {
		return t, nil
	}
	if err := f.idle(ctx, &t, r); err != nil {
		return t, err
	}
	alive = nil
	if err := r.kill(); err != nil {
		return t, err
	}
	if err := f.restores(ctx, s, &t, l, began.Add(ended.Sub(began)/2)); err != nil {
		return t, err
	}
	for range f.o.kills {
		if err := f.killed(ctx, s, &t, l, rate); err != nil {
			return t, err
		}
	}
	return t, nil
}

// busy has the writer work for a time, and measures what that costs.
func (f *field) busy(ctx context.Context, t *trial, l ledger, r *running, rate float64) error {
	stored, err := f.storedBytes()
	if err != nil {
		return err
	}
	before, err := r.usage()
	if err != nil {
		return err
	}
	w, err := f.commit(ctx, l, rate)
	if err != nil {
		return err
	}
	for end := time.After(f.o.duration); end != nil; {
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), w.kill())
		case <-end:
			end = nil
		case <-time.After(50 * time.Millisecond):
			if st, err := os.Stat(f.db + "-wal"); err == nil {
				t.wal = max(t.wal, st.Size())
			}
		}
	}
	if t.load, err = w.end(); err != nil {
		return err
	}
	after, err := r.usage()
	if err != nil {
		return err
	}
	t.service = after.less(before)
	now, err := f.storedBytes()
	t.stored = now - stored
	return err
}

func (u usage) less(v usage) usage {
	return usage{u.cpu - v.cpu, u.wakeups - v.wakeups, u.written - v.written}
}

// storedBytes is what the service has stored.
func (f *field) storedBytes() (int64, error) {
	n, err := size(filepath.Join(f.work(), "b"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	return n, err
}

// settling is how long a service may go on with what the writer left.
const settling = 10 * time.Second

func (f *field) idle(ctx context.Context, t *trial, r *running) error {
	if err := pause(ctx, settling); err != nil {
		return err
	}
	before, err := r.usage()
	if err != nil {
		return err
	}
	if err := pause(ctx, f.o.idle); err != nil {
		return err
	}
	after, err := r.usage()
	t.idle = after.less(before)
	return err
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// restores are those to the last moment and to one in the middle, each proven whole.
func (f *field) restores(ctx context.Context, s service, t *trial, l ledger, middle time.Time) (err error) {
	all, err := l.read()
	if err != nil {
		return err
	}
	var n int64
	if n, t.last, err = f.restored(ctx, s, time.Time{}); err != nil {
		return err
	}
	if want := all[len(all)-1].n; n != want { // it had all the time it needed
		return fmt.Errorf("the last state that is restored has commit %d, the writer made %d", n, want)
	}
	if n, t.mid, err = f.restored(ctx, s, middle); err != nil {
		return err
	}
	const unacknowledged = 100 * time.Millisecond // a commit is there before its writer knows
	if t.behind = commitAt(all, middle) - n; n > commitAt(all, middle.Add(unacknowledged)) {
		return fmt.Errorf("the state of %v has commit %d, which came later", middle, n)
	}
	return nil
}

// restored restores a moment to a file, and returns the number of its last commit.
func (f *field) restored(ctx context.Context, s service, at time.Time) (n int64, took time.Duration, err error) {
	out := filepath.Join(f.work(), "out.db")
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(out + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return 0, 0, err
		}
	}
	start := time.Now()
	if said, err := f.command(ctx, s.restore(f, at)).CombinedOutput(); err != nil {
		return 0, 0, fmt.Errorf("restore: %w: %s", err, said)
	}
	took = time.Since(start)
	db, err := samplecrm.Open(out, "")
	if err != nil {
		return 0, took, err
	}
	var verdict string
	err = db.QueryRowContext(ctx, "PRAGMA quick_check").Scan(&verdict)
	if err = errors.Join(err, db.Close()); err != nil {
		return 0, took, err
	}
	if verdict != "ok" {
		return 0, took, fmt.Errorf("what was restored is damaged: %s", verdict)
	}
	n, err = lastCommit(ctx, out)
	return n, took, err
}

// killed kills writer and service at a random moment, and restores what there is.
func (f *field) killed(ctx context.Context, s service, t *trial, l ledger, rate float64) error {
	r, err := f.start(ctx, s)
	if err != nil {
		return err
	}
	w, err := f.commit(ctx, l, rate)
	if err != nil {
		return errors.Join(err, r.kill())
	}
	err = pause(ctx, 3*time.Second+time.Duration(rand.Int64N(int64(3*time.Second))))
	if err = errors.Join(err, w.kill(), r.kill()); err != nil {
		return err
	}
	all, err := l.read()
	if err != nil {
		return err
	}
	n, _, err := f.restored(ctx, s, time.Time{})
	if err != nil {
		return err
	}
	last := all[len(all)-1]
	lost := loss{commits: max(0, last.n-n)}
	for i := len(all) - 1; lost.commits > 0 && i >= 0; i-- {
		if all[i].n <= n {
			lost.span = last.at.Sub(all[i].at)
			break
		}
	}
	t.losses = append(t.losses, lost)
	return nil
}
