package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"example.com/snapd/bench/internal/measure"
)

// sizes is a flag.Value: sizes with commas between them.
type sizes []measure.Size

func (s *sizes) Set(text string) error {
	*s = nil
	for part := range strings.SplitSeq(text, ",") {
		var one measure.Size
		if err := one.Set(strings.TrimSpace(part)); err != nil {
			return err
		}
		*s = append(*s, one)
	}
	return nil
}

func (s *sizes) String() string {
	var all []string
	for _, one := range *s {
		all = append(all, one.String())
	}
	return strings.Join(all, ",")
}

// curve runs our own jobs on databases of several sizes, one after the other, and reports
// what they cost for each GiB: what grows faster than the database stands out.
func curve(ctx context.Context, o options, w io.Writer) error {
	fmt.Fprintln(w, "| job | database | wall, median | s / GiB | CPU s / GiB | peak memory |\n|---|---|---|---|---|---|")
	rows := map[string][]string{}
	var names []string
	for _, size := range o.curve {
		err := at(ctx, o, size, func(j *job, f *field) {
			if rows[j.name] == nil {
				names = append(names, j.name)
			}
			rows[j.name] = append(rows[j.name], j.perGiB(size, f.bytes))
		})
		if err != nil {
			return fmt.Errorf("%v: %w", size, err)
		}
	}
	for _, name := range names {
		for _, row := range rows[name] {
			fmt.Fprintln(w, row)
		}
	}
	return nil
}

// at measures our jobs on a database of one size.
func at(ctx context.Context, o options, size measure.Size, report func(*job, *field)) (err error) {
	o.size = size
	if o.dir, err = os.MkdirTemp(o.dir, "curve-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(o.dir)) }()
	f, err := prepare(ctx, o)
	if err != nil {
		return err
	}
	var ours []*job
	for _, j := range f.jobs(o.only) {
		if len(j.needs) == 0 {
			ours = append(ours, j)
		}
	}
	if err := f.rounds(ctx, ours); err != nil {
		return err
	}
	for _, j := range ours {
		report(j, f)
	}
	return nil
}

func (j *job) perGiB(size measure.Size, bytes int64) string {
	var cpu []time.Duration
	var peak int64
	for _, c := range j.costs {
		cpu, peak = append(cpu, c.CPU), max(peak, c.PeakBytes)
	}
	wall, gib := measure.Median(j.walls()).Seconds(), float64(bytes)/(1<<30)
	return fmt.Sprintf("| %s | %v | %.2f s | %.2f | %.2f | %.0f MB |",
		j.name, size, wall, wall/gib, measure.Median(cpu).Seconds()/gib, float64(peak)/1e6)
}
