package protection

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/integrity"
	"example.com/snapd/internal/breaks"
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
		edit func(*Facts)
		want Why
		says string
	}{
		"recent":                 {func(*Facts) {}, WhyRecent, "taken 3 hours ago"},
		"unchanged":              {func(f *Facts) { f.Covered = true }, WhyUnchanged, "unchanged since"},
		"unchanged, however old": {func(f *Facts) { f.Covered = true; f.Now = now.AddDate(1, 0, 0) }, WhyUnchanged, "1 year ago"},
		"none":                   {func(f *Facts) { f.Latest, f.Stored = nil, 0 }, WhyNoBackup, "no verified backup"},
		"none verified":          {func(f *Facts) { f.Latest = nil }, WhyUnverified, "of 4 that are stored"},
		"archive gone":           {func(f *Facts) { f.Archive = catalogfile.ErrArchiveGone; f.ProbeErr = errors.New("busy") }, WhyArchiveGone, "data_1.db.zst"},
		"not looked at":          {func(f *Facts) { f.ProbeErr = errors.New("locked") }, WhyCheckFailed, "could not be checked: locked"},
		"damaged":                {func(f *Facts) { f.Probe.Verdict = integrity.Corrupt; f.Covered = true }, WhyDamaged, "no longer backed up"},
		"damaged below":          {func(f *Facts) { f.State.LastCheck = &catalog.CheckOutcome{At: now, Verdict: "corrupt"} }, WhyDamaged, "damaged"},
		"damaged, but backed up since": {func(f *Facts) {
			f.State.LastCheck = &catalog.CheckOutcome{At: now.Add(-time.Hour), Verdict: "corrupt"}
			f.State.LastSuccess = outcome(now, "")
		}, WhyRecent, ""},
		"missing":            {func(f *Facts) { f.Probe.Verdict = integrity.Missing }, WhyMissing, "the database is missing"},
		"missing, as it was": {func(f *Facts) { f.Probe.Verdict = integrity.Empty; f.Latest.DatabaseBytes = 0 }, WhyRecent, ""},
		"failed":             {func(f *Facts) { f.State.LastFailure = outcome(now, "no_space") }, WhyFailed, "failed: the disk is full"},
		"failed before": {func(f *Facts) {
			f.State.LastFailure, f.State.LastSuccess = outcome(now.Add(-time.Hour), "no_space"), outcome(now, "")
		}, WhyRecent, ""},
		"failed for damage that a restore repaired": {func(f *Facts) {
			f.State.LastFailure = outcome(now.Add(-time.Hour), "missing")
			f.State.LastRestore = &catalog.RestoreOutcome{At: now}
		}, WhyRecent, ""},
		"failed while it was missing": {func(f *Facts) { f.State.LastFailure = outcome(now, "missing") }, WhyRecent, ""},
		"emptied": {func(f *Facts) {
			f.Broken, f.Covered = &breaks.Break{At: now.Add(-time.Hour), Cause: lineage.Emptied, What: "no rows", Before: new("data_0")}, true
		}, WhyBreak, "the database was emptied 1 hour ago: no rows. The backups from before are kept: restore data_0 brings it back"},
		"emptied, and nothing is left from before": {func(f *Facts) { f.Broken = &breaks.Break{At: now, Cause: lineage.Emptied, What: "no rows"} },
			WhyBreak, "are kept; accept says"},
		"replaced by one like it": {func(f *Facts) { f.Broken = &breaks.Break{At: now, Cause: lineage.Replaced, What: "another file"} }, WhyRecent, ""},
		"the link leads away":     {func(f *Facts) { f.Broken = &breaks.Break{At: now, Cause: lineage.Link, What: "data.db leads to x"} }, WhyBreak, "data.db leads to x"},
		"damaged and emptied": {func(f *Facts) {
			f.Probe.Verdict, f.Broken = integrity.Corrupt, &breaks.Break{At: now, Cause: lineage.Emptied}
		}, WhyDamaged, ""},
		"accepted, not backed up": {func(f *Facts) { f.Unsaved = true }, WhyBreak, "no verified backup of the database as it was accepted"},
		"of the future":           {func(f *Facts) { f.Latest.CreatedAt = now.Add(time.Hour) }, WhyClock, "the clock was or is wrong"},
		"overdue":                 {func(f *Facts) { f.Now = now.Add(10 * time.Hour) }, WhyOverdue, "was due 1 hour ago"},
		"within slack":            {func(f *Facts) { f.Now = now.Add(9*time.Hour + Grace) }, WhyRecent, "12 hours ago"},
		"nothing promised":        {func(f *Facts) { f.Now, f.Promised = now.AddDate(1, 0, 0), schedule.Schedule{} }, WhyRecent, "1 year ago"},
		"exposed":                 {func(f *Facts) { f.Exposed = "can be written by others"; f.Covered = true }, WhyExposed, "by others"},
	} {
		f := Facts{Now: now, Slack: Grace, Stored: 4, Promised: schedule.Every(12 * time.Hour), Probe: integrity.Report{Verdict: integrity.Healthy},
			Latest: &catalog.Entry{ID: "data_1", File: "data_1.db.zst", CreatedAt: now.Add(-3 * time.Hour), DatabaseBytes: 1}}
		c.edit(&f)
		s := f.Status()
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
		if (s.NewestVerified == nil) != (f.Latest == nil || f.Archive != nil) || (s.Database.Verdict == nil) != (f.ProbeErr != nil) {
			t.Errorf("%s: newest %v, verdict %v", name, s.NewestVerified, s.Database.Verdict)
		}
	}
}

// Lost: which backup undoes the last restore, and how long the next one takes.
func TestFactsOfTheLastRestore(t *testing.T) {
	t.Parallel()
	verified := catalog.Verification{State: catalog.Verified}
	all := []catalog.Entry{
		{ID: "new", Seq: 4}, {ID: "good", Seq: 3, Verification: verified, DatabaseBytes: 200 << 20},
		{ID: "safety", Seq: 2, Verification: verified}, {ID: "old", Seq: 1, Verification: verified, DatabaseBytes: 100 << 20},
	}
	at := time.Date(2031, 3, 5, 12, 0, 0, 0, time.UTC)
	f := Facts{State: catalog.State{LastRestore: &catalog.RestoreOutcome{ID: "old", Safety: "safety", At: at, DurationMS: 1000},
		LastDrill: &catalog.DrillOutcome{At: at.Add(-time.Hour)}}}
	f.Count(slices.Values(all))
	s := f.Status()
	if f.Stored != 4 || f.Latest.ID != "good" || s.LastRestore.Undo == nil || *s.LastRestore.Undo != "safety" || s.LastRestore.Action != "restore" {
		t.Errorf("%d stored, %+v, %+v", f.Stored, f.Latest, s.LastRestore)
	}
	if ms := s.EstimatedRestoreMS; ms == nil || *ms != 2000 {
		t.Errorf("twice the bytes take %v", ms)
	}
	f.State.LastDrill.At = at.Add(time.Hour)
	if ms := f.restoreTime(); ms == nil || *ms == 2000 {
		t.Errorf("a newer drill says it: %v", ms)
	}
}

// An archive that cannot be looked at has not gone.
func TestArchiveThatCannotBeLookedAt(t *testing.T) {
	f := Facts{Latest: &catalog.Entry{ID: "data_1", File: "data_1.db.zst"}, Archive: fs.ErrPermission}
	if s := f.Status(); s.Code != WhyArchiveGone || !strings.Contains(s.Reason, "permission") || strings.Contains(s.Reason, "gone") {
		t.Errorf("%+v", s)
	}
}

// Lost: what was committed between the newest backup and the newest point that is proven, by one who restores a damaged database.
func TestNewestProvenPoint(t *testing.T) {
	t.Parallel()
	now := time.Date(2031, 3, 5, 12, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		edit func(*Facts)
		want string
	}{
		"newer than the backup":          {func(*Facts) {}, "2.40"},
		"the backup has a later point":   {func(f *Facts) { f.Latest.Point = "2.41" }, ""},
		"the backup has that point":      {func(f *Facts) { f.Latest.Point = "2.40" }, ""},
		"the backup has an earlier one":  {func(f *Facts) { f.Latest.Point, f.Latest.CreatedAt = "2.7", now }, "2.40"},
		"the backup is newer, and alone": {func(f *Facts) { f.Latest.CreatedAt = now }, ""},
		"of another timeline":            {func(f *Facts) { f.Log.Timeline = 3 }, ""},
		"the log has no such point":      {func(f *Facts) { f.Log.Seq = 39 }, ""},
		"the last proof failed":          {func(f *Facts) { f.State.Doubt(2, 45, now) }, ""},
		"no verified backup":             {func(f *Facts) { f.Latest = nil }, ""},
	} {
		f := Facts{Now: now, Latest: &catalog.Entry{ID: "data_1", CreatedAt: now.Add(-3 * time.Hour)}}
		f.State.AddAnchor(2, 40, now.Add(-time.Hour))
		f.Log.Timeline, f.Log.Seq = 2, 50
		c.edit(&f)
		got := ""
		if p := f.continuous().Proven; p != nil {
			got = *p
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
