package remote

import (
	"context"
	"errors"
	"fmt"

	"example.com/snapd/internal/store"
)

// Adopted says what a backup directory has to do to go on with the history of a remote.
type Adopted struct {
	Before   string // who wrote there before; "" for none
	Timeline uint64 // the first one that is free there and, once the directory is on it, here
	Number   uint64 // the first number of a backup that is free there
}

// unreadTimelines is how many timelines are left out where there are backups that no catalog says anything of, because they are sealed or it is
// damaged: which ones those are on is not known here, and one begins with each restore. Two histories on one timeline would keep each other from
// being read.
const unreadTimelines = 1000

// Adopt makes the remote this directory's, whichever directory wrote there before: the other one stops with its next object. present is the
// timeline that the directory is on. What was there stays, and what the directory makes from now on has timelines and numbers after it, which is for
// begin to see to, before the directory has the remote: else it would send nothing there, and say nothing.
func Adopt(ctx context.Context, o Options, present uint64, begin func(Adopted) error) (a Adopted, err error) {
	l, err := openLedger(o.Dir, o.Name)
	if err != nil {
		return a, err
	}
	place, err := o.Open(ctx, "") // whatever is there now
	if err != nil {
		return a, fmt.Errorf("open remote %s: %w", o.Name, err)
	}
	there, err := list(ctx, place.Store)
	if err != nil {
		return a, fmt.Errorf("list remote %s: %w", o.Name, err)
	}
	newest := uint64(0)
	a.Timeline, a.Number = present+1, 1
	for n := range there {
		switch n.Kind {
		case Writer:
			newest = max(newest, n.Number)
		case Backup:
			a.Number = max(a.Number, n.Number+1)
		case Segment:
			a.Timeline = max(a.Timeline, n.Timeline+1)
		}
	}
	known, err := documented(ctx, place, there)
	if err != nil {
		return a, err
	}
	for _, b := range known {
		a.Timeline = max(a.Timeline, b.Entry.Timeline.Number+1)
	}
	for n := range there {
		if _, read := known[n.String()]; n.Kind == Backup && !read {
			a.Timeline += unreadTimelines
			break
		}
	}
	if max(a.Timeline, a.Number, newest+1) > maxNumber {
		return a, fmt.Errorf("adopt remote %s: %w", o.Name, errLastNumber)
	}
	var d description
	err = getSmall(ctx, place.Store, Name{Kind: Description}.String(), &d)
	switch {
	case errors.Is(err, store.ErrMissing):
		d.Database = "" // the next start begins it again
	case err != nil:
		return a, fmt.Errorf("find out whose remote %s is: %w", o.Name, err)
	}
	if before, held, err := lastClaim(ctx, place.Store, newest, newest); err != nil {
		return a, fmt.Errorf("find out who writes there: %w", err)
	} else if held && before.Token != l.Token {
		a.Before = before.String()
	}
	me := self(l.Token, newToken(), o.Database, o.Now())
	if _, err := putSmall(ctx, place.Store, Name{Kind: Writer, Number: newest + 1}.String(), me); err != nil {
		return a, fmt.Errorf("claim remote %s: %w", o.Name, err)
	}
	if err := begin(a); err != nil {
		return a, err
	}
	l.Where, l.Database, l.Claim, l.From, l.Place, l.Sealed = o.Where, d.Database, newest+1, a.Timeline, place.ID, o.Sealed
	l.Copies, l.Failure, l.Stopped, l.Retired, l.Beginning = nil, nil, false, false, false
	return a, l.write(o.Dir)
}
