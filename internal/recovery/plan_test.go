package recovery

import (
	"encoding/json"
	"errors"
	"example.com/snapd/internal/failure"
	"fmt"
	"strings"
	"testing"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/integrity"
	"example.com/snapd/internal/catalogfile"
	"example.com/snapd/internal/repair"
	"example.com/snapd/internal/sqlite"
)

// backupAt is a backup that reaches up to a frame of the log with those salts; 0 for none.
func backupAt(id string, frame int64) catalog.Entry {
	b := catalog.Entry{ID: id, File: id + ".db.zst", CreatedAt: time.Date(2025, 10, 31, 12, 0, 0, 0, time.UTC), DatabaseBytes: 4096}
	if frame > 0 {
		raw, err := json.Marshal(catalogfile.Origin{Log: &sqlite.LogPosition{Salts: "salts", Frame: frame}})
		if err != nil {
			panic(err)
		}
		b.Source = raw
	}
	return b
}

// Every decision that a recovery makes, for the facts it has, in the order it tries them.
func TestDecide(t *testing.T) {
	t.Parallel()
	var (
		one     = []catalog.Entry{backupAt("new", 0)}
		two     = []catalog.Entry{backupAt("new", 9), backupAt("old", 3)}
		damaged = integrity.Report{Verdict: integrity.Corrupt, Findings: []integrity.Finding{{Message: "page 4 is torn"}}}
		inUse   = failure.As(failure.ErrBusy, errors.New("python3 (pid 395) has data.db open"))
		busy    = errors.New("rows have the same key")
	)
	tried := func(dropped, frame int64) repairFacts {
		return repairFacts{hope: true, tried: true, result: repair.Result{Dropped: dropped, LogSalts: "salts", LogFrame: frame}}
	}
	// compared is a repair without loss, next to a newest backup that lacks and has so many rows.
	compared := func(loses, only int64, unchanged bool) repairFacts {
		f := tried(0, 0)
		f.backupLoses, f.unchanged = &loses, unchanged
		if only > 0 {
			f.result.BackupOnly = []repair.Loss{{Table: "t", Gone: only}}
		}
		return f
	}
	for name, c := range map[string]struct {
		facts  facts
		action Action
		ways   string // action:backup…, in order
		reason string // is in the reason
		err    error
	}{
		"healthy":    {facts{verdict: integrity.Healthy, candidates: two}, ActionNone, "", "usable", nil},
		"violations": {facts{verdict: integrity.Violations, candidates: two}, ActionNone, "", "usable", nil},

		"missing":                     {facts{verdict: integrity.Missing, candidates: one, onMissing: MissingRestore}, ActionRestored, "restored:new", "missing", nil},
		"empty":                       {facts{verdict: integrity.Empty, candidates: one, onMissing: MissingRestore}, ActionRestored, "restored:new", "zero bytes", nil},
		"empty and open":              {facts{verdict: integrity.Empty, candidates: one, onMissing: MissingRestore, inUse: inUse}, ActionWaiting, "restored:new", "395", failure.ErrBusy},
		"missing without backups":     {facts{verdict: integrity.Missing, onMissing: MissingRestore}, ActionNone, "", "no backup", nil},
		"missing, to be ignored":      {facts{verdict: integrity.Missing, candidates: one, onMissing: MissingIgnore}, ActionNone, "", "ignored", nil},
		"missing, a failure":          {facts{verdict: integrity.Missing, candidates: one, onMissing: MissingFail}, ActionNone, "", "error here", failure.ErrMissing},
		"missing, nothing to fail by": {facts{verdict: integrity.Missing, onMissing: MissingFail}, ActionNone, "", "no backup", nil},

		"missing, none usable":             {facts{verdict: integrity.Missing, stored: 1, onMissing: MissingRestore}, ActionNone, "", "of 1 stored backups none", failure.ErrNoUsableBackup},
		"empty, none usable":               {facts{verdict: integrity.Empty, stored: 2, onMissing: MissingRestore}, ActionNone, "", "zero bytes, and of 2", failure.ErrNoUsableBackup},
		"missing, none usable, ignored":    {facts{verdict: integrity.Missing, stored: 1, onMissing: MissingIgnore}, ActionNone, "", "ignored", nil},
		"missing, none usable, to fail by": {facts{verdict: integrity.Missing, stored: 1, onMissing: MissingFail}, ActionNone, "", "error here", failure.ErrMissing},

		"corrupt":                 {facts{report: damaged, candidates: two}, ActionRestored, "restored:new+old", "page 4 is torn", nil},
		"corrupt and open":        {facts{report: damaged, candidates: two, inUse: inUse}, ActionWaiting, "restored:new+old", "395", failure.ErrBusy},
		"corrupt without backups": {facts{report: damaged}, ActionNone, "", "no backup", failure.ErrNoUsableBackup},
		"nothing helps, and open": {facts{report: damaged, inUse: inUse}, ActionNone, "", "no backup", failure.ErrNoUsableBackup},
		"not a database":          {facts{verdict: integrity.NotADatabase, candidates: one}, ActionRestored, "restored:new", "no database", nil},

		"hope":                         {facts{report: damaged, candidates: two, repair: repairFacts{hope: true}}, ActionRepaired, "repaired, restored:new+old", "may make whole", nil},
		"hope without backups":         {facts{report: damaged, repair: repairFacts{hope: true}}, ActionRepaired, "repaired", "may make whole", nil},
		"hope, but open":               {facts{report: damaged, repair: repairFacts{hope: true}, inUse: inUse}, ActionWaiting, "repaired", "395", failure.ErrBusy},
		"repair loses nothing":         {facts{report: damaged, candidates: two, repair: tried(0, 0)}, ActionRepaired, "repaired, restored:new+old", "loses nothing", nil},
		"repair loses, without backup": {facts{report: damaged, repair: tried(2, 5)}, ActionRepaired, "repaired", "still proves", nil},
		"repair failed":                {facts{report: damaged, candidates: two, repair: repairFacts{hope: true, tried: true, failed: busy}}, ActionRestored, "restored:new+old", "same key", nil},
		"repair failed, no backup":     {facts{report: damaged, repair: repairFacts{hope: true, tried: true, failed: busy}}, ActionNone, "", "same key", failure.ErrNoUsableBackup},

		"backup reaches further":        {facts{report: damaged, candidates: two, repair: tried(2, 5)}, ActionRestored, "restored:new, repaired", "loses less", nil},
		"log cut off before backup":     {facts{report: damaged, candidates: two, repair: tried(0, 5)}, ActionRestored, "restored:new, repaired", "loses less", nil},
		"repair reaches as far":         {facts{report: damaged, candidates: two, repair: tried(2, 9)}, ActionRepaired, "repaired, restored:new+old", "still proves", nil},
		"backup has more":               {facts{report: damaged, candidates: two, repair: compared(0, 3, false)}, ActionRestored, "restored:new, repaired", "and 3 more", nil},
		"nothing committed since":       {facts{report: damaged, candidates: two, repair: compared(2, 1, true)}, ActionRestored, "restored:new, repaired", "nothing was committed", nil},
		"nothing committed, same rows":  {facts{report: damaged, candidates: two, repair: compared(0, 0, true)}, ActionRepaired, "repaired, restored:new+old", "loses nothing", nil},
		"either has rows of its own":    {facts{report: damaged, candidates: two, repair: compared(2, 3, false)}, ActionRepaired, "repaired, restored:new+old", "lacks 3 and has 0 otherwise", nil},
		"rows are only in the backup's": {facts{report: damaged, candidates: nil, repair: compared(0, 3, true)}, ActionRepaired, "repaired", "lacks 3", nil},

		"backup of another generation": {facts{report: damaged, candidates: []catalog.Entry{backupAt("new", 0)}, repair: tried(2, 5)}, ActionRepaired, "repaired, restored:new", "still proves", nil},
	} {
		t.Run(name, func(t *testing.T) {
			if c.facts.verdict == "" {
				c.facts.verdict = c.facts.report.Verdict
			}
			c.facts.stored = max(c.facts.stored, len(c.facts.candidates))
			p := decide(c.facts)
			if p.Action != c.action || p.Verdict != c.facts.verdict || !strings.Contains(p.Reason, c.reason) {
				t.Errorf("%s because %q, want %s because of %q", p.Action, p.Reason, c.action, c.reason)
			}
			if got := describe(p.Options); got != c.ways {
				t.Errorf("ways out %q, want %q", got, c.ways)
			}
			if !errors.Is(p.Err, c.err) || c.err == nil && p.Err != nil {
				t.Errorf("error %v, want %v", p.Err, c.err)
			}
			for i, o := range p.Options {
				if o.Chosen != (i == 0 && p.Action != ActionWaiting) || o.Loses == "" || o.Proven != (o.Action == ActionRepaired && c.facts.repair.tried) {
					t.Errorf("option %+v", o)
				}
			}
			if p.Options == nil {
				t.Error("options are null")
			}
		})
	}
}

// describe lists ways out.
func describe(options []Option) string {
	var ways []string
	for _, o := range options {
		way := string(o.Action)
		for i, b := range o.from {
			way += map[bool]string{true: ":", false: "+"}[i == 0] + b.ID
		}
		if (o.Backup == nil) != (len(o.from) == 0) || o.Backup != nil && *o.Backup != o.from[0].ID {
			way += fmt.Sprintf(" (says %v)", o.Backup)
		}
		ways = append(ways, way)
	}
	return strings.Join(ways, ", ")
}

// A repair of a log that is cut off before the newest backup loses at least what that
// backup has, although the log shows no transaction that was dropped.
func TestPlanCountsWhatTheBackupHolds(t *testing.T) {
	t.Parallel()
	p := decide(facts{verdict: integrity.Corrupt, candidates: []catalog.Entry{backupAt("new", 9)},
		repair: repairFacts{hope: true, tried: true, result: repair.Result{LogSalts: "salts", LogFrame: 5}}})
	if len(p.Options) != 2 || *p.Options[1].LosesTransactions != 1 || strings.HasPrefix(p.Options[1].Loses, "nothing") {
		t.Errorf("%+v", p.Options)
	}
}
