package main

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"time"

	"example.com/snapd/bench/internal/measure"
)

// continuousTable prints medians, and of the ratios within each round their median.
func (f *field) continuousTable(w io.Writer, list []service, rates []float64, results map[string][]trial) {
	fmt.Fprintf(w, "%s, a CRM database of %d bytes in WAL mode, synchronous=NORMAL; %v of commits, then %v idle, then %d kills, in each of %d rounds.\n",
		time.Now().UTC().Format(time.DateOnly), f.bytes, f.o.duration, f.o.idle, f.o.kills, f.o.rounds)
	fmt.Fprintf(w, "%s/%s, %d processors, %s", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version())
	if v := f.have["litestream"]; v != "" {
		fmt.Fprintf(w, ", litestream %s", v)
	}
	fmt.Fprintln(w, ".")
	for _, rate := range rates {
		fmt.Fprintf(w, "\n**Next to %g commits a second**\n\n| | commits/s (÷ without) | p99 ms (÷ without) | longest ms | CPU, %% of one | stored, bytes a commit | most -wal, MB | restore of the last moment, s | of a middle one, s | lost by a kill, commits (ms) | idle: CPU %%, wake-ups/s, bytes written/s |\n|---|---|---|---|---|---|---|---|---|---|---|\n", rate)
		without := results[fmt.Sprint("nothing ", rate)]
		for _, s := range list {
			fmt.Fprintln(w, row(s.name, results[fmt.Sprint(s.name, " ", rate)], without, f.o.idle))
		}
	}
}

func row(name string, trials, without []trial, idle time.Duration) string {
	of := func(value func(trial) float64) float64 {
		var list []float64
		for _, t := range trials {
			list = append(list, value(t))
		}
		return measure.Median(list)
	}
	against := func(value func(load) float64) float64 {
		var list []float64
		for i, t := range trials {
			list = append(list, value(t.load)/value(without[i].load))
		}
		return measure.Median(list)
	}
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	p99 := func(l load) float64 { return ms(l.P99) }
	common := fmt.Sprintf("| %s | %.0f (%.2f) | %.2f (%.2f) | %.0f |", name, of(func(t trial) float64 { return t.load.rate() }), against(load.rate),
		of(func(t trial) float64 { return p99(t.load) }), against(p99), of(func(t trial) float64 { return ms(t.load.Longest) }))
	wal := fmt.Sprintf(" %.1f |", of(func(t trial) float64 { return float64(t.wal) / 1e6 }))
	if name == "nothing" {
		return common + " | |" + wal + " | | | |"
	}
	var commits []int64
	var spans []float64
	for _, t := range trials {
		for _, l := range t.losses {
			commits, spans = append(commits, l.commits), append(spans, ms(l.span))
		}
	}
	lost := "not tried"
	if len(commits) > 0 {
		lost = fmt.Sprintf("%d, at most %d (%.0f, at most %.0f)", measure.Median(commits), slices.Max(commits), measure.Median(spans), slices.Max(spans))
	}
	return common + fmt.Sprintf(" %.1f | %.0f |", of(func(t trial) float64 { return 100 * t.service.cpu.Seconds() / t.load.Took.Seconds() }),
		of(func(t trial) float64 { return float64(t.stored) / float64(t.load.Commits) })) + wal +
		fmt.Sprintf(" %.2f | %.2f, %.0f commits behind | %s |", of(func(t trial) float64 { return t.last.Seconds() }), of(func(t trial) float64 { return t.mid.Seconds() }),
			of(func(t trial) float64 { return float64(t.behind) }), lost) +
		fmt.Sprintf(" %.2f, %.1f, %.0f |", of(func(t trial) float64 { return 100 * t.idle.cpu.Seconds() / idle.Seconds() }),
			of(func(t trial) float64 { return float64(t.idle.wakeups) / idle.Seconds() }), of(func(t trial) float64 { return float64(t.idle.written) / idle.Seconds() }))
}
