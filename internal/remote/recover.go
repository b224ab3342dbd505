package remote

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/points"
	"example.com/snapd/internal/store"
	"example.com/snapd/internal/store/seal"
)

// Look opens the copies at a remote for a recovery of the database with that file name, whose backup directory is dir. It writes nothing
// there. Errors: [ErrNothing]; those that Unusable knows; any other says that it could not be found out.
func Look(ctx context.Context, r Remote, dir, database, scratch string) (*Reader, error) {
	o := ReadOptions{Scratch: scratch, Sealed: r.Sealed()}
	if r.Identity != "" {
		var err error
		if o.Identities, err = seal.ReadIdentities(r.Identity); err != nil {
			return nil, err
		}
	}
	l, err := ReadLedger(dir, r.Name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) || l.Where != Where(r.URL) {
		l = Ledger{} // what is there says enough
	}
	from, err := ReadStore(ctx, r.URL, l.Place)
	if err != nil {
		return nil, err
	}
	reader, err := NewReader(ctx, from, o)
	if err != nil {
		return nil, err
	}
	if len(reader.backups) == 0 {
		return nil, ErrNothing
	}
	return reader, reader.of(ctx, l.Database, database)
}

// of reports whether the copies are those of a database: id is that of the place, where it is known.
func (r *Reader) of(ctx context.Context, id, database string) error {
	if r.Database != "" && r.Database != database {
		return fmt.Errorf("%w: it has copies of %s, not of %s", ErrOtherPlace, named(r.Database), database)
	}
	if id == "" {
		return nil
	}
	var d description
	err := getSmall(ctx, r.from, Name{Kind: Description}.String(), &d)
	if errors.Is(err, store.ErrMissing) || err == nil && d.Database != id {
		return ErrOtherPlace
	}
	return err
}

// Unusable reports whether an error of Look, or of what its Reader reads, says that a copy is of no use here. Any other may be gone the
// next time.
func Unusable(err error) bool {
	return lost(err) || errors.Is(err, errNoneReadable) || errors.Is(err, ErrUnsealed) || errors.Is(err, ErrOtherPlace) || errors.As(err, new(*DamagedError))
}

// errNoneReadable: there are backups, and what is wrong with them is said next to it.
var errNoneReadable = errors.New("none of the backups there can be read")

// Candidates are the states that a recovery tries, in that order, as backups' entries: those that were captured since the newest backup,
// then the backups. Damage stays: where a captured state has it, those after that have it, too. So of those the distances double.
func (r *Reader) Candidates(ctx context.Context) (all []catalog.Entry, err error) {
	timeline, _ := r.Last()
	if err := r.stage(ctx, func() []Name { return r.neededOf(timeline, 0, time.Time{}) }); err != nil {
		return nil, err
	}
	_, newer, err := points.Newer(ctx, r.Scratch, timeline, r.entries, r.state)
	if err != nil {
		return nil, err
	}
	for i, step := 0, 1; i < len(newer); i, step = i+step, 2*step {
		all = append(all, newer[i].Entry())
	}
	for _, e := range catalog.Candidates(r.entries, r.state) {
		if r.lost[e.ID] == nil {
			all = append(all, e)
		}
	}
	if len(all) == 0 {
		return nil, errors.Join(append([]error{errNoneReadable}, r.Notes...)...)
	}
	return all, nil
}

// Last are the greatest timeline and the greatest number of a backup that anything there has.
func (r *Reader) Last() (timeline, number uint64) {
	timeline = catalog.PresentOf(slices.Values(r.entries), r.state).Number
	for n := range r.objects {
		timeline = max(timeline, n.Timeline)
		if n.Kind == Backup {
			number = max(number, n.Number)
		}
	}
	for _, e := range r.entries {
		timeline, number = max(timeline, e.Timeline.Number), max(number, e.Seq)
	}
	return timeline, number
}
