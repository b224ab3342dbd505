package activity

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/snapd/internal/schedule"
)

// moment reads "2 15:04": the second day, at that time.
func moment(t *testing.T, text string) time.Time {
	t.Helper()
	var day, hour, minute int
	if _, err := fmt.Sscanf(text, "%d %d:%d", &day, &hour, &minute); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return time.Date(2026, 11, day, hour, minute, 0, 0, time.UTC)
}

// Lost: a day on which there was no protection, shown as one on which there was; or a
// false alarm, and alarms are no longer believed. Today is the seventh, at noon; the
// schedule is every twelve hours.
func TestHistoryOfDays(t *testing.T) {
	const started, stopped = "serve started", "serve stopped"
	for name, c := range map[string]struct {
		log     []string // DAY TIME, then what was done, and of which backup
		backups []string // that there are: DAY TIME
		edit    func(*Facts)
		want    string // seven days
	}{
		"nothing":        {want: "none none none none none none none"},
		"a fresh start":  {log: []string{"7 09:00 " + started, "7 09:01 backup done a"}, want: "none none none none none none ok"},
		"before it, too": {log: []string{"1 09:00 backup failed", "3 09:00 " + started, "3 09:01 backup done a", "7 11:00 backup done b"}, want: "failed none ok overdue overdue overdue ok"},
		"as it should be": {log: []string{"1 00:00 " + started, "1 01:00 backup done a", "2 01:00 backup done b", "3 01:00 backup done c",
			"4 01:00 backup done d", "5 01:00 backup done e", "6 01:00 backup done f", "7 01:00 backup done g"}, want: "ok ok ok ok ok ok ok"},
		"idle, and reported later": {log: []string{"1 00:00 " + started, "1 01:00 backup done a", "6 23:00 backup unchanged a since 1 13:00", "7 10:00 backup done b"},
			want: "ok unchanged unchanged unchanged unchanged unchanged ok"},
		"idle until it was killed": {log: []string{"1 00:00 " + started, "1 01:00 backup done a", "5 01:00 " + started, "5 01:01 backup unchanged a", "5 02:00 check done", "7 10:00 backup done b"},
			want: "ok unchanged unchanged unchanged unchanged overdue ok"},
		"killed, and the database went on": {log: []string{"1 00:00 " + started, "1 01:00 backup done a", "4 01:00 " + started, "4 01:01 backup done b", "7 10:00 backup done c"},
			want: "ok overdue overdue ok overdue overdue ok"},
		"stopped for days": {log: []string{"1 00:00 " + started, "1 01:00 backup done a", "1 02:00 " + stopped, "4 01:00 " + started, "4 01:01 backup unchanged a", "4 13:00 " + stopped},
			want: "ok overdue overdue unchanged overdue overdue overdue"},
		"a backup by hand before the service": {log: []string{"1 01:00 backup done a", "4 01:00 " + started, "4 01:01 backup unchanged a", "7 10:00 backup done b"},
			want: "ok overdue overdue unchanged overdue overdue ok"},
		"idle now": {log: []string{"1 00:00 " + started, "1 01:00 backup done a"}, edit: func(f *Facts) { f.Serving, f.Covered = true, "a" },
			want: "ok unchanged unchanged unchanged unchanged unchanged unchanged"},
		"idle now, without a service": {log: []string{"1 01:00 backup done a"}, edit: func(f *Facts) { f.Covered = "a" },
			want: "ok overdue overdue overdue overdue overdue unchanged"},
		"failed, then not": {log: []string{"1 01:00 backup done a", "1 13:00 backup failed", "2 01:00 backup failed", "2 02:00 backup done b", "3 01:00 backup failed",
			"3 02:00 backup unchanged b", "4 01:00 backup failed busy", "4 02:00 backup cancelled", "7 11:00 backup done c"}, want: "failed ok unchanged overdue overdue overdue ok"},
		"removed since, but written down": {log: []string{"1 01:00 backup done a", "2 01:00 backup done b", "3 01:00 prune done a", "3 01:00 backup done c", "7 01:00 backup done d"}, backups: []string{"3 01:00 c"},
			want: "ok ok ok overdue overdue overdue ok"},
		"older than the log": {log: []string{"5 00:00 check done", "7 11:00 backup done d"}, backups: []string{"1 01:00 a", "2 01:00 b"},
			want: "ok ok none none overdue overdue ok"},
		"no log at all":        {backups: []string{"1 01:00 a", "6 23:59 b"}, want: "ok none none none none ok none"},
		"late by now":          {log: []string{"6 00:00 " + started, "6 23:40 backup done a"}, want: "none none none none none ok overdue", edit: func(f *Facts) { f.Now = f.Now.Add(time.Minute) }},
		"not quite late":       {log: []string{"6 00:00 " + started, "6 23:50 backup done a"}, want: "none none none none none ok none"},
		"late with one today":  {log: []string{"7 00:00 " + started, "7 01:00 backup done a"}, want: "none none none none none none overdue", edit: func(f *Facts) { f.Schedule = schedule.Every(time.Hour) }},
		"weekly":               {log: []string{"1 00:00 " + started, "1 01:00 backup done a"}, edit: func(f *Facts) { f.Schedule = schedule.Every(168 * time.Hour) }, want: "ok none none none none none none"},
		"weekly until the 4th": {log: []string{"1 00:00 serve started @every 168h", "1 01:00 backup done a", "4 00:00 serve started @every 12h", "7 11:00 backup done b"}, want: "ok none none overdue overdue overdue ok"},
		"no schedule":          {log: []string{"1 01:00 backup done a"}, edit: func(f *Facts) { f.Schedule = schedule.Schedule{} }, want: "ok none none none none none none"},
		"by cron": {log: []string{"1 00:00 " + started, "1 03:00 backup done a", "2 03:00 backup done b", "5 04:00 backup done c", "6 03:00 backup done d", "7 03:00 backup done e"},
			edit: func(f *Facts) { f.Schedule = schedule.Schedule{Cron: "0 3 * * *"} }, want: "ok ok overdue overdue ok ok ok"},
		"nonsense in the log": {log: []string{"1 00:00 serve started @every nonsense", "1 01:00 backup done a", "3 01:00 serve started x x x x x"}, want: "ok none none none none none overdue"},
	} {
		t.Run(name, func(t *testing.T) {
			f := Facts{Now: moment(t, "7 12:00"), Slack: 10 * time.Minute, Schedule: schedule.Every(12 * time.Hour)}
			var log []Entry
			for _, line := range c.log {
				log = append(log, entryOf(t, line))
			}
			for _, line := range c.backups {
				words := strings.Fields(line)
				f.Stored = append(f.Stored, Stored{ID: words[2], CreatedAt: moment(t, line), DatabaseBytes: 200, ArchiveBytes: 20})
			}
			if c.edit != nil {
				c.edit(&f)
			}
			var got []string
			days := history(7, f, log)
			for _, d := range days {
				got = append(got, string(d.State))
				if (d.Detail == "") != (d.State == DayNone) || (d.Backups > 0) != (d.DatabaseBytes > 0) {
					t.Errorf("%+v", d)
				}
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("got  %s\nwant %s", strings.Join(got, " "), c.want)
			}
			if days[0].Date != "2026-11-01" || days[6].Date != "2026-11-07" {
				t.Errorf("from %s to %s", days[0].Date, days[6].Date)
			}
		})
	}
}

// entryOf reads a line of TestHistoryOfDays.
func entryOf(t *testing.T, line string) Entry {
	t.Helper()
	words := strings.Fields(line)
	a := Entry{At: moment(t, line), Action: words[2], Outcome: words[3], DatabaseBytes: 100, ArchiveBytes: 10}
	if i := slices.Index(words, "since"); i > 0 {
		since := moment(t, strings.Join(words[i+1:], " "))
		a.Since = &since
	}
	rest := strings.Join(words[4:], " ")
	switch {
	case a.Action == "serve":
		a.Schedule = rest
	case a.Outcome == "failed":
		a.Code, a.Detail = rest, "no space"
	case rest != "":
		a.Backup = words[4]
	}
	return a
}
