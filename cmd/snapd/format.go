package main

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/dustin/go-humanize"

	"example.com/snapd/catalog"
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

// maxFirstColumn is in characters: a longer path shifts its own line, not all others.
const maxFirstColumn = 60

// table writes rows aligned, with two blanks between the cells and none at the end of a
// line. Only the first column may overflow.
func table(w io.Writer, fill func(row func(cells ...string))) {
	var rows [][]string
	var widths []int
	fill(func(cells ...string) {
		rows = append(rows, cells)
		widths = append(widths, make([]int, max(0, len(cells)-len(widths)))...)
		for i, cell := range cells {
			cell = message.OneLine(cell)
			cells[i] = cell
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
		widths[0] = min(widths[0], maxFirstColumn)
	})
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			fmt.Fprintf(&line, "%-*s  ", widths[i], cell)
		}
		fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
	}
}

// legible writes text without control characters but line ends and tabs: names and reports of
// files may come from others, and could have a terminal show something else. Each text is whole.
type legible struct{ io.Writer }

func (l legible) Write(text []byte) (int, error) {
	clean := bytes.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return ' '
		}
		return r
	}, text)
	if _, err := l.Writer.Write(clean); err != nil {
		return 0, err
	}
	return len(text), nil
}

// legibleStream is legible for text that comes in pieces.
type legibleStream struct {
	w    io.Writer
	part []byte // of a character, at the end of what came
}

func (l *legibleStream) Write(text []byte) (int, error) {
	whole := append(l.part, text...)
	end := len(whole)
	for n := 1; n < utf8.UTFMax && n <= len(whole); n++ {
		if utf8.RuneStart(whole[len(whole)-n]) {
			if !utf8.FullRune(whole[len(whole)-n:]) {
				end -= n
			}
			break
		}
	}
	l.part = append([]byte{}, whole[end:]...)
	if _, err := (legible{l.w}).Write(whole[:end]); err != nil {
		return 0, err
	}
	return len(text), nil
}

// backupTable lists backups.
func backupTable(w io.Writer, backups []snapshot.Backup) {
	copied := slices.ContainsFunc(backups, func(b snapshot.Backup) bool { return len(b.Copies) > 0 })
	table(w, func(row func(...string)) {
		with := func(copies string) []string {
			if copied {
				return []string{copies}
			}
			return nil
		}
		row(slices.Concat([]string{"ID", "TRIGGER", "TAKEN (UTC)", "AGE", "DATABASE", "ARCHIVE", "STATE"}, with("COPIES AT"), []string{"NOTE"})...)
		for _, b := range backups {
			note := short(b.Note, 40)
			if b.Pinned {
				note = strings.TrimSpace("[pinned] " + note)
			}
			row(slices.Concat([]string{b.ID, string(b.Trigger), utc(b.CreatedAt), ago(b.CreatedAt), size(b.DatabaseBytes), size(b.ArchiveBytes),
				string(b.Verification.State)}, with(copiesAt(b)), []string{note})...)
		}
	})
}

// copiesAt names the remotes that have copies of a backup.
func copiesAt(b snapshot.Backup) string {
	var names []string
	for _, c := range b.Copies {
		name := c.Remote
		if c.State == catalog.CopyFailed {
			name += " (damaged)"
		}
		names = append(names, name)
	}
	return strings.Join(names, ", ")
}

// text returns *s, or none where there is nothing.
func text(s *string, none string) string {
	if s == nil {
		return none
	}
	return *s
}

// visible makes text from any source fit for a terminal: what does not print, or
// is no UTF-8, becomes an escape as in Go's strings, so that nothing moves the cursor
// or the direction of writing, and different names stay different.
func visible(s string) string {
	plain := func(r rune) bool { return r != utf8.RuneError && strconv.IsPrint(r) }
	if strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		if plain(r) {
			b.WriteString(s[:n])
		} else {
			q := strconv.Quote(s[:n])
			b.WriteString(q[1 : len(q)-1])
		}
		s = s[n:]
	}
	return b.String()
}
