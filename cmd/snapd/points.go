package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"example.com/snapd/snapshot"
)

type pointsCmd struct {
	From     []string `placeholder:"TIME|URL" sep:"none" help:"Those of this time or later, as for restore --at; or those at this remote, as for restore --from. Both may be given."`
	To       moment   `placeholder:"TIME" help:"Those of this time or earlier."`
	Limit    *int     `placeholder:"N" help:"At most so many, the newest; 0: all. Default: 20 in the table, all with --json."`
	Identity string   `placeholder:"FILE" help:"With the --from of a remote: the secret key of sealed copies."`
}

// remote is the --from that is a URL, which no time is.
func (c *pointsCmd) remote() copies {
	from := copies{Identity: c.Identity}
	for _, s := range c.From {
		if strings.Contains(s, "://") {
			from.From = s
		}
	}
	return from
}

// since is the --from that is a time.
func (c *pointsCmd) since() moment {
	for _, s := range c.From {
		if !strings.Contains(s, "://") {
			return moment(s)
		}
	}
	return ""
}

// Validate is called by the parser.
func (c *pointsCmd) Validate() error {
	times := slices.DeleteFunc(slices.Clone(c.From), func(s string) bool { return strings.Contains(s, "://") })
	if len(times) > 1 || len(c.From)-len(times) > 1 {
		return errors.New("--from is given twice")
	}
	if slices.Contains(c.From, "") {
		return errors.New("--from is empty")
	}
	return nil
}

// Help is what the parser adds to the help of points.
func (pointsCmd) Help() string {
	return "A recovery point is a state of the database that restore puts back: a verified backup, or what serve captured of the commits in between. " +
		"Its ID does wherever a backup's is restored, drilled or read."
}

// shownPoints is how many points a table has by default.
const shownPoints = 20

// pointsDocument is the JSON form of the recovery points.
type pointsDocument struct {
	Points     []snapshot.Point `json:"points"`
	NextCursor string           `json:"next_cursor"`
}

func (c *pointsCmd) reads() bool { return c.remote().From == "" }

func (c *pointsCmd) on(ctx context.Context, a *app, m *snapshot.Manager) error {
	q, err := c.query(a.JSON, time.Now())
	if err != nil {
		return err
	}
	if a.JSON {
		page, next, err := m.Points(ctx, q)
		if err != nil {
			return err
		}
		return a.result(pointsDocument{page, next}, nil)
	}
	limit := q.Limit
	q.Limit = 0
	all, _, err := m.Points(ctx, q)
	if err != nil {
		return err
	}
	return a.result(nil, func(w io.Writer) {
		printPoints(w, fmt.Sprintf("there is no recovery point of %s in %s", m.Database(), m.Dir()), all, limit, time.Now())
	})
}

func (c *pointsCmd) query(asJSON bool, now time.Time) (q snapshot.PointsQuery, err error) {
	if c.Limit == nil {
		if q.Limit = shownPoints; asJSON {
			q.Limit = 0
		}
	} else if q.Limit = *c.Limit; q.Limit < 0 {
		return q, &usageError{"--limit is a number of points, 0 for all", "leave it out for the newest ones"}
	}
	for _, bound := range []struct {
		flag string
		word moment
		to   *time.Time
	}{{"--from", c.since(), &q.From}, {"--to", c.To, &q.To}} {
		if bound.word == "" {
			continue
		}
		t, ok := parseMoment(string(bound.word), now)
		if !ok {
			return q, notATime(bound.flag, bound.word)
		}
		*bound.to = t
	}
	return q, nil
}

func notATime(flag string, word moment) error {
	return &usageError{fmt.Sprintf("%s %q is not a time", flag, string(word)), "write " + momentForms + "; times without a zone are local"}
}

// printPoints shows how dense the points are, how far back they go, and the newest ones; or says that there is none.
func printPoints(w io.Writer, none string, all []snapshot.Point, limit int, now time.Time) {
	if len(all) == 0 {
		fmt.Fprintln(w, none)
		return
	}
	oldest := all[len(all)-1]
	fmt.Fprintf(w, "%s, back to %s (%s)\n", count(len(all), "recovery point", "recovery points"), when(oldest.At), ago(oldest.At))
	from := time.Duration(0)
	for _, age := range []struct {
		until time.Duration
		name  string
	}{{time.Hour, "of the last hour"}, {48 * time.Hour, "of the 48 hours"}, {7 * 24 * time.Hour, "of the 7 days"}, {30 * 24 * time.Hour, "of the 30 days"}, {1<<63 - 1, "older"}} {
		n := 0
		for _, p := range all {
			if old := now.Sub(p.At); old >= from && old < age.until || from == 0 && old < 0 {
				n++
			}
		}
		if n > 0 {
			fmt.Fprintf(w, "  %-18s %s\n", age.name, humanize.Comma(int64(n)))
		}
		from = age.until
	}
	shown := all
	if limit > 0 && len(all) > limit {
		shown = all[:limit]
	}
	fmt.Fprintln(w)
	table(w, func(row func(...string)) {
		row("ID", "AT (UTC)", "AGE", "COMMITS", "SIZE", "STATE")
		for _, p := range shown {
			commits := ""
			if p.Commits > 0 {
				commits = humanize.Comma(p.Commits)
			}
			state := string(p.State)
			if p.Kind == snapshot.PointBackup {
				state = "backup"
			}
			row(p.ID, utc(p.At), ago(p.At), commits, size(p.Bytes), state)
		}
	})
	if n := len(all) - len(shown); n > 0 {
		fmt.Fprintf(w, "and %s; --limit 0 shows all, --from and --to choose\n", count(n, "older one", "older ones"))
	}
}

// findsByTime is a Manager, or what finds recovery points elsewhere.
type findsByTime interface {
	PointAt(ctx context.Context, t time.Time) (snapshot.Point, error)
}

// pointAt is the newest recovery point at or before the time that the word says. An hour that came twice,
// by the local clock or because the machine's was set back, has two answers, and then it is an error that names both.
func pointAt(ctx context.Context, m findsByTime, word moment, now time.Time) (snapshot.Point, error) {
	t, ok := parseMoment(string(word), now)
	if !ok {
		return snapshot.Point{}, notATime("--at", word)
	}
	p, err := m.PointAt(ctx, t)
	var twice *snapshot.PointsAmbiguous
	if errors.As(err, &twice) {
		return p, cameTwice(word, "the clock was set back", twice.Points)
	}
	again, came := secondTime(string(word), t)
	if !came || err != nil && !errors.Is(err, snapshot.ErrNotFound) {
		return p, err
	}
	other, errOther := m.PointAt(ctx, again)
	switch {
	case errOther != nil:
		return p, err
	case err != nil:
		return other, nil
	case p.ID != other.ID:
		return p, cameTwice(word, "the local clock was set back", []snapshot.Point{p, other})
	}
	return p, nil
}

func cameTwice(word moment, why string, points []snapshot.Point) error {
	text := fmt.Sprintf("--at %q came more than once: %s:", string(word), why)
	for i, p := range points {
		if i > 0 {
			text += ","
		}
		text += fmt.Sprintf(" %s (%s UTC)", p.ID, utc(p.At))
	}
	return &usageError{text, "name one of them instead of a time"}
}
