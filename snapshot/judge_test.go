package snapshot

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/integrity"
	"example.com/snapd/internal/catalogfile"
	"example.com/snapd/internal/lineage"
	"example.com/snapd/internal/schedule"
)

// Lost: the truth about the protection. Each case changes one fact of a protected database.
func TestStatusFollowsFromFacts(t *testing.T) {
	t.Parallel()
	now := time.Date(2031, 3, 5, 12, 0, 0, 0, time.UTC)
	outcome := func(at time.Time, code string) map[catalog.Trigger]catalog.Outcome {
		return map[catalog.Trigger]catalog.Outcome{catalog.TriggerSchedule: {At: at, Code: code, Message: "backup: the disk is full"}}
	}
	for name, c := range map[string]struct {
		edit func(*facts)
		want Why
		says string
	}{
		"recent":                 {func(*facts) {}, WhyRecent, "taken 3 hours ago"},
		"unchanged":              {func(f *facts) { f.covered = true }, WhyUnchanged, "unchanged since"},
		"unchanged, however old": {func(f *facts) { f.covered = true; f.now = now.AddDate(1, 0, 0) }, WhyUnchanged, "1 year ago"},
		"none":                   {func(f *facts) { f.latest, f.stored = nil, 0 }, WhyNoBackup, "no verified backup"},
		"none verified":          {func(f *facts) { f.latest = nil }, WhyUnverified, "of 4 that are stored"},
		"archive gone":           {func(f *facts) { f.archive = catalogfile.ErrArchiveGone; f.probeErr = errors.New("busy") }, WhyArchiveGone, "data_1.db.zst"},
		"not looked at":          {func(f *facts) { f.probeErr = errors.New("locked") }, WhyCheckFailed, "could not be checked: locked"},
		"damaged":                {func(f *facts) { f.probe.Verdict = integrity.Corrupt; f.covered = true }, WhyDamaged, "no longer backed up"},
		"damaged below":          {func(f *facts) { f.state.LastCheck = &catalog.CheckOutcome{At: now, Verdict: "corrupt"} }, WhyDamaged, "damaged"},
		"damaged, but backed up since": {func(f *facts) {
			f.state.LastCheck = &catalog.CheckOutcome{At: now.Add(-time.Hour), Verdict: "corrupt"}
			f.state.LastSuccess = outcome(now, "")
		}, WhyRecent, ""},
		"missing":            {func(f *facts) { f.probe.Verdict = integrity.Missing }, WhyMissing, "the database is missing"},
		"missing, as it was": {func(f *facts) { f.probe.Verdict = integrity.Empty; f.latest.DatabaseBytes = 0 }, WhyRecent, ""},
		"failed":             {func(f *facts) { f.state.LastFailure = outcome(now, "no_space") }, WhyFailed, "failed: the disk is full"},
		"failed before": {func(f *facts) {
			f.state.LastFailure, f.state.LastSuccess = outcome(now.Add(-time.Hour), "no_space"), outcome(now, "")
		}, WhyRecent, ""},
		"failed for damage that a restore repaired": {func(f *facts) {
			f.state.LastFailure = outcome(now.Add(-time.Hour), "missing")
			f.state.LastRestore = &catalog.RestoreOutcome{At: now}
		}, WhyRecent, ""},
		"failed while it was missing": {func(f *facts) { f.state.LastFailure = outcome(now, "missing") }, WhyRecent, ""},
		"emptied": {func(f *facts) {
			f.broken, f.covered = &Break{At: now.Add(-time.Hour), Cause: lineage.Emptied, What: "no rows", Before: new("data_0")}, true
		}, WhyBreak, "the database was emptied 1 hour ago: no rows. The backups from before are kept: restore data_0 brings it back"},
		"emptied, and nothing is left from before": {func(f *facts) { f.broken = &Break{At: now, Cause: lineage.Emptied, What: "no rows"} },
			WhyBreak, "are kept; accept says"},
		"replaced by one like it": {func(f *facts) { f.broken = &Break{At: now, Cause: lineage.Replaced, What: "another file"} }, WhyRecent, ""},
		"the link leads away":     {func(f *facts) { f.broken = &Break{At: now, Cause: lineage.Link, What: "data.db leads to x"} }, WhyBreak, "data.db leads to x"},
		"damaged and emptied": {func(f *facts) {
			f.probe.Verdict, f.broken = integrity.Corrupt, &Break{At: now, Cause: lineage.Emptied}
		}, WhyDamaged, ""},
		"accepted, not backed up": {func(f *facts) { f.unsaved = true }, WhyBreak, "no verified backup of the database as it was accepted"},
		"of the future":           {func(f *facts) { f.latest.CreatedAt = now.Add(time.Hour) }, WhyClock, "the clock was or is wrong"},
		"overdue":                 {func(f *facts) { f.now = now.Add(10 * time.Hour) }, WhyOverdue, "was due 1 hour ago"},
		"within slack":            {func(f *facts) { f.now = now.Add(9*time.Hour + grace) }, WhyRecent, "12 hours ago"},
		"nothing promised":        {func(f *facts) { f.now, f.promised = now.AddDate(1, 0, 0), Schedule{} }, WhyRecent, "1 year ago"},
		"exposed":                 {func(f *facts) { f.exposed = "can be written by others"; f.covered = true }, WhyExposed, "by others"},
	} {
		f := facts{now: now, slack: grace, stored: 4, promised: schedule.Every(12 * time.Hour), probe: Report{Verdict: integrity.Healthy},
			latest: &Backup{ID: "data_1", File: "data_1.db.zst", CreatedAt: now.Add(-3 * time.Hour), DatabaseBytes: 1}}
		c.edit(&f)
		s := f.status()
		want := AtRisk
		switch c.want {
		case WhyRecent, WhyUnchanged:
			want = Protected
		case WhyNoBackup, WhyUnverified:
			want = Unprotected
		}
		if s.Code != c.want || s.State != want || !strings.Contains(s.Reason, c.says) {
			t.Errorf("%s: %s, %s: %s; want %s, %s: %q", name, s.State, s.Code, s.Reason, want, c.want, c.says)
		}
		if (s.NewestVerified == nil) != (f.latest == nil || f.archive != nil) || (s.Database.Verdict == nil) != (f.probeErr != nil) {
			t.Errorf("%s: newest %v, verdict %v", name, s.NewestVerified, s.Database.Verdict)
		}
	}
}

// Lost: which backup undoes the last restore, and how long the next one takes.
func TestFactsOfTheLastRestore(t *testing.T) {
	t.Parallel()
	verified := catalog.Verification{State: catalog.Verified}
	all := []Backup{
		{ID: "new", Seq: 4}, {ID: "good", Seq: 3, Verification: verified, DatabaseBytes: 200 << 20},
		{ID: "safety", Seq: 2, Verification: verified}, {ID: "old", Seq: 1, Verification: verified, DatabaseBytes: 100 << 20},
	}
	at := time.Date(2031, 3, 5, 12, 0, 0, 0, time.UTC)
	f := facts{state: catalog.State{LastRestore: &catalog.RestoreOutcome{ID: "old", Safety: "safety", At: at, DurationMS: 1000},
		LastDrill: &catalog.DrillOutcome{At: at.Add(-time.Hour)}}}
	f.count(slices.Values(all))
	s := f.status()
	if f.stored != 4 || f.latest.ID != "good" || s.LastRestore.Undo == nil || *s.LastRestore.Undo != "safety" || s.LastRestore.Action != "restore" {
		t.Errorf("%d stored, %+v, %+v", f.stored, f.latest, s.LastRestore)
	}
	if ms := s.EstimatedRestoreMS; ms == nil || *ms != 2000 {
		t.Errorf("twice the bytes take %v", ms)
	}
	f.state.LastDrill.At = at.Add(time.Hour)
	if ms := f.restoreTime(); ms == nil || *ms == 2000 {
		t.Errorf("a newer drill says it: %v", ms)
	}
}
