package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"example.com/snapd/integrity"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/livefile"
	"example.com/snapd/snapshot"
)

type checkCmd struct {
	Path  []string `arg:"" optional:"" help:"Databases or archives; default: the --db."`
	Level string   `enum:"header,probe,quick,full" default:"quick" placeholder:"LEVEL" help:"header, probe, quick or full (${default})."`
}

// uncheckable is the report of a check that could not be made.
type uncheckable struct {
	Path    string     `json:"path"`
	Verdict *string    `json:"verdict"` // null
	Error   checkError `json:"error"`
}

type checkError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

func (c *checkCmd) run(ctx context.Context, a *app) error {
	paths := c.Path
	if len(paths) == 0 {
		if a.DB == "" {
			return &usageError{"nothing to check", "name a file, or use --db PATH or SNAPD_DB"}
		}
		paths = []string{a.DB}
	}
	lvl, err := level(c.Level)
	if err != nil {
		return err
	}
	whole := a.judge(lvl)
	var sum tally
	reports := []any{}
	for _, path := range paths {
		a.console.progress("check "+path, 0, 0)
		report, err := whole(ctx, path)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		sum.add(path, report, err)
		if err != nil {
			reports = append(reports, uncheckable{Path: path, Error: checkError{codeOf(err), oneLine(err.Error())}})
			continue
		}
		reports = append(reports, report)
	}
	err = a.result(map[string]any{"reports": reports}, func(w io.Writer) { printReports(w, reports) })
	if err != nil {
		return err
	}
	return sum.outcome()
}

// judge returns what checks one path: the --db through its Manager, which
// remembers the verdict for status, and everything else by itself. Where no
// Manager can be opened, the verdict still can be had.
func (a *app) judge(l integrity.Level) func(context.Context, string) (integrity.Report, error) {
	own, err := livefile.Resolve(a.DB)
	if a.DB == "" || err != nil {
		own = ""
	}
	return func(ctx context.Context, path string) (integrity.Report, error) {
		if is, err := livefile.Resolve(path); own != "" && err == nil && is == own && !isArchive(path) {
			if m, err := a.open(nil); err == nil {
				report, err := m.Check(ctx, l)
				report.Path = path // as it was named
				return report, err
			}
		}
		return checkPath(ctx, path, l)
	}
}

// checkPath judges a database or an archive.
func checkPath(ctx context.Context, path string, l integrity.Level) (integrity.Report, error) {
	o := integrity.Options{Level: l}
	if !isArchive(path) {
		return integrity.Check(ctx, path, o)
	}
	r, err := archive.Open(path)
	switch {
	case errors.Is(err, archive.ErrDamaged), errors.Is(err, archive.ErrTruncated), errors.Is(err, archive.ErrNotArchive):
		at := integrity.LevelHeader
		return integrity.Report{Path: path, Verdict: integrity.Corrupt, Level: l, FailedAt: &at,
			Findings: []integrity.Finding{{Code: integrity.CodeArchive, Message: oneLine(err.Error())}}}, nil
	case err != nil:
		return integrity.Report{}, fmt.Errorf("check %s: %w", path, err)
	}
	defer r.Close()
	return integrity.CheckArchive(ctx, r, path, o)
}

// isArchive tells archives by their name or, read through livefile because it
// may be a live database, their first bytes: a zstd frame, or a skippable one.
func isArchive(path string) bool {
	f, err := livefile.Open(path)
	if err != nil {
		return false // the check of a database says what is wrong with it
	}
	defer f.Close()
	if strings.HasSuffix(path, ".zst") {
		return true
	}
	var magic [4]byte
	if _, err := f.ReadAt(magic[:], 0); err != nil {
		return false
	}
	// RFC 8878 §3.1.1 and §3.1.2.
	m := binary.LittleEndian.Uint32(magic[:])
	return m == 0xFD2FB528 || m&^0xF == 0x184D2A50
}

// tally sums up what several checks mean for the exit status.
type tally struct {
	corrupt, missing, failed, busy int
	first                          string // what is wrong with the first bad one
}

func (t *tally) add(path string, r integrity.Report, err error) {
	what := ""
	switch {
	case err != nil && codeOf(err) == "busy":
		t.busy++
		what = oneLine(err.Error())
	case err != nil:
		t.failed++
		what = oneLine(err.Error())
	case r.Damaged():
		t.corrupt++
		what = (&snapshot.CorruptError{What: path, Report: r}).Error()
	case r.Verdict == integrity.Missing:
		t.missing++
		what = path + " is missing"
	}
	if t.first == "" {
		t.first = what
	}
}

// outcome: damage outweighs what could not be checked, and that what is not there.
func (t *tally) outcome() error {
	switch {
	case t.corrupt > 0:
		return &outcome{exitCorrupt, t.first}
	case t.failed > 0:
		return &outcome{exitFailed, t.first}
	case t.busy > 0:
		return &outcome{exitBusy, t.first}
	case t.missing > 0:
		return &outcome{exitMissing, t.first}
	}
	return nil
}

func printReports(w io.Writer, reports []any) {
	for _, any := range reports {
		switch r := any.(type) {
		case uncheckable:
			fmt.Fprintf(w, "%s: could not be checked: %s\n", r.Path, r.Error.Message)
		case integrity.Report:
			fmt.Fprintf(w, "%s: %s (%s check, %s)\n", r.Path, strings.ReplaceAll(string(r.Verdict), "_", " "), r.Level, millis(r.DurationMS))
			for _, f := range r.Findings {
				mend := ""
				if f.Repair != "" {
					mend = "; SQLite's REINDEX mends it"
				}
				fmt.Fprintf(w, "  %s: %s%s\n", f.Code, f.Message, mend)
			}
		}
	}
}
