package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/dustin/go-humanize"

	"example.com/snapd/integrity"
	"example.com/snapd/internal/message"
)

// Widths in characters: a longer path shifts its own line, not all
// others; a longer message is cut and stands whole below the table.
const (
	maxPathColumn = 60
	maxFirst      = 70
	// maxListed is how many findings of one of several files are printed.
	maxListed = 10
)

// printChecks writes a line for each file, then the findings that do not fit in
// one, and last how many there are of each verdict.
func printChecks(w io.Writer, all []checked, took time.Duration) {
	rows := [][]string{{"PATH", "VERDICT", "LEVEL", "FAILED AT", "TIME", "FINDING"}}
	for _, c := range all {
		first, _ := c.first()
		rows = append(rows, []string{visible(c.path), c.verdict(), c.level.String(), c.failedAt(), duration(c.took), first})
	}
	columns(w, rows)
	for _, c := range all {
		if _, whole := c.first(); whole {
			continue
		}
		fmt.Fprintf(w, "\n%s: %s\n", visible(c.path), c.verdict())
		lines := c.findings()
		for i, line := range lines {
			if i == maxListed && len(all) > 1 {
				fmt.Fprintf(w, "  … and %d more; --json has them\n", len(lines)-i)
				break
			}
			fmt.Fprintf(w, "  %s\n", line)
		}
	}
	if len(all) > 1 {
		fmt.Fprintf(w, "\n%s checked in %s: %s\n", humanize.Comma(int64(len(all))), duration(took), countVerdicts(all))
	}
}

// verdict in words.
func (c checked) verdict() string {
	if c.failure != nil {
		return "not checked"
	}
	return strings.ReplaceAll(string(c.report.Verdict), "_", " ")
}

func (c checked) failedAt() string {
	if c.failure != nil || c.report.FailedAt == nil {
		return "-"
	}
	return c.report.FailedAt.String()
}

// first is the table's cell for the findings, and whether it is complete.
func (c checked) first() (cell string, whole bool) {
	lines := c.findings()
	if len(lines) == 0 {
		return "", true
	}
	line := lines[0]
	if f, ok := c.decisive(); ok && c.failure == nil {
		line = findingLine(f)
	}
	cell = short(line, maxFirst)
	if n := len(lines) - 1; n > 0 {
		return fmt.Sprintf("%s (+%d)", cell, n), false
	}
	return cell, cell == line
}

// findings are lines for people: all that was found, or why nothing could be.
func (c checked) findings() []string {
	if c.failure != nil {
		why := strings.TrimPrefix(c.failure.Message, "check "+message.OneLine(c.path)+": ")
		if c.hint != "" {
			why += "; " + c.hint
		}
		return []string{c.failure.Code + ": " + visible(why)}
	}
	lines := make([]string, 0, len(c.report.Findings))
	for _, f := range c.report.Findings {
		lines = append(lines, findingLine(f))
	}
	return lines
}

func findingLine(f integrity.Finding) string {
	s := string(f.Code) + ": " + visible(f.Message)
	switch f.Repair {
	case "":
		return s
	case integrity.RepairReindex:
		return s + "; SQLite's REINDEX repairs it"
	}
	return s + "; snapd recover can repair it"
}

// countVerdicts lists how many files there are of each verdict.
func countVerdicts(all []checked) string {
	counts := map[string]int{}
	for _, c := range all {
		counts[c.verdict()]++
	}
	var parts []string
	for _, verdict := range []string{"healthy", "violations", "corrupt", "not a database", "empty", "missing", "not checked"} {
		if n := counts[verdict]; n > 0 {
			parts = append(parts, humanize.Comma(int64(n))+" "+strings.Replace(verdict, "violations", "with violations", 1))
		}
	}
	return strings.Join(parts, ", ")
}

// columns writes rows aligned, with two blanks between the cells and none at the
// end of a line. Only the first column may overflow: see maxPathColumn.
func columns(w io.Writer, rows [][]string) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	widths[0] = min(widths[0], maxPathColumn)
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			fmt.Fprintf(&line, "%-*s  ", widths[i], cell)
		}
		fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
	}
}

// visible makes text from any source fit for a terminal: what does not print, or
// is no UTF-8, becomes an escape as in Go's strings, so that nothing moves the cursor
// or the direction of writing, and different names stay different.
func visible(s string) string {
	plain := func(r rune) bool { return r != utf8.RuneError && strconv.IsPrint(r) }
	if strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		if plain(r) {
			b.WriteString(s[:n])
		} else {
			q := strconv.Quote(s[:n])
			b.WriteString(q[1 : len(q)-1])
		}
		s = s[n:]
	}
	return b.String()
}
