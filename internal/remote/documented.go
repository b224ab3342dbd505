package remote

import (
	"context"
	"fmt"

	"example.com/snapd/internal/store"
)

// documented are the backups, by their objects' names, that the newest catalog at the remote knows; none where it is sealed, since
// what sends has no key that opens.
func documented(ctx context.Context, place Place, there map[Name]store.Object) (map[string]Stored, error) {
	newest := Name{}
	for n := range there {
		if n.Kind == Catalog && !n.Sealed && n.Number > newest.Number {
			newest = n
		}
	}
	all := map[string]Stored{}
	if newest.Number == 0 {
		return all, nil
	}
	r, err := place.Store.Get(ctx, newest.String(), "", 0, -1)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", newest, err)
	}
	defer r.Close() // only read
	d, err := DecodeDocument(r)
	if err != nil {
		return all, nil //nolint:nilerr // the names say enough to keep everything
	}
	for _, b := range d.Backups {
		if n, ok := Parse(b.Object); ok && n.Kind == Backup && n.ID == b.Entry.ID && n.Number == b.Entry.Seq {
			all[b.Object] = b
		}
	}
	return all, nil
}
