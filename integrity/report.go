package integrity

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Bounds of a report, for any output of the engine.
const (
	// MaxFindings is the largest number of findings a report keeps; a last one
	// with CodeMore says that there were others.
	MaxFindings = 100
	// MaxMessage is the largest length of one finding's message in bytes.
	MaxMessage = 500
)

// Finding is one thing that a check saw.
type Finding struct {
	// Code is stable; see the Code constants.
	Code Code `json:"code"`
	// Message is for a person; at most MaxMessage bytes.
	Message string `json:"message"`
	// Repair says how the finding is repaired where the tables are whole: RepairReindex,
	// RepairRebuild, or "" for not at all.
	Repair string `json:"repair,omitempty"`
	// Table, Index and Page say where it is; empty and 0 where that is not known, or
	// no one place.
	Table string `json:"table,omitempty"`
	Index string `json:"index,omitempty"`
	Page  int64  `json:"page,omitempty"`
	// Object is that of the schema whose row or SQL is damaged.
	Object string `json:"object,omitempty"`
	// Rows says how much of Table can be read; of CodeRowsReadable only.
	Rows *RowCount `json:"rows,omitempty"`

	// root is the root page of the tree that the finding is in, until nameTrees gives
	// the tree its name; 0 for none.
	root int64
}

const (
	// RepairReindex marks findings that SQLite's REINDEX makes go away. Where the table has lost
	// rows, it also makes go away the last trace of them.
	RepairReindex = "reindex"
	// RepairRebuild marks damage to structures derived from the tables (the tree of an
	// index, the list of free pages, back references): REINDEX alone fails on it,
	// a recovery rebuilds it.
	RepairRebuild = "rebuild"
)

// Report is the outcome of one check.
type Report struct {
	Path    string  `json:"path"`
	Verdict Verdict `json:"verdict"`
	// Level is the level that was asked for.
	Level Level `json:"level"`
	// FailedAt is the lowest level that proved damage; nil when none did.
	// Deeper levels than it have not run.
	FailedAt *Level `json:"failed_at"`
	// Findings is never nil; at most MaxFindings+1. Damage comes before broken rules,
	// and these before information.
	Findings   []Finding `json:"findings"`
	DurationMS int64     `json:"duration_ms"`
}

// Damaged reports whether the file as it stands is beyond use: corrupt or not a database.
func (r Report) Damaged() bool { return r.Verdict == Corrupt || r.Verdict == NotADatabase }

// FullOnly reports whether there is damage that only a full check sees.
func (r Report) FullOnly() bool { return r.Damaged() && r.FailedAt != nil && *r.FailedAt == LevelFull }

// MarshalJSON keeps "findings" an array where a caller made a Report without any.
func (r Report) MarshalJSON() ([]byte, error) {
	type plain Report
	if r.Findings == nil {
		r.Findings = []Finding{}
	}
	return json.Marshal(plain(r))
}

// results gathers findings and the verdict they amount to.
type results struct {
	findings []Finding
	more     bool // findings were left out
	worst    Severity
	only     func(Code) bool // what else is found does not count; nil for nothing
	// verdict overrides what worst gives: empty, missing, not_a_database.
	verdict Verdict
	sample  []byte // the file's beginning, to explain damage by; nil for none
	doubt   *doubt // that the log is the file's own; nil for none
}

// add files a finding under its code.
func (t *results) add(code Code, format string, args ...any) {
	t.addAt(Finding{}, code, format, args...)
}

// addAt is add for a finding whose place is known: at has it.
func (t *results) addAt(at Finding, code Code, format string, args ...any) {
	at.Code, at.Message, at.Repair = code, fmt.Sprintf(format, args...), code.kind().repair
	t.file(at)
}

// file keeps a finding. Equal ones are kept once; where there is no room, a graver
// one takes the place of a lighter one.
func (t *results) file(f Finding) {
	if t.only != nil && !t.only(f.Code) {
		return
	}
	f.Message, f.Table, f.Index, f.Object = bounded(f.Message), bounded(f.Table), bounded(f.Index), bounded(f.Object)
	t.worst = max(t.worst, f.Code.Severity())
	if slices.Contains(t.findings, f) {
		return
	}
	if len(t.findings) < MaxFindings {
		t.findings = append(t.findings, f)
		return
	}
	t.more = true
	for i := len(t.findings) - 1; i >= 0; i-- {
		if t.findings[i].Code.Severity() < f.Code.Severity() {
			t.findings[i] = f
			return
		}
	}
}

// keep files a finding that has its place in a full report, too.
func (t *results) keep(f Finding) {
	if len(t.findings) == MaxFindings {
		t.findings, t.more = t.findings[:MaxFindings-1], true
	}
	t.file(f)
}

// merge adds the findings of another results.
func (t *results) merge(o results) {
	for _, f := range o.findings {
		t.file(f)
	}
	t.more = t.more || o.more
	t.worst = max(t.worst, o.worst)
	if o.verdict != "" {
		t.verdict = o.verdict
	}
}

// damaged reports whether the findings prove damage, so that deeper levels need not run.
func (t *results) damaged() bool { return t.worst >= SeverityDamage || t.verdict != "" }

func (t *results) report(path string, level Level, failed *Level, start time.Time) Report {
	r := Report{
		Path: path, Verdict: t.verdict, Level: level, FailedAt: failed,
		Findings:   append([]Finding{}, t.findings...),
		DurationMS: time.Since(start).Milliseconds(),
	}
	for i := range r.Findings {
		r.Findings[i].root = 0
	}
	slices.SortStableFunc(r.Findings, func(a, b Finding) int { return int(b.Code.Severity() - a.Code.Severity()) })
	if why := cmp.Or(mangled(t.sample), lineEndsCut(t.sample)); why != "" && t.damaged() && t.verdict == "" {
		r.Findings = slices.Insert(r.Findings, 0, Finding{Code: CodeMangled, Message: why})
	}
	if t.more {
		r.Findings = append(r.Findings, Finding{Code: CodeMore, Message: fmt.Sprintf("there is more: only %d findings are listed", MaxFindings)})
	}
	if r.Verdict != "" {
		return r
	}
	switch t.worst {
	case SeverityInfo:
		r.Verdict = Healthy
	case SeverityViolation:
		r.Verdict = Violations
	default:
		r.Verdict = Corrupt
	}
	return r
}

// bounded makes text from a file fit to be shown: valid UTF-8, no control
// characters, at most MaxMessage bytes.
func bounded(s string) string {
	if len(s) > 4*MaxMessage {
		s = s[:4*MaxMessage]
	}
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			return '?'
		}
		return r
	}, s)
	if len(s) <= MaxMessage {
		return s
	}
	cut := MaxMessage - len("…")
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}
