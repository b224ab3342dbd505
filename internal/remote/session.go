package remote

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"example.com/snapd/internal/message"
	"example.com/snapd/internal/store"
)

// ErrOtherPlace: what is there is another database's, or what was there is gone.
var ErrOtherPlace = errors.New("the remote is not the place that it was")

// begin opens the remote, finds out what is there, and claims it. Where what was sent is newer than what is here, that is found out before.
func (s *Sender) begin(ctx context.Context) error {
	if _, err := s.notOlder(ctx, s.ledger.names()); err != nil {
		return err
	}
	place, err := s.o.Open(ctx, s.ledger.Place)
	if err == nil && s.o.Sealed != (place.Sealed != nil) {
		err = errors.New("it is to be sealed, and would not be")
	}
	if err != nil {
		return s.elsewhere(fmt.Errorf("open remote %s: %w", s.o.Name, err))
	}
	there, err := list(ctx, place.Store)
	if err != nil {
		return fmt.Errorf("list remote %s: %w", s.o.Name, err)
	}
	newest := uint64(0)
	for n := range there {
		if n.Kind == Writer {
			newest = max(newest, n.Number)
		}
	}
	me := self(s.ledger.Token, s.run, s.o.Database, s.o.Now())
	if err := s.describe(ctx, place, me, newest); err != nil {
		return s.elsewhere(err)
	}
	local, err := s.notOlder(ctx, slices.Collect(maps.Keys(there)))
	if err != nil {
		return err
	}
	if err := s.claim(ctx, place.Store, me, newest); err != nil {
		return err
	}
	s.me = me
	if err := s.reconcile(ctx, place, there, local); err != nil {
		return err
	}
	s.place, s.sealedBefore = &place, keysOf(s.ledger.Recipients)
	s.ledger.Place, s.ledger.Where, s.ledger.Recipients = place.ID, s.o.Where, place.Recipients
	s.works()
	s.save()
	return nil
}

// elsewhere adds to the error for a place that is not the one before what to type where the remote was moved there.
func (s *Sender) elsewhere(err error) error {
	for _, other := range []error{ErrOtherPlace, store.ErrUnmarked, store.ErrAnotherPlace} {
		if was := s.ledger.Where; errors.Is(err, other) && was != s.o.Where {
			return message.WithHint(fmt.Errorf("%w; it was %s before", err, was),
				"where it is to be there from now on, stop serve and run snapd remote adopt "+s.o.Name+"; else put its url back")
		}
	}
	return err
}

// notOlder returns what is here, unless that is older than what is there. It looks twice: segments are joined meanwhile.
func (s *Sender) notOlder(ctx context.Context, there []Name) (local Local, err error) {
	why := ""
	for range 2 {
		if local, err = s.o.Host.Local(ctx); err != nil {
			return local, err
		}
		if why = local.older(there, s.ledger.Copies, s.ledger.From); why == "" {
			return local, nil
		}
	}
	return local, errOlder(s.o.Name, why)
}

// maxListed bounds what a store lists, some 300 bytes each: ours are a few for each minute that recovery points are kept.
const maxListed = 1 << 20

// list is every object of ours.
func list(ctx context.Context, s store.Store) (map[Name]store.Object, error) {
	all := map[Name]store.Object{}
	listed, before := 0, ""
	for o, err := range s.List(ctx, "", "") {
		if err != nil {
			return nil, err
		}
		if listed++; listed > maxListed {
			return nil, fmt.Errorf("the list of what is there does not end: it has more than %d names, the last one %.100q", maxListed, o.Name)
		}
		if before != "" && o.Name <= before {
			return nil, fmt.Errorf("the list of what is there is not in order: %.100q after %.100q", o.Name, before)
		}
		before = o.Name
		if n, ok := Parse(o.Name); ok {
			all[n] = o
		}
	}
	return all, nil
}

// describe proves that the place is the one that the ledger knows, or makes it that.
func (s *Sender) describe(ctx context.Context, place Place, me note, newest uint64) error {
	var d description
	name := Name{Kind: Description}.String()
	err := getSmall(ctx, place.Store, name, &d)
	switch {
	case errors.Is(err, store.ErrMissing) && (s.ledger.Database == "" || s.ledger.Beginning):
		return s.establish(ctx, place, me)
	case errors.Is(err, store.ErrMissing):
		return message.WithHint(fmt.Errorf("%w: its %s is gone; %d objects were there", ErrOtherPlace, name, len(s.ledger.Copies)),
			"is it the right place? To begin again there, run snapd remote adopt "+s.o.Name)
	case err != nil:
		return fmt.Errorf("find out whose remote %s is: %w", s.o.Name, err)
	case d.Format != descriptionFormat:
		return fmt.Errorf("remote %s has format %d, and this program knows %d", s.o.Name, d.Format, descriptionFormat)
	case d.Database == s.ledger.Database:
		s.ledger.Beginning = false
		return nil
	}
	holder, held, err := lastClaim(ctx, place.Store, newest, newest)
	if err != nil || !held {
		holder = note{Host: d.Host, Database: d.Name, At: d.Created}
	}
	return refuse(ctx, place.Store, me, holder, newest, s.o.Name)
}

// establish writes the description of a place that has none.
func (s *Sender) establish(ctx context.Context, place Place, me note) error {
	d := description{Format: descriptionFormat, Database: s.ledger.Database, Name: me.Database, Host: me.Host, Created: me.At, Abilities: place.Store.Abilities()}
	if d.Database == "" {
		d.Database = newToken()
	}
	s.ledger.Database, s.ledger.Beginning = d.Database, true
	s.save() // first: a process that is killed here finds its own id there
	name := Name{Kind: Description}.String()
	_, err := putSmall(ctx, place.Store, name, d)
	if errors.Is(err, store.ErrExists) {
		var now description
		if err := getSmall(ctx, place.Store, name, &now); err != nil {
			return err
		}
		if now.Database == d.Database {
			s.ledger.Beginning = false
			return nil // its answer was lost
		}
		s.ledger.Database, s.ledger.Beginning = "", false
		return otherWriter(note{Host: now.Host, Database: now.Name, At: now.Created}, s.o.Name)
	}
	if err != nil {
		return fmt.Errorf("begin remote %s: %w", s.o.Name, err)
	}
	s.ledger.Beginning = false
	return nil
}

// reconcile makes the ledger say what is there.
func (s *Sender) reconcile(ctx context.Context, place Place, there map[Name]store.Object, local Local) (err error) {
	now := s.o.Now().UTC()
	s.ledger.Listed = &now
	if s.ledger.Proven == nil || s.ledger.Proven.After(now) { // a clock that was wrong puts no proof off
		s.ledger.Proven = &now
	}
	known := make(map[string]Copy, len(s.ledger.Copies))
	for _, c := range s.ledger.Copies {
		known[c.Name] = c
	}
	var document map[string]Stored // of what the ledger does not know
	copies := make([]Copy, 0, len(there))
	for n, o := range there {
		c, ok := known[o.Name]
		delete(known, o.Name)
		switch {
		case ok && c.Size == o.Size:
		case ok && c.Damaged == "":
			c.Damaged = fmt.Sprintf("it has %d bytes, and %d were stored", o.Size, c.Size)
			s.o.Host.Report(Event{Kind: Damaged, Backup: n.ID, Message: fmt.Sprintf("%s at remote %s is damaged: %s", o.Name, s.o.Name, c.Damaged)})
		case !ok:
			c = s.found(n, o, local)
		}
		if n.Kind == Backup && !ok {
			if document == nil && !s.o.Sealed { // else what is not sealed would come into the sealed catalog, which vouches for it
				if document, err = documented(ctx, place, there); err != nil {
					return err
				}
			}
			if c, err = s.recognise(ctx, place, c, document[o.Name]); err != nil {
				return err
			}
		}
		if !ok && (n.Kind == Backup || n.Kind == Segment) {
			if c, err = s.compareWithHere(ctx, place.Store, n, c, local); err != nil {
				return err
			}
			if known := document[o.Name]; c.Checksum == "" && known.Size == c.Size {
				c.Checksum = known.Checksum // it is read back some day, and compared with that
			}
		}
		copies = append(copies, c)
	}
	lost := 0
	for _, c := range known { // an old list may not show it
		_, err := place.Store.Stat(ctx, c.Name)
		switch {
		case err == nil:
			copies = append(copies, c)
		case errors.Is(err, store.ErrMissing):
			lost++
		default:
			return fmt.Errorf("look for %s at remote %s: %w", c.Name, s.o.Name, err)
		}
	}
	if lost > 0 {
		s.o.Host.Report(Event{Kind: Notice, Message: fmt.Sprintf("%d objects are gone from remote %s; those that are still here are sent again", lost, s.o.Name)})
	}
	s.ledger.Copies = copies
	return nil
}

// recognise adds to the copy of a backup what the catalog there and the store know of it.
func (s *Sender) recognise(ctx context.Context, place Place, c Copy, known Stored) (Copy, error) {
	if c.Entry == nil && known.Object != "" {
		c.Entry = &known.Entry
	}
	if c.Checksum == "" {
		o, err := place.Store.Stat(ctx, c.Name)
		if err != nil {
			return c, fmt.Errorf("look at %s at remote %s: %w", c.Name, s.o.Name, err)
		}
		c.Checksum = o.Checksum
	}
	return c, nil
}

// found is the copy of an object that the ledger does not know. A sealed one was sealed for those who were the recipients then: the ledger
// has them from before the first object was sent.
func (s *Sender) found(n Name, o store.Object, local Local) Copy {
	c := Copy{Name: o.Name, Size: o.Size, Checksum: o.Checksum, At: o.Modified.UTC()}
	if n.Sealed {
		c.Keys = keysOf(s.ledger.Recipients)
	}
	for _, e := range local.Backups {
		if n.Kind == Backup && e.ID == n.ID && e.Seq == n.Number && e.Usable() {
			e := e.Public()
			e.Copies = nil
			c.Entry = &e
		}
	}
	for _, l := range local.Segments {
		if n.Kind == Segment && l.Name.Timeline == n.Timeline {
			c.Base = l.Base
			break
		}
	}
	if c.Entry != nil && !n.Sealed && o.Size != c.Entry.ArchiveBytes {
		c.Damaged, c.Other = fmt.Sprintf("it has %d bytes, and the archive %d", o.Size, c.Entry.ArchiveBytes), true
	}
	return c
}
