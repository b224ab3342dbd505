package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/dustin/go-humanize"

	"example.com/snapd/internal/remote"
	"example.com/snapd/internal/rowdiff"
	"example.com/snapd/snapshot"
)

type diffCmd struct {
	A     string `arg:"" help:"Backup or recovery point; latest is the newest verified one, live the database itself."`
	B     string `arg:"" optional:"" default:"live" help:"What it is compared with; default: live."`
	Table string `placeholder:"TABLE" help:"Only this table."`
	Rows  bool   `help:"Show the rows, too."`
	Limit int    `default:"100" placeholder:"N" help:"With --rows: at most so many of each table; 0: all. Default: 100."`
	SQL   bool   `name:"sql" help:"Print the SQL that makes of A what B is, in one transaction: sqlite3 -bail FILE < patch.sql."`
	copies
}

// Validate is called by the parser.
func (c *diffCmd) Validate() error {
	switch {
	case c.SQL && c.Rows:
		return errors.New("--sql and --rows do not go together")
	case c.Limit < 0:
		return errors.New("--limit is negative")
	}
	return nil
}

// Help is what the parser adds to the help of diff.
func (diffCmd) Help() string {
	return "Rows are matched by their primary key; where a table has none by rowid, or as a whole where VACUUM renumbered rowids. Generated columns are not compared. " +
		"With --sql, triggers of the tables that change are dropped and made again, so that none runs; foreign keys are off. " +
		"With --from both are states at that remote, and live is the database of --db."
}

func (c *diffCmd) reads() bool { return c.From == "" && !c.live() }

// live reports whether the database itself is one of the two.
func (c *diffCmd) live() bool { return c.A == snapshot.Live || c.B == snapshot.Live }

func (c *diffCmd) on(ctx context.Context, a *app, m *snapshot.Manager) error {
	return c.compare(a, func(o snapshot.DiffOptions) (snapshot.DiffResult, error) { return m.Diff(ctx, c.A, c.B, o) })
}

// onCopies compares states at a remote, one of them maybe with the database here; only the pages that are needed are fetched.
func (c *diffCmd) onCopies(ctx context.Context, a *app, r *remote.Reader) error {
	states := rowdiff.States{Scratch: r.Scratch, LockWait: snapshot.DefaultLockWait,
		Image: func(ctx context.Context, id string) (rowdiff.State, error) { return stateThere(ctx, r, id) }}
	if c.live() {
		if a.DB == "" {
			return &usageError{"live is the database here, and none is named", "add --db PATH, or compare two states at the remote"}
		}
		m, err := a.open(ctx, nil)
		if err != nil {
			return err
		}
		states.Database = m.Database()
	}
	return c.compare(a, func(o snapshot.DiffOptions) (done snapshot.DiffResult, err error) {
		err = states.Compare(ctx, c.A, c.B, true, func(d *rowdiff.Diff, _, _ *rowdiff.Side) error {
			done, err = d.Compare(ctx, o)
			return err
		})
		if done.From, done.To = c.A, c.B; err != nil {
			err = fmt.Errorf("diff %s %s: %w", c.A, c.B, err)
		}
		return done, err
	})
}

// compare prints what diff returns for what is asked for.
func (c *diffCmd) compare(a *app, diff func(snapshot.DiffOptions) (snapshot.DiffResult, error)) error {
	if c.SQL && a.JSON {
		return &usageError{"--sql prints SQL, not JSON", "leave out one of --sql and --json"}
	}
	o := snapshot.DiffOptions{Table: c.Table}
	const all = int(^uint(0) >> 1)
	rows := c.Limit
	if rows == 0 {
		rows = all
	}
	switch {
	case c.SQL:
		o.Patch = a.safe()
	case c.Rows && a.JSON:
		o.Rows = rows
	case c.Rows && !a.Quiet:
		list := changeList{w: legible{a.out}, limit: rows}
		o.Each = list.add
	}
	r, err := diff(o)
	if err != nil || c.SQL {
		return err
	}
	return a.result(r, func(w io.Writer) { printDiff(w, r, c.Rows) })
}

// printDiff prints what changed in each table; the rows are there already.
func printDiff(w io.Writer, r snapshot.DiffResult, rows bool) {
	if len(r.Schema) == 0 && len(r.Tables) == 0 {
		fmt.Fprintf(w, "%s and %s have the same content\n", r.From, r.To)
		return
	}
	if rows && len(r.Tables) > 0 {
		fmt.Fprintln(w)
	}
	for _, s := range r.Schema {
		fmt.Fprintf(w, "%s %s: %s\n", s.Type, short(visible(s.Object), 60), s.Change)
	}
	if len(r.Tables) == 0 {
		return
	}
	table(w, func(row func(...string)) {
		row("TABLE", "ADDED", "REMOVED", "CHANGED", "COMPARED BY")
		for _, t := range r.Tables {
			by := string(t.ComparedBy)
			if t.NotCompared != "" {
				by = "not compared: " + short(visible(t.NotCompared), 80)
			}
			row(short(visible(t.Name), 60), humanize.Comma(t.Added), humanize.Comma(t.Removed), humanize.Comma(t.Changed), by)
		}
	})
}

// changeList prints changes as they come.
type changeList struct {
	w     io.Writer
	limit int
	table string
	shown int
}

func (l *changeList) add(table string, c snapshot.RowChange) error {
	if table != l.table {
		fmt.Fprintf(l.w, "%s\n", visible(table))
		l.table, l.shown = table, 0
	}
	switch l.shown++; {
	case l.shown == l.limit+1:
		_, err := fmt.Fprintln(l.w, "  …")
		return err
	case l.shown > l.limit:
		return nil
	}
	_, err := fmt.Fprintln(l.w, "  "+changeLine(c))
	return err
}

// changeLine is a change on one line: + for a row that was inserted, - for one deleted, ~ for one updated.
func changeLine(c snapshot.RowChange) string {
	switch c.Op {
	case snapshot.RowInserted:
		return "+ " + rowText(c.Key, c.After)
	case snapshot.RowDeleted:
		return "- " + rowText(c.Key, c.Before)
	}
	var parts []string
	for i, f := range c.After {
		parts = append(parts, fmt.Sprintf("%s: %s → %s", visible(f.Column), valueText(c.Before[i].Value), valueText(f.Value)))
	}
	return "~ " + rowText(c.Key, nil) + ": " + strings.Join(parts, ", ")
}

// rowText is the key, and the other columns.
func rowText(key, row snapshot.RowFields) string {
	var parts []string
	seen := map[string]bool{}
	for _, fields := range []snapshot.RowFields{key, row} {
		for _, f := range fields {
			if !seen[f.Column] {
				seen[f.Column] = true
				parts = append(parts, visible(f.Column)+"="+valueText(f.Value))
			}
		}
	}
	return strings.Join(parts, " ")
}

// valueText is a value as SQL writes it, cut to what a line can show.
func valueText(v any) string {
	const most = 60
	switch v := v.(type) {
	case nil:
		return "NULL"
	case string:
		return "'" + short(visible(v[:min(len(v), 4*most)]), most) + "'"
	case []byte:
		if len(v) > most/2 {
			return fmt.Sprintf("x'%x…' (%s)", v[:most/4], humanize.IBytes(uint64(len(v))))
		}
		return fmt.Sprintf("x'%x'", v)
	}
	return fmt.Sprint(v)
}
