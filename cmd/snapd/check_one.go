package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"example.com/snapd/integrity"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/message"
)

// checked is what came of one path.
type checked struct {
	path    string
	level   integrity.Level  // that was asked for
	report  integrity.Report // where failure is nil
	failure *checkError      // the check could not be made
	hint    string           // what to do about that
	took    time.Duration
}

type checkError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// MarshalJSON gives the report, or what stands in its place where there is none.
func (c checked) MarshalJSON() ([]byte, error) {
	if c.failure == nil {
		return json.Marshal(c.report)
	}
	return json.Marshal(struct {
		Path    string      `json:"path"`
		Verdict *string     `json:"verdict"` // null
		Error   *checkError `json:"error"`
	}{c.path, nil, c.failure})
}

// checkOne judges path; no bound where limit is 0.
func checkOne(ctx context.Context, path string, limit time.Duration, judge judgement) checked {
	c := checked{path: path}
	own, cancel := ctx, context.CancelFunc(func() {})
	if limit > 0 {
		own, cancel = context.WithTimeout(ctx, limit)
	}
	defer cancel()
	start := time.Now()
	report, err := judge(own, path)
	c.report, c.took = report, time.Since(start)
	if err == nil {
		return c
	}
	c.failure, c.hint = &checkError{codeOfCheck(err), message.OneLine(err.Error())}, hintOf(err)
	if c.failure.Code == integrity.ErrCodeCancelled && own.Err() != nil && ctx.Err() == nil {
		c.failure = &checkError{"timeout", fmt.Sprintf("check %s: no verdict after %s", path, limit)}
		c.hint = "--timeout allows it more time"
	}
	return c
}

// codeOfCheck is codeOf, except for a check's own code: a check that waited for a lock
// until the time was up is kept by the lock.
func codeOfCheck(err error) string {
	var failed *integrity.CheckError
	if errors.As(err, &failed) {
		return failed.Code
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return integrity.ErrCodeCancelled
	}
	return codeOf(err)
}

// judgement checks one path.
type judgement func(ctx context.Context, path string) (integrity.Report, error)

// judge returns what checks one path: the --db through its Manager, which
// remembers the verdict for status, and everything else by itself. Where no
// Manager can be opened, the verdict still can be had.
func (a *app) judge(l integrity.Level) judgement {
	own, err := livedb.Resolve(a.DB)
	if a.DB == "" || err != nil {
		own = ""
	}
	return func(ctx context.Context, path string) (integrity.Report, error) {
		o := integrity.Options{Level: l, Untrusted: true}
		if is, err := livedb.Resolve(path); own != "" && err == nil && is == own && !isArchive(path) {
			o.Untrusted = false
			if m, err := a.open(ctx, nil); err == nil {
				report, err := m.Check(ctx, l)
				report.Path = path // as it was named
				return report, err
			}
		}
		if isArchive(path) {
			return integrity.CheckArchive(ctx, path, o)
		}
		return integrity.Check(ctx, path, o)
	}
}

// isArchive recognises archives by their name or, read through livedb because it
// may be a live database, their first bytes: a zstd frame, or a skippable one.
func isArchive(path string) bool {
	f, err := livedb.Open(path)
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

// decisive is the finding that the verdict rests on, ok false without any.
func (c checked) decisive() (f integrity.Finding, ok bool) {
	if len(c.report.Findings) == 0 {
		return f, false
	}
	return c.report.Findings[0], true // the gravest come first
}

// status is the exit status that one file asks for.
func (c checked) status(strict bool) int {
	switch {
	case c.failure != nil && c.failure.Code == integrity.ErrCodeBusy:
		return exitBusy
	case c.failure != nil:
		return exitFailed
	case c.report.Damaged(), strict && c.report.Verdict == integrity.Violations:
		return exitCorrupt
	case c.report.Verdict == integrity.Missing:
		return exitMissing
	}
	return exitDone
}

// trouble says in one line what is wrong.
func (c checked) trouble() string {
	if c.failure != nil {
		return visible(c.failure.Message)
	}
	name := visible(c.path)
	switch c.report.Verdict {
	case integrity.Missing:
		return name + " is missing"
	case integrity.Violations:
		name += " breaks rules of its schema"
	default:
		name += " is damaged: " + string(c.report.Verdict)
	}
	if f, ok := c.decisive(); ok {
		name += fmt.Sprintf(": %s (%s)", visible(f.Message), f.Code)
	}
	return name
}
