package protection

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/integrity"
	"example.com/snapd/internal/breaks"
	"example.com/snapd/internal/lineage"
	"example.com/snapd/internal/remote"
	"example.com/snapd/internal/schedule"
)

// Lost: an alarm, or what it must not say. Each case changes one fact of a protected database.
func TestConditionsFollowFromFacts(t *testing.T) {
	t.Parallel()
	now := time.Date(2031, 3, 5, 12, 0, 0, 0, time.UTC)
	failed := func(code string) map[catalog.Trigger]catalog.Outcome {
		return map[catalog.Trigger]catalog.Outcome{catalog.TriggerSchedule: {At: now, Code: code, Message: "backup: /srv/customer.db: no"}}
	}
	for name, c := range map[string]struct {
		edit func(*Facts)
		free int64 // 0: not known
		want string
	}{
		"well":             {func(*Facts) {}, 1 << 40, ""},
		"overdue":          {func(f *Facts) { f.Now = now.AddDate(0, 0, 2) }, 0, "at_risk overdue"},
		"unprotected":      {func(f *Facts) { f.Latest, f.Stored = nil, 0 }, 0, "unprotected no_backup"},
		"directory gone":   {func(f *Facts) { f.Place = os.ErrNotExist }, 1, "unprotected directory"},
		"failed":           {func(f *Facts) { f.State.LastFailure = failed("no_space") }, 0, "at_risk failed, backup_failed no_space"},
		"failed, no file":  {func(f *Facts) { f.State.LastFailure = failed("missing") }, 0, ""},
		"damaged":          {func(f *Facts) { f.Probe.Verdict = integrity.Corrupt }, 0, "at_risk damaged, corruption corrupt"},
		"could not check":  {func(f *Facts) { f.ProbeErr = os.ErrPermission }, 0, "at_risk check_failed"},
		"replaced":         {func(f *Facts) { f.Broken = &breaks.Break{At: now, Cause: lineage.Replaced, What: "/srv/customer.db"} }, 0, "break replaced mild"},
		"emptied":          {func(f *Facts) { f.Broken = &breaks.Break{At: now, Cause: lineage.Emptied, What: "/srv/customer.db"} }, 0, "at_risk break, break emptied"},
		"space":            {func(*Facts) {}, lowSpace - 1, "low_space low_space"},
		"space for backup": {func(f *Facts) { f.Latest.ArchiveBytes = 1 << 30 }, 3<<30 - 1, "low_space low_space"},
		"remotes": {func(f *Facts) {
			f.Remotes = []remote.Status{{Name: "customer", State: remote.Behind}, {Name: "b", State: remote.Current}, {Name: "c", State: remote.Stopped}}
		}, 0, "at_risk remote, remote_behind behind, remote_behind stopped"},
	} {
		f := Facts{Now: now, Slack: Grace, Stored: 4, Promised: schedule.Every(12 * time.Hour), Probe: integrity.Report{Verdict: integrity.Healthy},
			Latest: &catalog.Entry{ID: "customer_1", File: "customer_1.db.zst", CreatedAt: now.Add(-3 * time.Hour), DatabaseBytes: 1}}
		c.edit(&f)
		s := f.Status()
		if c.free > 0 {
			s.FreeBytes = &c.free
		}
		var got []string
		for _, k := range f.Conditions(s) {
			word := string(k.Kind) + " " + k.Code
			if k.Mild {
				word += " mild"
			}
			got = append(got, word)
			if k.Says == "" || strings.Contains(k.Says, "customer") || strings.Contains(k.Says, "/") || k.Detail == "" {
				t.Errorf("%s: %+v", name, k)
			}
		}
		if text := strings.Join(got, ", "); text != c.want {
			t.Errorf("%s: %q, want %q", name, text, c.want)
		}
	}
}

// Each reason that is trouble has words that may be sent to anybody.
func TestEveryReasonCanBeSaid(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("status.go")
	if err != nil {
		t.Fatal(err)
	}
	all := regexp.MustCompile(`Why[A-Z]\w+ +Why = "(\w+)"`).FindAllStringSubmatch(string(source), -1)
	fine := []Why{WhyUnchanged, WhyRecent}
	for _, m := range all {
		if why := Why(m[1]); (says[why] == "") != slices.Contains(fine, why) {
			t.Errorf("%s is said as %q", why, says[why])
		}
	}
	if len(all) < 15 {
		t.Errorf("only %d reasons were found", len(all))
	}
}
