package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"github.com/dustin/go-humanize"

	"example.com/snapd/internal/remote"
	"example.com/snapd/internal/rowlog"
	"example.com/snapd/snapshot"
)

type logCmd struct {
	Table string `placeholder:"TABLE" help:"Only points that changed this table."`
	Row   rowRef `placeholder:"TABLE KEY" help:"The versions of one row, by its primary key or rowid; the columns of a key with commas between them."`
	Since moment `placeholder:"TIME" help:"Points of this time or later, as for restore --at: 13:00, yesterday, -2h."`
	Until moment `placeholder:"TIME" help:"Points of this time or earlier."`
	Limit int    `default:"20" placeholder:"N" help:"At most so many points, the newest; 0: all. Default: 20."`
	copies
}

// rowRef names a row on the command line.
type rowRef struct{ table, key string }

// Decode takes the two words that follow.
func (r *rowRef) Decode(ctx *kong.DecodeContext) error {
	for _, to := range []*string{&r.table, &r.key} {
		word, ok := ctx.Scan.Pop().Value.(string)
		if !ok || word == "" {
			return errors.New(`missing value, expecting "TABLE KEY"`)
		}
		*to = word
	}
	return nil
}

// Validate is called by the parser.
func (c *logCmd) Validate() error {
	switch {
	case c.Table != "" && c.Row.table != "":
		return errors.New("--table and --row do not go together")
	case c.Limit < 0:
		return errors.New("--limit is negative")
	}
	return nil
}

// Help is what the parser adds to the help of log.
func (logCmd) Help() string {
	return "Each recovery point is compared with the one before it. The oldest has none before it, and is not listed."
}

// logDocument is the JSON form.
type logDocument struct {
	Points     []snapshot.LogEntry `json:"points"`
	NextCursor string              `json:"next_cursor"`
}

func (c *logCmd) reads() bool { return c.From == "" }

func (c *logCmd) on(ctx context.Context, a *app, m *snapshot.Manager) error {
	q, err := c.query()
	if err != nil {
		return err
	}
	return c.list(a, q, func(q snapshot.LogQuery) ([]snapshot.LogEntry, string, error) { return m.Log(ctx, q) })
}

// onCopies looks at the recovery points of a remote. The change log of the time that is asked for is copied to a scratch directory.
func (c *logCmd) onCopies(ctx context.Context, a *app, r *remote.Reader) error {
	q, err := c.query()
	if err != nil {
		return err
	}
	set, err := r.Set(ctx, q.From)
	if err != nil {
		return fmt.Errorf("log: %w", err)
	}
	return c.list(a, q, func(q snapshot.LogQuery) ([]snapshot.LogEntry, string, error) {
		page, next, err := rowlog.Read(ctx, set, r.OpenBackup, r.Scratch, q)
		if err != nil {
			err = fmt.Errorf("log: %w", err)
		}
		return page, next, err
	})
}

// query is what is asked for.
func (c *logCmd) query() (snapshot.LogQuery, error) {
	q := snapshot.LogQuery{Table: c.Table, Limit: c.Limit}
	if c.Row.table != "" {
		q.Table, q.Key = c.Row.table, c.Row.key
	}
	for _, bound := range []struct {
		flag string
		word moment
		to   *time.Time
	}{{"--since", c.Since, &q.From}, {"--until", c.Until, &q.To}} {
		if bound.word == "" {
			continue
		}
		t, ok := parseMoment(string(bound.word), time.Now())
		if !ok {
			return q, notATime(bound.flag, bound.word)
		}
		*bound.to = t
	}
	return q, nil
}

// list prints the points that read returns.
func (c *logCmd) list(a *app, q snapshot.LogQuery, read func(snapshot.LogQuery) ([]snapshot.LogEntry, string, error)) error {
	doc := logDocument{Points: []snapshot.LogEntry{}}
	for { // a call looks at a bounded number of points
		page, next, err := read(q)
		if err != nil {
			return err
		}
		doc.Points, doc.NextCursor = append(doc.Points, page...), next
		if next == "" || c.Limit > 0 && len(doc.Points) >= c.Limit {
			break
		}
		if q.Cursor = next; c.Limit > 0 {
			q.Limit = c.Limit - len(doc.Points)
		}
	}
	return a.result(doc, func(w io.Writer) { printLog(w, doc, c.Row.table != "") })
}

// printLog prints each point with what it changed.
func printLog(w io.Writer, doc logDocument, rows bool) {
	if len(doc.Points) == 0 {
		fmt.Fprintln(w, "no recovery point of that time changed it")
		return
	}
	table(w, func(row func(...string)) {
		row("ID", "AT (UTC)", "AGE", "CHANGED")
		for _, p := range doc.Points {
			row(p.ID, utc(p.At), ago(p.At), changedText(p, rows))
		}
	})
	if doc.NextCursor != "" {
		fmt.Fprintln(w, "and older ones; --limit 0 shows all, --since and --until choose")
	}
}

// changedText is what a point changed, on one line.
func changedText(p snapshot.LogEntry, rows bool) string {
	var parts []string
	for _, s := range p.Schema {
		parts = append(parts, fmt.Sprintf("%s %s: %s", s.Type, short(visible(s.Object), 40), s.Change))
	}
	for _, t := range p.Tables {
		if rows {
			for _, c := range t.Rows {
				parts = append(parts, changeLine(c))
			}
			if t.NotCompared != "" {
				parts = append(parts, "not known: "+visible(t.NotCompared))
			}
			continue
		}
		text := short(visible(t.Name), 40)
		for _, n := range []struct {
			sign  string
			count int64
		}{{"+", t.Added}, {"-", t.Removed}, {"~", t.Changed}} {
			if n.count > 0 {
				text += " " + n.sign + humanize.Comma(n.count)
			}
		}
		if t.NotCompared != "" {
			text += " not compared"
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, ", ")
}
