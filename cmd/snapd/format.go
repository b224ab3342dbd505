package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/dustin/go-humanize"

	"example.com/snapd/internal/message"
	"example.com/snapd/snapshot"
)

// size is a number of bytes for people.
func size(bytes int64) string { return humanize.Bytes(uint64(max(0, bytes))) }

// utc is a point in time for people, to the second.
func utc(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") }

// when is utc, followed by the local time where that differs.
func when(t time.Time) string {
	s := utc(t) + " UTC"
	if _, offset := t.Local().Zone(); offset != 0 {
		s += t.Local().Format(" (2006-01-02 15:04:05 local)")
	}
	return s
}

// ago is how long ago t was, or in how long it will be.
func ago(t time.Time) string {
	if s := humanize.RelTime(t, time.Now(), "ago", "from now"); s != "now" {
		return s
	}
	return "just now"
}

// duration is one for people: three digits are plenty.
func duration(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(10 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

func millis(ms int64) string { return duration(time.Duration(ms) * time.Millisecond) }

// count is n with its noun.
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return humanize.Comma(int64(n)) + " " + many
}

// short makes free text fit a table cell.
func short(s string, most int) string {
	s = message.OneLine(s)
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most-1]) + "…"
}

// table writes aligned rows; cells are separated by tabs.
func table(w io.Writer, rows func(row func(cells ...string))) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	rows(func(cells ...string) {
		// An empty last cell would leave trailing blanks.
		line := strings.TrimRight(strings.Join(cells, "\t"), "\t")
		fmt.Fprintln(tw, line)
	})
	tw.Flush() // its error is the writer's, which keeps it
}

// backupTable lists backups.
func backupTable(w io.Writer, backups []snapshot.Backup) {
	table(w, func(row func(...string)) {
		row("ID", "TRIGGER", "TAKEN (UTC)", "AGE", "DATABASE", "ARCHIVE", "STATE", "NOTE")
		for _, b := range backups {
			note := short(b.Note, 40)
			if b.Pinned {
				note = strings.TrimSpace("[pinned] " + note)
			}
			row(b.ID, string(b.Trigger), utc(b.CreatedAt), ago(b.CreatedAt), size(b.DatabaseBytes), size(b.ArchiveBytes),
				string(b.Verification.State), note)
		}
	})
}

// text returns *s, or none where there is nothing.
func text(s *string, none string) string {
	if s == nil {
		return none
	}
	return *s
}
