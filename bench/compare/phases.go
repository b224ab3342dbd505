package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"example.com/snapd/bench/internal/measure"
	"example.com/snapd/snapshot"
)

// phase is a part of one backup, and when it began.
type phase struct {
	Name  string        `json:"name"`
	Began time.Duration `json:"began_ns"` // since the backup's start
}

type phases struct {
	Phases []phase       `json:"phases"`
	Took   time.Duration `json:"took_ns"`
}

// tellPhases makes one backup through the library and prints what its phases took.
func tellPhases(ctx context.Context, db, dir string) error {
	var out phases
	var began time.Time
	m, err := snapshot.Open(ctx, snapshot.Config{Database: db, Dir: dir, OnEvent: func(ev snapshot.Event) {
		if n := len(out.Phases); ev.Type == snapshot.EventProgress && (n == 0 || out.Phases[n-1].Name != string(ev.Phase)) {
			out.Phases = append(out.Phases, phase{string(ev.Phase), time.Since(began)})
		}
	}})
	if err != nil {
		return err
	}
	began = time.Now()
	if _, err := m.Backup(ctx, snapshot.Manual("")); err != nil {
		return err
	}
	out.Took = time.Since(began)
	return json.NewEncoder(os.Stdout).Encode(out)
}

// phases measures the phases of a backup with the writer, rounds times; medians.
func (f *field) phases(ctx context.Context) (names []string, shares map[string]time.Duration, whole time.Duration, err error) {
	took := map[string][]time.Duration{}
	var wholes []time.Duration
	for range f.o.rounds {
		p, err := f.onePhases(ctx)
		if err != nil {
			return nil, nil, 0, err
		}
		wholes = append(wholes, p.Took)
		for i, ph := range p.Phases {
			end := p.Took
			if i+1 < len(p.Phases) {
				end = p.Phases[i+1].Began
			}
			if !slices.Contains(names, ph.Name) {
				names = append(names, ph.Name)
			}
			took[ph.Name] = append(took[ph.Name], end-ph.Began)
		}
	}
	shares = map[string]time.Duration{}
	for name, all := range took {
		shares[name] = measure.Median(all)
	}
	return names, shares, measure.Median(wholes), nil
}

func (f *field) onePhases(ctx context.Context) (p phases, err error) {
	if err := f.emptied(ctx, &job{}); err != nil {
		return p, err
	}
	if err := f.cache(ctx); err != nil {
		return p, err
	}
	stop, err := f.writer(ctx)
	if err != nil {
		return p, err
	}
	_, out, err := measure.Run(exec.CommandContext(ctx, f.self, "-phases", f.db, "-dir", filepath.Join(f.work(), "b")))
	if serr := stop(); err == nil {
		err = serr
	}
	if err != nil {
		return p, err
	}
	if err := json.Unmarshal(out, &p); err != nil {
		return p, fmt.Errorf("phases: %w", err)
	}
	return p, nil
}
