package repair

import (
	"context"
	"fmt"
	"strings"

	"example.com/snapd/internal/sqlitefile"
)

// Unrestored counts the rows that can still be read of a damaged database, and that a backup does not
// have as they are. Tables that hold what virtual tables derive are left out.
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
		if t.kind != "table" || strings.HasPrefix(strings.ToLower(t.name), "sqlite_") || d.shadow(t.name) {
			continue
		}
		before := entries(func(func(entry)) error { return nil })
		if o, ok := objectOf(old, t.object); ok {
			for _, p := range old.objects {
				if p.is("table", t.name) {
					o.root = p.root
				}
			}
			before = rowEntries(ctx, old, o)
		}
		was, err := before.tally()
		if err == nil {
			err = missing(d.entries(ctx, t), before, was.n, func(entry) { n++ })
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

// shadow reports whether the name is that of a table in which a virtual table keeps its content.
func (d *damaged) shadow(name string) bool {
	for _, o := range d.objects {
		if o.virtual() && len(name) > len(o.name) && sameName(name[:len(o.name)+1], o.name+"_") {
			return true
		}
	}
	return false
}
