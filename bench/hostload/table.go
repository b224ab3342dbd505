package main

import (
	"fmt"
	"time"

	"example.com/snapd/bench/internal/measure"
)

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// each is a figure of every round.
func each[T any](rounds []T, figure func(T) float64) (all []float64) {
	for _, r := range rounds {
		all = append(all, figure(r))
	}
	return all
}

func (f *field) loadTable(title string, names []string, rounds [][]pair) {
	fmt.Fprintf(f.w, "\n**%s**\n\n| | commits/s | ÷ without | p50 ms | p99 ms | ÷ without | longest ms | backup s |\n|---|---|---|---|---|---|---|---|\n", title)
	for i, name := range names {
		r := rounds[i]
		row := func(name string, of func(pair) load, rate, p99, took string) {
			fmt.Fprintf(f.w, "| %s | %s | %s | %s | %s | %s | %s | %s |\n", name,
				measure.Span("%.0f", each(r, func(p pair) float64 { return of(p).rate() })), rate,
				measure.Span("%.3f", each(r, func(p pair) float64 { return ms(of(p).P50) })),
				measure.Span("%.2f", each(r, func(p pair) float64 { return ms(of(p).P99) })), p99,
				measure.Span("%.0f", each(r, func(p pair) float64 { return ms(of(p).Max) })), took)
		}
		row("without, just before", func(p pair) load { return p.idle }, "", "", "")
		row(name, func(p pair) load { return p.busy },
			measure.Span("%.2f", each(r, func(p pair) float64 { return p.busy.rate() / p.idle.rate() })),
			measure.Span("%.2f", each(r, func(p pair) float64 { return float64(p.busy.P99) / float64(p.idle.P99) })),
			measure.Span("%.2f", each(r, func(p pair) float64 { return p.busy.Took.Seconds() })))
	}
}

func (f *field) heldTable(title string, names []string, rounds [][]held) {
	fmt.Fprintf(f.w, "\n**%s**\n\n| | writer held off, ms | `cp`, ms | ÷ `cp` | longest commit, ms | without | p99 | without |\n|---|---|---|---|---|---|---|---|\n", title)
	for i, name := range names {
		span := func(format string, figure func(held) float64) string {
			return measure.Span(format, each(rounds[i], figure))
		}
		fmt.Fprintf(f.w, "| %s | %s | %s | %s | %s | %s | %s | %s |\n", name,
			span("%.0f", func(h held) float64 { return ms(h.busy.HeldOff) }),
			span("%.0f", func(h held) float64 { return ms(h.copied) }),
			span("%.2f", func(h held) float64 { return h.busy.HeldOff.Seconds() / h.copied.Seconds() }),
			span("%.0f", func(h held) float64 { return ms(h.busy.Max) }),
			span("%.0f", func(h held) float64 { return ms(h.idle.Max) }),
			span("%.1f", func(h held) float64 { return ms(h.busy.P99) }),
			span("%.1f", func(h held) float64 { return ms(h.idle.P99) }))
	}
}
