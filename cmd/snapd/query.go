package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"

	"example.com/snapd/internal/dump"
	"example.com/snapd/internal/inspect"
	"example.com/snapd/internal/remote"
	"example.com/snapd/snapshot"
)

type queryCmd struct {
	ID      string        `arg:"" help:"Backup or recovery point; latest is the newest verified one; live is the database itself."`
	SQL     string        `arg:"" name:"sql" help:"One statement that reads; - takes it from standard input."`
	Format  string        `enum:"table,json,csv" default:"table" help:"table, json or csv. A table shows long values cut; --json is --format json."`
	Limit   int           `default:"1000" placeholder:"N" help:"Most rows that are shown (${default})."`
	Timeout time.Duration `default:"10s" placeholder:"DURATION" help:"How long it may take (${default})."`
	copies
}

func (c *queryCmd) reads() bool { return c.From == "" }

func (c *queryCmd) on(ctx context.Context, a *app, m *snapshot.Manager) error {
	query, o, err := c.asked(a)
	if err != nil {
		return err
	}
	r, err := m.Query(ctx, c.ID, query, o)
	if err != nil {
		return otherBackup(err)
	}
	return c.print(a, r)
}

// onCopies reads a state at a remote; only the pages that the query needs are fetched.
func (c *queryCmd) onCopies(ctx context.Context, a *app, r *remote.Reader) error {
	query, o, err := c.asked(a)
	if err != nil {
		return err
	}
	return insideThere(ctx, r, c.ID, func(i *inspect.Image) error {
		done, err := i.Query(ctx, query, o)
		if err != nil {
			return fmt.Errorf("query %s: %w", c.ID, err)
		}
		return c.print(a, done)
	})
}

// maxQuery bounds a query from standard input, in bytes.
const maxQuery = 1 << 20

// asked is the query and its bounds.
func (c *queryCmd) asked(a *app) (query string, o snapshot.QueryOptions, err error) {
	if c.Limit < 1 || c.Timeout <= 0 {
		return "", o, &usageError{"--limit and --timeout must be above zero", "leave them out for 1000 rows and 10s"}
	}
	query = c.SQL
	if query == "-" {
		raw, err := io.ReadAll(io.LimitReader(a.in, maxQuery+1))
		if err != nil {
			return "", o, fmt.Errorf("read the query: %w", err)
		}
		if len(raw) > maxQuery {
			return "", o, &usageError{fmt.Sprintf("the query has more than %d bytes", maxQuery), "is standard input what was meant?"}
		}
		query = string(raw)
	}
	return query, snapshot.QueryOptions{Limit: c.Limit, Timeout: c.Timeout, Progress: func(done, total int64) { a.console.progress("query", done, total) }}, nil
}

// print writes the rows in the format that was asked for.
func (c *queryCmd) print(a *app, r snapshot.QueryResult) error {
	a.console.endProgress()
	if a.JSON || c.Format == "json" {
		return a.document(r, "")
	}
	if a.Quiet {
		return nil
	}
	if c.Format == "table" {
		if err := a.result(r, func(w io.Writer) { printRows(w, r) }); err != nil {
			return err
		}
	} else if err := printCSV(a.safe(), r); err != nil {
		return fmt.Errorf("print result: %w", err)
	}
	if r.Truncated {
		fmt.Fprintf(a.console, "there are more rows than the %d shown; --limit shows more, and export all of a table\n", len(r.Rows))
	}
	return nil
}

func printCSV(w io.Writer, r snapshot.QueryResult) error {
	out, err := dump.NewCSV(w, r.Columns)
	for _, row := range r.Rows {
		if err == nil {
			err = out.Write(row)
		}
	}
	return errors.Join(err, out.Flush())
}

// maxCell is in characters: the widest cell of a table for people.
const maxCell = 60

func printRows(w io.Writer, r snapshot.QueryResult) {
	table(w, func(row func(...string)) {
		cells := make([]string, len(r.Columns))
		for i, name := range r.Columns {
			cells[i] = short(visible(name), maxCell)
		}
		row(cells...)
		for _, values := range r.Rows {
			cells := make([]string, len(values))
			for i, v := range values {
				cells[i] = cell(v)
			}
			row(cells...)
		}
	})
	if len(r.Rows) == 0 {
		fmt.Fprintln(w, "no rows")
	}
}

// cell is a value on one line, on which nothing moves the cursor.
func cell(v any) string {
	if b, isBlob := v.([]byte); isBlob && len(b) > maxCell {
		v = b[:maxCell] // twice as many digits
	}
	if s, isText := v.(string); isText && len(s) > 8*maxCell {
		v = s[:8*maxCell]
	}
	return short(visible(dump.Text(v, "NULL")), maxCell)
}

// safe is standard output for text that comes from a database: on a terminal without control characters.
func (a *app) safe() io.Writer {
	if f, ok := a.out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return &legibleStream{w: a.out}
	}
	return a.out
}

// otherBackup says what to do about damage of what is only read.
func otherBackup(err error) error {
	if codeOf(err) == "corrupt" {
		return advised(err, "choose another backup; snapd verify --all proves which are good")
	}
	return err
}
