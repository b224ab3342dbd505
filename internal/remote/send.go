package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/store"
)

// File is an open file of the backup directory.
type File interface {
	io.ReaderAt
	io.Closer
	Stat() (fs.FileInfo, error)
}

// saveEvery is how often the ledger is written, at most, while segments are sent.
const saveEvery = 5 * time.Second

// work does what is to be done, and returns how long nothing else will be; negative: until something changes.
func (s *Sender) work(ctx context.Context) (wait time.Duration, err error) {
	if s.place == nil {
		if err := s.begin(ctx); err != nil {
			return 0, err
		}
	}
	if _, err := s.sealCaptured(false); err != nil {
		return 0, err
	}
	changed, err := s.catchUp(ctx)
	if changed || err == nil && s.catalogIsOld() {
		err = errors.Join(err, s.writeCatalog(ctx))
	}
	if err == nil && !s.o.Now().Before(s.nextProof()) {
		err = s.proveShare(ctx)
	}
	if err != nil {
		return 0, err
	}
	s.works()
	wait = max(0, s.nextProof().Sub(s.o.Now()))
	if !s.captured.IsZero() {
		wait = min(wait, max(0, s.captured.Add(pace).Sub(s.o.Now())))
	}
	return wait, nil
}

// catchUp removes and sends until nothing is left to do. changed: backups came or went.
func (s *Sender) catchUp(ctx context.Context) (changed bool, err error) {
	defer func() {
		if s.unsaved {
			s.save()
		}
	}()
	defer s.moving.Store(nil)
	skip := map[string]bool{} // what could not be opened
	s.unsent = nil
	done := int64(0)
	for ctx.Err() == nil {
		local, err := s.notOlder(ctx, s.ledger.names())
		if err != nil {
			return changed, err
		}
		plan := Decide(local, s.ledger.Copies, s.rules())
		item, more := next(plan.Send, skip)
		removals := s.movable(plan.Remove)
		if !more && len(removals) == 0 {
			return changed, nil
		}
		if err := s.checkClaim(ctx); err != nil {
			return changed, err
		}
		for _, r := range removals {
			gone, err := s.remove(ctx, r)
			changed = changed || gone
			if err != nil {
				return changed, err
			}
			if len(s.immovable) >= maxDenied {
				break
			}
		}
		if !more || len(removals) > 0 {
			continue // what is there has changed
		}
		now := movementOf(done, item, plan.Send, skip)
		s.moving.Store(now)
		switch err := s.send(ctx, item, now); {
		case errors.Is(err, errUnsendable):
			skip[item.Name.String()] = true
			if !errors.Is(err, fs.ErrNotExist) {
				s.unsent = err
				s.o.Host.Report(Event{Kind: Notice, Backup: item.Name.ID, Err: err, Message: fmt.Sprintf("%s is not sent to %s", item.Name, s.o.Name)})
			}
		case err != nil:
			return changed, err
		default:
			done += item.Size
			changed = changed || item.Entry != nil
		}
	}
	return changed, context.Cause(ctx)
}

// movementOf is how far a round is that has sent done bytes, and sends an item of those that are left.
func movementOf(done int64, i Item, left []Item, skip map[string]bool) *movement {
	m := &movement{done: done, total: done, size: i.Size}
	for _, l := range left {
		if !skip[l.Name.String()] {
			m.total += l.Size
		}
	}
	return m
}

// errUnsendable: a file here is gone, or is not what it should be.
var errUnsendable = errors.New("it cannot be sent")

func next(items []Item, skip map[string]bool) (Item, bool) {
	for _, i := range items {
		if !skip[i.Name.String()] {
			return i, true
		}
	}
	return Item{}, false
}

// rules are what plans go by now.
func (s *Sender) rules() Rules {
	set := s.o.Settings()
	return Rules{From: s.ledger.From, Keep: set.Keep, Delete: set.Delete, Points: set.Points, Sealed: s.o.Sealed, Keys: keysOf(s.ledger.Recipients), Claim: s.ledger.Claim, Now: s.o.Now()}
}

// checkClaim asks whether another writes there now.
func (s *Sender) checkClaim(ctx context.Context) error {
	number, refused, err := stillMine(ctx, s.place.Store, s.me, s.ledger.Claim, s.o.Name)
	s.ledger.Claim = number
	for _, n := range refused {
		s.o.Host.Report(Event{Kind: Intruder, Message: fmt.Sprintf("another snapd tried to write to remote %s and was refused: %s", s.o.Name, n)})
	}
	return err
}

// send stores one object. m counts what the store has read of it; nil: nothing does.
func (s *Sender) send(ctx context.Context, i Item, m *movement) error {
	if err := i.Name.Check(); err != nil {
		return fmt.Errorf("%w: %w", errUnsendable, err)
	}
	f, err := s.open(ctx, i)
	if err != nil {
		return s.unsendable(ctx, i, err)
	}
	defer f.Close() // only read
	fi, err := f.Stat()
	if err != nil {
		return fmt.Errorf("%w: %w", errUnsendable, err)
	}
	if i.Entry == nil {
		i.Size = fi.Size() // it may have been thinned
	} else if fi.Size() != i.Size {
		return fmt.Errorf("%w: it has %d bytes here, and should have %d", errUnsendable, fi.Size(), i.Size)
	}
	to, name := s.place.to(i.Name)
	var o store.Object
	err = s.transfer(ctx, i, func(ctx context.Context) (err error) {
		o, err = to.Put(m.counting(ctx), name, f, i.Size)
		return err
	})
	if errors.Is(err, store.ErrExists) {
		return s.exists(ctx, i, f)
	}
	if err != nil && store.IsSource(err) && ctx.Err() == nil {
		return s.unsendable(ctx, i, err)
	}
	if err != nil {
		return fmt.Errorf("send %s to remote %s: %w", i.Name, s.o.Name, err)
	}
	s.stored(i, o, s.keys(i.Name))
	return nil
}

// keys name the recipients for whom an object is sealed now.
func (s *Sender) keys(n Name) string {
	if !n.Sealed {
		return ""
	}
	return keysOf(s.ledger.Recipients)
}

func (s *Sender) open(ctx context.Context, i Item) (File, error) {
	if i.Entry != nil {
		return s.o.Host.Open(ctx, *i.Entry)
	}
	if err := s.o.Host.WholeSegment(i.Path); err != nil {
		return nil, err
	}
	return durable.OpenRegular(i.Path, os.O_RDONLY, 0)
}

// unsendable is the error for a file here that could not be read as it should be. A backup is verified then: no copy is made of a damaged one.
func (s *Sender) unsendable(ctx context.Context, i Item, err error) error {
	if i.Entry != nil && damagedArchive(err) {
		s.o.Host.Suspect(ctx, *i.Entry)
	}
	return fmt.Errorf("%w: %w", errUnsendable, err)
}

// stored enters a copy that the store has acknowledged, and that is sealed for the recipients that keys names.
func (s *Sender) stored(i Item, o store.Object, keys string) {
	s.ledger.put(Copy{Name: i.Name.String(), Size: o.Size, Checksum: o.Checksum, At: s.o.Now().UTC(), Entry: i.Entry, Base: i.Base, Keys: keys})
	s.unsaved = true
	if i.Entry != nil || s.o.Now().Sub(s.saved).Abs() >= saveEvery {
		s.save()
	}
	ev := Event{Kind: SentMore, Bytes: o.Size, Message: fmt.Sprintf("recovery points are at remote %s", s.o.Name)}
	if i.Entry != nil {
		ev.Kind, ev.Backup, ev.Message = Sent, i.Entry.ID, fmt.Sprintf("backup %s is at remote %s", i.Entry.ID, s.o.Name)
	} else {
		ev.Point = catalog.PointID(i.Name.Timeline, i.Name.Last)
	}
	s.o.Host.Report(ev)
}

// exists decides about a name that is taken: the answer of an earlier attempt was lost, or the list was old. Another
// writer it cannot be: that one would have had to claim the remote.
func (s *Sender) exists(ctx context.Context, i Item, f File) error {
	o, err := s.place.Store.Stat(ctx, i.Name.String())
	if err != nil {
		return fmt.Errorf("look at %s at remote %s: %w", i.Name, s.o.Name, err)
	}
	o.Name = i.Name.String()
	c := s.found(i.Name, o, Local{})
	if i.Name.Sealed && s.sealedBefore != "" {
		c.Keys = s.sealedBefore // it may have been sealed before this process began: then it is sealed again
	}
	c.Entry, c.Base = i.Entry, i.Base
	err = s.transfer(ctx, i, func(ctx context.Context) (err error) {
		c, err = s.compare(ctx, s.place.Store, i.Name, c, f)
		return err
	})
	if err != nil {
		return err
	}
	if c.Damaged == "" {
		o.Checksum = c.Checksum
		s.stored(i, o, c.Keys)
		return nil
	}
	s.ledger.put(c)
	s.save()
	s.o.Host.Report(Event{Kind: Damaged, Backup: i.Name.ID, Message: fmt.Sprintf("%s at remote %s is damaged: %s", i.Name, s.o.Name, c.Damaged)})
	if !s.rules().Delete || len(s.movable([]Removal{{Name: c.Name}})) == 0 {
		return fmt.Errorf("%w: its name is taken by a damaged object", errUnsendable)
	}
	return nil // the next plan removes it
}

// maxDenied is how many removals a store may refuse before no more are tried, until the next day.
const maxDenied = 5

// movable are the removals that the store has not refused today.
func (s *Sender) movable(all []Removal) (list []Removal) {
	if len(s.immovable) >= maxDenied {
		return nil
	}
	for _, r := range all {
		if !s.immovable[r.Name] {
			list = append(list, r)
		}
	}
	return list
}

// wholeHere proves what takes the place of what is removed.
func (s *Sender) wholeHere(ctx context.Context, r Removal) error {
	switch {
	case r.Again != nil:
		return s.o.Host.Whole(ctx, *r.Again)
	case r.Segment != nil:
		return s.o.Host.WholeSegment(r.Segment.Path)
	}
	return nil
}

// remove deletes one object. What the store keeps, by an object lock for example, is left and said.
func (s *Sender) remove(ctx context.Context, r Removal) (changed bool, err error) {
	if err := s.wholeHere(ctx, r); err != nil { // some of what is there may be better than what is here
		if ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
		s.immovable[r.Name] = true
		n, _ := Parse(r.Name)
		s.o.Host.Report(Event{Kind: Notice, Backup: n.ID, Err: err, Message: fmt.Sprintf("%s is to be sent to remote %s again and is not proven here: what is there stays", r.Name, s.o.Name)})
		return false, nil
	}
	err = s.place.Store.Delete(ctx, r.Name)
	if errors.Is(err, store.ErrDenied) {
		s.immovable[r.Name] = true
		if !s.refused {
			s.refused = true
			s.o.Host.Report(Event{Kind: Notice, Err: err, Message: fmt.Sprintf("remote %s does not let old objects go; they stay, which delete = false leaves to the store", s.o.Name)})
		}
		return false, nil
	}
	if err != nil && !errors.Is(err, store.ErrMissing) {
		return false, fmt.Errorf("remove %s from remote %s: %w", r.Name, s.o.Name, err)
	}
	s.ledger.drop(r.Name)
	s.unsaved = true
	n, _ := Parse(r.Name)
	if n.Kind != Backup {
		return false, nil
	}
	s.save()
	s.o.Host.Report(Event{Kind: Removed, Backup: n.ID, Message: fmt.Sprintf("removed old backup %s from remote %s: %s", n.ID, s.o.Name, r.Why)})
	return true, nil
}
