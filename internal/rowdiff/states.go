package rowdiff

import (
	"context"
	"errors"
	"time"

	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/message"
)

// LiveID is the id of the database itself, as it is now.
const LiveID = "live"

// States are those of one database that can be compared: the live one, and images by their ids.
type States struct {
	Database string
	Scratch  string        // the directory for what does not fit into memory
	LockWait time.Duration // how long the live database's locks are waited for
	Image    func(ctx context.Context, id string) (State, error)
}

// State is a state to be compared: a live one, or an image.
type State struct {
	*Side
	Pages archive.Image // of an image; nil of the live one
	// Failed is called with damage that a read of Pages has found; nil for nothing.
	Failed func(error)
	Close  func() error
	live   *Live
}

func (s States) open(ctx context.Context, id string) (State, error) {
	if id != LiveID {
		return s.Image(ctx, id)
	}
	live, err := OpenLive(ctx, s.Database, s.Scratch, s.LockWait)
	if err != nil {
		return State{}, err
	}
	return State{Side: &live.Side, Close: live.Close, live: live}, nil
}

// Compare calls fn with two states; only rows on pages that differ are compared where narrow.
func (s States) Compare(ctx context.Context, from, to string, narrow bool, fn func(d *Diff, from, to *Side) error) (err error) {
	var sides [2]State
	for i, id := range []string{from, to} {
		if sides[i], err = s.open(ctx, id); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, sides[i].Close()) }()
	}
	if err := s.compare(ctx, sides, narrow, fn); err != nil {
		return damaged(sides, err)
	}
	return nil
}

// damaged reports what was found damaged to the states, each of which finds out whether that is its own.
func damaged(sides [2]State, err error) error {
	if !errors.Is(err, archive.ErrDamaged) {
		return err
	}
	for _, side := range sides {
		if side.Failed != nil {
			side.Failed(err)
		}
	}
	return message.WithHint(err, "choose another backup; verify proves which are good")
}

func (s States) compare(ctx context.Context, sides [2]State, narrow bool, fn func(d *Diff, from, to *Side) error) (err error) {
	d, err := New(ctx, sides[0].Side, sides[1].Side, s.Scratch)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	var pages *Pages
	if narrow {
		if pages, err = comparePages(ctx, sides[0], sides[1]); err == nil {
			err = d.Narrow(ctx, pages)
		}
	}
	for _, side := range sides {
		if err == nil && pages == nil && side.Pages != nil {
			err = d.CheckTrees(ctx, side.Side, side.Pages)
		}
	}
	if err != nil {
		return err
	}
	return fn(d, sides[0].Side, sides[1].Side)
}

// comparePages compares the pages of both states; nil where nothing follows from that.
func comparePages(ctx context.Context, from, to State) (*Pages, error) {
	switch {
	case from.Pages != nil && to.Pages != nil:
		return ComparePages(ctx, from.Pages, to.Pages)
	case from.Pages != nil:
		return to.live.ComparePages(ctx, from.Pages, false)
	case to.Pages != nil:
		return from.live.ComparePages(ctx, to.Pages, true)
	}
	return nil, nil
}
