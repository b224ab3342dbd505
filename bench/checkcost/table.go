package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"

	"example.com/snapd/bench/internal/measure"
)

// contestant is one program with its arguments, and what its runs took.
type contestant struct {
	name      string
	args      []string
	want      string // in its output
	yardstick bool   // the one that the others are compared with
	costs     []measure.Cost
}

func (c *contestant) run(ctx context.Context, dir string) error {
	cmd := exec.CommandContext(ctx, c.args[0], c.args[1:]...)
	cmd.Env = environment(dir)
	cost, out, err := measure.Run(cmd)
	if err != nil {
		return err
	}
	if !strings.Contains(string(out), c.want) {
		return fmt.Errorf("%s does not say %q but %q", c.name, c.want, out)
	}
	c.costs = append(c.costs, cost)
	return nil
}

func (c *contestant) wall() (walls []time.Duration) {
	for _, cost := range c.costs {
		walls = append(walls, cost.Wall)
	}
	return walls
}

// table prints the medians, and of the ratios within each round theirs.
func table(ctx context.Context, w io.Writer, db string, o options, list []*contestant) error {
	st, err := os.Stat(db)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "A CRM database of %d bytes in %s mode, healthy, in the page cache; %d rounds, in each every program once;\n", st.Size(), o.mode, o.rounds)
	fmt.Fprintf(w, "%s/%s, %d processors, %s", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version())
	var yardstick *contestant
	if i := slices.IndexFunc(list, func(c *contestant) bool { return c.yardstick }); i >= 0 {
		yardstick = list[i]
		version, err := exec.CommandContext(ctx, yardstick.args[0], "--version").Output()
		if err != nil {
			return fmt.Errorf("sqlite3 --version: %w", err)
		}
		number, _, _ := strings.Cut(string(version), " ")
		fmt.Fprintf(w, ", sqlite3 %s", number)
	}
	fmt.Fprint(w, ".\n\n| program | wall, median | min – max | MB/s | CPU | peak memory | × sqlite3 quick_check, same round |\n|---|---|---|---|---|---|---|\n")
	for _, c := range list {
		fmt.Fprintln(w, c.row(st.Size(), yardstick))
	}
	return nil
}

func (c *contestant) row(size int64, yardstick *contestant) string {
	var cpu []time.Duration
	var peak int64
	for _, cost := range c.costs {
		cpu, peak = append(cpu, cost.CPU), max(peak, cost.PeakBytes)
	}
	walls := c.wall()
	wall := measure.Median(walls).Seconds()
	memory, ratio := "?", "?"
	if peak > 0 {
		memory = fmt.Sprintf("%.0f MB", float64(peak)/1e6)
	}
	if yardstick != nil {
		var ratios []float64
		for i, d := range yardstick.wall() {
			ratios = append(ratios, walls[i].Seconds()/d.Seconds())
		}
		ratio = fmt.Sprintf("%.3f (%.3f – %.3f)", measure.Median(ratios), slices.Min(ratios), slices.Max(ratios))
	}
	return fmt.Sprintf("| `%s` | %.2f s | %.2f – %.2f s | %.0f | %.2f s | %s | %s |", c.name, wall,
		slices.Min(walls).Seconds(), slices.Max(walls).Seconds(), float64(size)/1e6/wall, measure.Median(cpu).Seconds(), memory, ratio)
}
