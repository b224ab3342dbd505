package main

import (
	"cmp"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"time"

	"example.com/snapd/bench/internal/measure"
)

// tables prints a table for every group: medians, and of the ratios within each round
// their median and spread.
func (f *field) tables(w io.Writer, jobs []*job) {
	state := "in the page cache"
	if f.o.cold {
		state = "not in the page cache"
	}
	fmt.Fprintf(w, "%s, a CRM database of %d bytes in WAL mode, %s, with a writer (%d commits a second) during the backups; %d rounds, each with every program once.\n",
		time.Now().UTC().Format(time.DateOnly), f.bytes, state, writes, f.o.rounds)
	fmt.Fprintf(w, "%s/%s, %d processors, %s", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version())
	for _, p := range peers {
		if v := f.have[p.name]; v != "" {
			fmt.Fprintf(w, ", %s %s", p.name, v)
		}
	}
	fmt.Fprintln(w, ".")
	for _, g := range groups {
		var list []*job
		for _, j := range jobs {
			if j.group == g.name {
				list = append(list, j)
			}
		}
		if len(list) > 0 {
			f.table(w, g.title, list)
		}
	}
}

func (f *field) table(w io.Writer, title string, list []*job) {
	slices.SortStableFunc(list, func(a, b *job) int {
		switch {
		case a.ours() == b.ours():
			return 0
		case a.ours():
			return -1
		}
		return 1
	})
	fmt.Fprintf(w, "\n**%s**\n\n| program | wall, median | min – max | MB/s | CPU | peak memory | stored | wall ÷ ours, same round | |\n|---|---|---|---|---|---|---|---|---|\n", title)
	for _, j := range list {
		fmt.Fprintln(w, j.row(f.bytes, list[0]))
	}
}

func (j *job) walls() (all []time.Duration) {
	for _, c := range j.costs {
		all = append(all, c.Wall)
	}
	return all
}

func (j *job) row(size int64, yardstick *job) string {
	var cpu []time.Duration
	var peak int64
	for _, c := range j.costs {
		cpu, peak = append(cpu, c.CPU), max(peak, c.PeakBytes)
	}
	walls := j.walls()
	var ratios []float64
	for i, d := range yardstick.walls() {
		ratios = append(ratios, walls[i].Seconds()/d.Seconds())
	}
	wall := measure.Median(walls).Seconds()
	stored := ""
	if len(j.bytes) > 0 {
		stored = fmt.Sprintf("%.1f %%", 100*float64(measure.Median(j.bytes))/float64(size))
	}
	name := j.name
	if j.ours() {
		name = "**" + name + "**"
	}
	return strings.Join([]string{"", name, fmt.Sprintf("%.2f s", wall),
		fmt.Sprintf("%.2f – %.2f s", slices.Min(walls).Seconds(), slices.Max(walls).Seconds()), fmt.Sprintf("%.0f", float64(cmp.Or(j.of, size))/1e6/wall),
		fmt.Sprintf("%.2f s", measure.Median(cpu).Seconds()), fmt.Sprintf("%.0f MB", float64(peak)/1e6), stored,
		fmt.Sprintf("%.2f (%.2f – %.2f)", measure.Median(ratios), slices.Min(ratios), slices.Max(ratios)), j.note, ""}, " | ")[1:]
}
