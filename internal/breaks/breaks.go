// Package breaks finds out whether the live database is still the one that was backed up.
//
//	see        what is there: a database with its facts, or the cause why there is none
//	judge      is it the one of the newest backup? (pure)
//	apply      a new timeline begins, or there is no database
//	unaccepted the break that is recorded and not over
//
// Whether two databases are the same one is the subject of internal/lineage; package snapshot looks, records and reports.
package breaks

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/catalogfile"
	"example.com/snapd/internal/lineage"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/sqlitefile"
)

// Break says that the live file is no longer the database that was backed up.
type Break struct {
	At    time.Time     `json:"at"`
	Cause lineage.Cause `json:"cause"`
	What  string        `json:"what"` // in one sentence
	// Before is the newest backup from before it; nil where it is not known, or there is no database.
	Before *string `json:"before"`
}

// Harmless: the file was replaced, and nothing is known to be lost.
func (b *Break) Harmless() bool { return b.Cause == lineage.Replaced }

// Sight is what a look at the live database saw.
type Sight struct {
	Gone  lineage.Cause // why there is no database; "" where there is one
	What  string
	Facts lineage.Facts
}

// See looks at the database at path for as long as wait; named is that path before links in it were followed.
// An error is that it could not be looked at.
func See(ctx context.Context, path, named string, wait time.Duration) (Sight, error) {
	if real, err := livedb.Resolve(named); err == nil && real != path {
		return Sight{Gone: lineage.Link, What: fmt.Sprintf("%s leads to %s now, and %s is what is backed up; if that is wanted, start again", named, real, path)}, nil
	}
	st, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Sight{Gone: lineage.Missing, What: "the file is gone"}, nil
	case err != nil:
		return Sight{}, err
	case !st.Mode().IsRegular():
		what := "what has its name is no file: " + st.Mode().Type().String()
		if st.IsDir() {
			what = "a directory has its name"
		}
		return Sight{Gone: lineage.NoFile, What: what}, nil
	case st.Size() == 0:
		if log, err := os.Stat(sqlitefile.WAL(path)); err != nil || log.Size() == 0 {
			return Sight{Gone: lineage.Blank, What: "the file has zero bytes"}, nil
		}
	}
	fingerprint, err := livedb.TakeFingerprint(path)
	if err != nil {
		return Sight{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	tx, err := livedb.Begin(ctx, path, livedb.Options{AvoidReadMark0: true, InPlace: true})
	if err != nil {
		return Sight{}, err
	}
	facts, err := tx.Lineage(ctx)
	return Sight{Facts: fingerprint.Lineage(facts)}, errors.Join(err, tx.Close())
}

// Known is what the database was at its newest backup, zero where that is not known.
func Known(all []catalog.Entry, state catalog.State) (f lineage.Facts) {
	if before, ok := catalog.Predecessor(slices.Values(all), state); ok {
		f = factsOf(before)
	}
	return f
}

// Change is what a sight means for the timeline.
type Change struct {
	Began lineage.Cause // a break, or Returned
	Gone  lineage.Cause
	Back  bool // there is a database again
	What  string
	From  catalog.Entry // of before the break, or what came back
}

// None reports whether everything is as recorded.
func (c Change) None() bool { return c.Began == "" && c.Gone == "" && !c.Back }

// Judge compares what was seen with the newest backup. all comes newest first.
func Judge(all []catalog.Entry, state catalog.State, s Sight) (c Change) {
	if s.Gone != "" {
		held := slices.ContainsFunc(all, func(b catalog.Entry) bool { return b.DatabaseBytes > 0 })
		if held && (state.Gone == nil || state.Gone.Cause != s.Gone) {
			c.Gone, c.What = s.Gone, s.What
		}
		return c
	}
	c.Back = state.Gone != nil
	lost, stands := catalog.Unaccepted(all, state)
	if before, ok := givenUp(all, state, lost); stands && ok && !judge(before, s.Facts).Loss() {
		c.Began, c.From = lineage.Returned, before
		return c
	}
	for _, p := range []catalog.Present{catalog.PresentOf(slices.Values(all), state), lost} {
		i := slices.IndexFunc(all, func(b catalog.Entry) bool { return p.Cause.Break() && b.ID == p.From })
		if i >= 0 && isBack(factsOf(all[i]), s.Facts) {
			c.Began, c.From = lineage.Returned, all[i]
			return c
		}
	}
	if before, ok := catalog.Predecessor(slices.Values(all), state); ok {
		then := factsOf(before)
		if state.Placed { // a recovery or a restore put another file there since
			then.File = 0
		}
		c.Began, c.What = lineage.Judge(then, s.Facts)
		c.From = before
	} else if state.Timeline == nil {
		return rebuilt(all, s)
	}
	return c
}

// givenUp returns the newest backup from before a loss, where the catalog was lost and the newest archive is the safety backup of
// a state that lacks what that backup has: if the database does not, a restore ended the loss.
func givenUp(all []catalog.Entry, state catalog.State, lost catalog.Present) (before catalog.Entry, ok bool) {
	newest := slices.IndexFunc(all, catalog.Entry.Unfailed)
	i := slices.IndexFunc(all, func(e catalog.Entry) bool { return e.Unfailed() && e.Timeline.Number < lost.Lost() })
	if state.Timeline != nil || newest < 0 || i < 0 || all[newest].Trigger != catalog.TriggerPreRestore {
		return before, false
	}
	return all[i], judge(all[i], factsOf(all[newest])).Loss()
}

// judge compares what a database has with what it had at a backup, where it is not known which files they were.
func judge(then catalog.Entry, now lineage.Facts) lineage.Cause {
	was := factsOf(then)
	was.File = 0
	cause, _ := lineage.Judge(was, now)
	return cause
}

// rebuilt judges by the newest archive where the catalog was lost, and with it which restore put there
// what is there now: only a loss is believed. An undo of a restore may have brought it back.
func rebuilt(all []catalog.Entry, s Sight) (c Change) {
	i := slices.IndexFunc(all, catalog.Entry.Unfailed)
	if i < 0 {
		return c
	}
	then := factsOf(all[i])
	then.File = 0
	if cause, what := lineage.Judge(then, s.Facts); cause.Loss() {
		return Change{Began: cause, What: what, From: all[i]}
	}
	return c
}

// isBack reports whether now is the very database of then. After a rebuild its file is not known.
func isBack(then, now lineage.Facts) bool {
	cause, _ := lineage.Judge(then, now)
	known := then.File != 0 && now.File != 0
	return cause == "" && (known || then.Counter != 0 && then.Counter == now.Counter && then.UsedBytes == now.UsedBytes)
}

// factsOf are those of the database of e when it was backed up.
func factsOf(e catalog.Entry) lineage.Facts {
	o := catalogfile.OriginOf(e)
	return o.Lineage(o.Contents)
}

// Apply records c. all comes newest first. logged reports whether a timeline has a change log: then its number
// stands for what was captured, and is not given to another one.
func (c Change) Apply(all []catalog.Entry, state *catalog.State, at time.Time, logged func(timeline uint64) bool) {
	present := catalog.PresentOf(slices.Values(all), *state)
	if c.Gone != "" {
		state.Gone = &catalog.Gone{At: at, Cause: c.Gone, What: c.What}
		return
	}
	state.Gone = nil
	unused := !slices.ContainsFunc(all, func(b catalog.Entry) bool { return b.Timeline.Number == present.Number }) && !logged(present.Number)
	switch {
	case c.Began == "":
	case c.Began == lineage.Returned && unused && c.From.Timeline.Number == present.Number-1:
		state.TakeBack(c.From.Timeline) // as if nothing had been
	default:
		state.Begin(present, c.Began, c.From, c.What, catalog.NotBefore(all, at))
	}
}

// Unaccepted is the break that is recorded and not over, nil for none.
func Unaccepted(all []catalog.Entry, state catalog.State, now time.Time) *Break {
	if g := state.Gone; g != nil {
		return &Break{At: g.At.UTC(), Cause: g.Cause, What: g.What}
	}
	p, ok := catalog.Unaccepted(all, state)
	if !ok || p.Cause == lineage.Replaced && now.Sub(p.Began()) >= state.KeepsReplaced() {
		return nil
	}
	b := &Break{At: p.Began().UTC(), Cause: p.Cause, What: p.What}
	if slices.ContainsFunc(all, func(e catalog.Entry) bool { return e.ID == p.From }) {
		b.Before = &p.From
	}
	return b
}
