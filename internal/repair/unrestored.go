package repair

import (
	"context"
	"fmt"

	"example.com/snapd/internal/sqlitefile"
)

// Unrestored counts the rows that can still be read of a damaged database, and that a backup does not
// have as they are. Of virtual tables those of their content count.
func Unrestored(ctx context.Context, from Damaged, backup Image, dir string) (n int64, err error) {
	old, err := openDonor(ctx, &backup)
	if err != nil {
		return 0, fmt.Errorf("compare with the backup: %w", err)
	}
	d, err := readDamaged(ctx, from, old, dir)
	if err != nil {
		return 0, fmt.Errorf("compare with the backup: %w", err)
	}
	for _, t := range d.trees[1:] {
		holds := holdingOf(t.name, d.objects)
		if t.kind != "table" || holds == holdsDerived {
			continue
		}
		before := entries(func(func(entry)) error { return nil })
		if o, ok := objectOf(old, t.object); ok {
			for _, p := range old.objects {
				if p.is("table", t.name) {
					o.root = p.root
				}
			}
			before = holds.as(rowEntries(ctx, old, o))
		}
		was, err := before.tally()
		if err == nil {
			err = missing(holds.as(d.entries(ctx, t)), before, was.n, func(entry) { n++ })
		}
		if err != nil {
			return 0, fmt.Errorf("compare table %s with the backup: %w", t.name, err)
		}
	}
	return n, nil
}

// entries are the rows of a table that can be read whole.
func (d *damaged) entries(ctx context.Context, t *tree) entries {
	return func(visit func(entry)) error {
		return d.pagesOf(ctx, t, func(n uint32, page sqlitefile.Page) error {
			_, err := d.rowsOn(page, n, func(r row) error {
				if !r.cut && !r.bad {
					visit(entry{hashRow(r.rowid, r.payload), r.rowid})
				}
				return nil
			})
			return err
		})
	}
}
