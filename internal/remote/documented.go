package remote

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"example.com/snapd/internal/store"
)

// documented are the backups, by their objects' names, that the newest whole catalog at the remote knows; none where it is sealed, since
// what sends has no key that opens. An error says that it could not be read.
func documented(ctx context.Context, place Place, there map[Name]store.Object) (map[string]Stored, error) {
	var numbered []Name
	for n := range there {
		if n.Kind == Catalog && !n.Sealed {
			numbered = append(numbered, n)
		}
	}
	slices.SortFunc(numbered, func(a, b Name) int { return cmp.Compare(b.Number, a.Number) })
	all := map[string]Stored{}
	for _, n := range numbered {
		d, err := getDocument(ctx, place.Store, n)
		if errors.Is(err, errDocument) {
			continue // the names say enough to keep everything
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", n, err)
		}
		for _, b := range d.Backups {
			if n, ok := Parse(b.Object); ok && n.Kind == Backup && n.ID == b.Entry.ID && n.Number == b.Entry.Seq {
				all[b.Object] = b
			}
		}
		break
	}
	return all, nil
}

func getDocument(ctx context.Context, s store.Store, n Name) (Document, error) {
	r, err := s.Get(ctx, n.String(), "", 0, -1)
	if err != nil {
		return Document{}, err
	}
	defer r.Close() // only read
	return DecodeDocument(r)
}
