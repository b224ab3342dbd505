package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"example.com/snapd/integrity"
	"example.com/snapd/internal/message"
)

const (
	// maxFirst is the width of the table's findings in characters: a longer message is
	// cut and printed whole below the table.
	maxFirst = 70
	// maxListed is how many findings of one of several files are printed.
	maxListed = 10
)

// printChecks writes a line for each file, then the findings that do not fit in
// one, and last how many there are of each verdict.
func printChecks(w io.Writer, all []checked, took time.Duration) {
	table(w, func(row func(...string)) {
		row("PATH", "VERDICT", "LEVEL", "FAILED AT", "TIME", "FINDING")
		for _, c := range all {
			first, _ := c.first()
			row(visible(c.path), c.verdict(), c.level.String(), c.failedAt(), duration(c.took), first)
		}
	})
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
		return s + "; snapd recover can repair it, and says whether rows are gone"
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
