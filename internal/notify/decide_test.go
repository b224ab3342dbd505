package notify

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"example.com/snapd/internal/activity"
)

var noon = time.Date(2031, 3, 5, 12, 0, 0, 0, time.UTC)

var (
	overdue = Condition{Kind: AtRisk, Code: "overdue", Says: "a scheduled backup did not come", Detail: "/srv/crm.db"}
	noSpace = Condition{Kind: BackupFailed, Code: "no_space", Says: "the last backup failed (no_space)"}
	moved   = Condition{Kind: Break, Code: "replaced", Says: "another file is there", Mild: true}
)

func logged(action, outcome, code string) activity.Record {
	return activity.Record{Entry: activity.Entry{At: noon, Action: action, Outcome: outcome, Code: code, Operation: "op"}, Mark: activity.Mark{Line: activity.Ended}}
}

// step is one decision; want is what it reports: "began at_risk overdue".
type step struct {
	after   time.Duration // of the step before
	active  []Condition
	entries []activity.Record
	err     error
	want    string
}

// If this fails, people are not notified of what begins, stands or ends, or are notified too often.
func TestDecide(t *testing.T) {
	t.Parallel()
	on := func(c ...Condition) []Condition { return c }
	at := func(r ...activity.Record) []activity.Record { return r }
	for name, steps := range map[string][]step{
		"notified once, again each day, and at the end": {
			{active: on(noSpace), want: "began backup_failed no_space"},
			{after: time.Hour, active: on(noSpace)},
			{after: 23 * time.Hour, active: on(noSpace), want: "again backup_failed no_space"},
			{after: 23 * time.Hour, active: on(noSpace)},
			{after: time.Hour, active: on(noSpace), want: "again backup_failed no_space"},
			{after: time.Hour, want: "ended backup_failed no_space"},
			{after: time.Hour},
		},
		"a state of the protection is reported once it has lasted": {
			{active: on(overdue)},
			{after: 59 * time.Second, active: on(overdue)},
			{after: time.Second, active: on(overdue), want: "began at_risk overdue"},
			{after: time.Minute, want: "ended protected overdue"},
		},
		"one that passes is not reported": {
			{active: on(Condition{Kind: Unprotected, Code: "no_backup"})}, {after: 50 * time.Second}, {after: time.Hour},
		},
		"another reason is news": {
			{active: on(overdue)},
			{after: time.Minute, active: on(overdue), want: "began at_risk overdue"},
			{after: time.Minute, active: on(Condition{Kind: AtRisk, Code: "failed"})},
			{after: time.Minute, active: on(Condition{Kind: AtRisk, Code: "failed"}), want: "began at_risk failed"},
			{after: time.Minute, active: on(Condition{Kind: Unprotected, Code: "directory"})},
			{after: time.Minute, active: on(Condition{Kind: Unprotected, Code: "directory"}), want: "began unprotected directory"},
			{after: time.Minute, want: "ended protected directory"},
		},
		"another reason that passes is none": {
			{active: on(overdue)},
			{after: time.Minute, active: on(overdue), want: "began at_risk overdue"},
			{after: time.Minute, active: on(Condition{Kind: AtRisk, Code: "check_failed"})},
			{after: time.Second, active: on(overdue)},
			{after: time.Hour, active: on(overdue)},
		},
		"what is mild is reported once": {
			{active: on(moved), want: "began break replaced"}, {after: 48 * time.Hour, active: on(moved)}, {after: time.Hour, want: "ended break replaced"},
		},
		"remotes by name": {
			{active: on(Condition{Kind: RemoteBehind, Name: "a"}, Condition{Kind: RemoteBehind, Name: "b"}), want: "began remote_behind , began remote_behind "},
			{after: time.Minute, active: on(Condition{Kind: RemoteBehind, Name: "b"}), want: "ended remote_behind "},
		},
		"unknown for a while": {
			{err: errors.New("locked")}, {after: 4 * time.Minute, err: errors.New("locked")},
			{after: time.Minute, err: errors.New("locked"), want: "began at_risk unknown"},
			{after: time.Minute, want: "ended protected unknown"},
		},
		"what stood stands while nothing is known": {
			{active: on(noSpace), want: "began backup_failed no_space"}, {after: 10 * time.Second, err: errors.New("locked")}, {after: 10 * time.Second, want: "ended backup_failed no_space"},
		},
		"a drill": {
			{entries: at(logged("drill", "failed", "no_space")), want: "began drill_failed no_space"},
			{after: time.Minute},
			{after: 24 * time.Hour, want: "again drill_failed no_space"},
			{after: time.Minute, entries: at(logged("drill", "done", "")), want: "ended drill_failed no_space"},
		},
		"a drill of a damaged backup": {{entries: at(logged("drill", "failed", "corrupt")), want: "happened corruption corrupt, began drill_failed corrupt"}},
		"a drill that was mistyped, or waits": {
			{entries: at(logged("drill", "failed", "not_found"), logged("drill", "failed", "busy"), logged("drill", "cancelled", "cancelled"))},
		},
		"a recovery":             {{entries: at(logged("recover", "done", "")), want: "happened recovered "}},
		"a repair":               {{entries: at(logged("repair", "done", "")), want: "happened recovered "}},
		"a step of a recovery":   {{entries: at(activity.Record{Entry: activity.Entry{At: noon, Action: "recover", Outcome: "done"}})}},
		"a damaged backup":       {{entries: at(logged("verify", "failed", "corrupt")), want: "happened corruption corrupt"}},
		"a verify that failed":   {{entries: at(logged("verify", "failed", "no_space"))}},
		"the clock goes back":    {{active: on(noSpace), want: "began backup_failed no_space"}, {after: -72 * time.Hour, active: on(noSpace)}, {after: 24 * time.Hour, active: on(noSpace), want: "again backup_failed no_space"}},
		"ids are never the same": {{entries: at(logged("verify", "failed", "corrupt"), logged("recover", "done", "")), want: "happened corruption corrupt, happened recovered "}},
	} {
		m, now, ids := newMemory(), noon, map[string]bool{}
		for i, s := range steps {
			now = now.Add(s.after)
			var notified []string
			next, messages := decide(m, Facts{Now: now, Active: s.active, Entries: s.entries, Err: s.err, Position: "p"})
			for _, msg := range messages {
				notified = append(notified, fmt.Sprintf("%s %s %s", msg.Phase, msg.Kind, msg.Code))
				if ids[msg.ID] || msg.Key == "" || msg.Text == "" || strings.Contains(msg.Text, "/") {
					t.Errorf("%s, %d: %+v", name, i, msg)
				}
				ids[msg.ID] = true
			}
			if got := strings.Join(notified, ", "); got != s.want {
				t.Errorf("%s, %d: notified %q, want %q", name, i, got, s.want)
			}
			if at := next.next(); len(next.Active) > 0 && at.IsZero() && !next.Active[string(Break)].Mild {
				t.Errorf("%s, %d: nothing is due", name, i)
			}
			if next.Position != "p" {
				t.Errorf("%s: the position is lost", name)
			}
			m = next
		}
	}
}

// If this fails, an outbox grows while its receiver is away, or reports what is out of date.
func TestOutboxKeepsTheNewest(t *testing.T) {
	t.Parallel()
	o := &outbox{}
	put := func(id string, k Kind, p Phase) {
		o.put(Message{ID: id, Kind: k, Phase: p, Key: Condition{Kind: k}.key(), Times: 1})
	}
	put("1", AtRisk, Began)
	put("2", Recovered, Happened)
	put("3", Protected, Ended)
	put("4", Recovered, Happened)
	if len(o.Waiting) != 2 || o.Waiting[0].ID != "3" || o.Waiting[1].ID != "4" || o.Waiting[1].Times != 2 {
		t.Errorf("%+v", o.Waiting)
	}
	o.delivered("1") // its place was taken while it was on its way
	if o.delivered("4"); len(o.Waiting) != 1 {
		t.Errorf("%+v", o.Waiting)
	}
}

// If this fails, a check is green although something is wrong, or red although nothing is.
func TestPing(t *testing.T) {
	t.Parallel()
	all, few := Receiver{Ping: "http://x/y"}, Receiver{Ping: "http://x/y", On: []Kind{DrillFailed}}
	notified := func(c Condition) map[string]active {
		return map[string]active{c.key(): {Condition: c, As: c, Notified: noon}}
	}
	well := Facts{Now: noon, Alive: true}
	success := ping{What: pingSuccess, At: noon}
	for name, c := range map[string]struct {
		h    health
		r    Receiver
		last ping
		run  run
		at   time.Duration
		want string
	}{
		"the first":                  {health{facts: well}, all, ping{}, run{}, 0, "success"},
		"not yet":                    {health{facts: well}, all, success, run{}, 299 * time.Second, ""},
		"the next":                   {health{facts: well}, all, success, run{}, 300 * time.Second, "success"},
		"the service hangs":          {health{facts: Facts{Now: noon}}, all, success, run{}, time.Hour, ""},
		"nothing is known":           {health{facts: Facts{Now: noon, Alive: true, Err: errors.New("locked")}}, all, success, run{}, time.Hour, ""},
		"no look yet":                {health{facts: Facts{Alive: true}}, all, ping{}, run{}, 0, ""},
		"trouble":                    {health{facts: well, active: notified(overdue)}, all, success, run{}, 0, "fail"},
		"trouble that was reported":  {health{facts: well, active: notified(overdue)}, all, ping{What: pingFail, Why: "protected at_risk overdue", At: noon}, run{}, time.Hour, ""},
		"a day later":                {health{facts: well, active: notified(overdue)}, all, ping{What: pingFail, Why: "protected at_risk overdue", At: noon}, run{}, 24 * time.Hour, "fail"},
		"other trouble":              {health{facts: well, active: notified(noSpace)}, all, ping{What: pingFail, Why: "protected at_risk overdue", At: noon}, run{}, 0, "fail"},
		"trouble that is not wanted": {health{facts: well, active: notified(noSpace)}, few, success, run{}, time.Hour, "success"},
		"at risk, which is not wanted, is no success either": {health{facts: well, active: notified(overdue)}, few, success, run{}, time.Hour, ""},
		"trouble that is not reported yet":                   {health{facts: well, active: map[string]active{"protected": {Condition: overdue}}}, all, success, run{}, time.Hour, ""},
		"what is mild":                                       {health{facts: well, active: notified(moved)}, all, success, run{}, time.Hour, "success"},
		"a backup begins":                                    {health{facts: well}, all, success, run{"r", true}, 0, "start"},
		"a backup ends":                                      {health{facts: well}, all, success, run{"r", false}, 0, "success"},
		"a backup fails":                                     {health{facts: well, active: notified(noSpace)}, all, success, run{"r", false}, 0, "fail"},
		"well again":                                         {health{facts: well}, all, ping{What: pingFail, At: noon}, run{}, 0, "success"},
		"the clock jumped":                                   {health{facts: well}, all, success, run{}, -time.Hour, "success"},
	} {
		p := c.h.ping(c.r, c.last, c.run, noon.Add(c.at))
		if p.What != c.want || strings.Contains(p.line, "/srv") || (p.rid != "") != (c.run.rid != "" && p.What != "") {
			t.Errorf("%s: %+v, want %q", name, p, c.want)
		}
		if p.What == pingFail && (!strings.HasPrefix(p.line, "snapd: ") || strings.Contains(p.line, "\n")) {
			t.Errorf("%s: %q", name, p.line)
		}
	}
	detailed := health{facts: well, active: notified(overdue)}.ping(Receiver{Ping: "http://x/y", Details: true, Label: "crm"}, ping{}, run{}, noon)
	if detailed.line != "crm: at risk: a scheduled backup did not come. /srv/crm.db" {
		t.Errorf("%q", detailed.line)
	}
}

func TestRunOfABackup(t *testing.T) {
	t.Parallel()
	begun, ended := logged("backup", "running", ""), logged("backup", "done", "")
	begun.Line = activity.Started
	if r := (run{}).after(noon, []activity.Record{begun}); !r.start || r.ended() != "" {
		t.Errorf("begun: %+v", r)
	}
	if r := (run{}).after(noon, []activity.Record{begun, ended}); r.start || r.ended() == "" {
		t.Errorf("begun and ended: %+v", r)
	}
	if r := (run{}).after(noon.Add(time.Second), []activity.Record{begun}); r.rid != "" {
		t.Errorf("begun before the service was: %+v", r)
	}
	if id := uuid("op"); len(id) != 36 || id[14] != '8' || uuid("other") == id {
		t.Errorf("%q", id)
	}
}
