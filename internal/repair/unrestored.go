package repair

import (
	"context"
	"fmt"
	"hash/maphash"
	"slices"

	"example.com/snapd/internal/sqlitefile"
)

// Unrestored counts the rows that can still be read of a damaged database, and that a backup does not
// have as they are, those whose table is not known among them. Of virtual tables those of their content count. A row of which only index entries are left counts
// where the backup's index does not have one of them.
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
		if o, ok := objectIn(old, t.object); ok {
			before = holds.as(rowEntries(ctx, old, o))
		}
		was, err := before.total()
		if err == nil {
			err = missing(holds.as(d.entries(ctx, t)), before, was.n, func(entry) { n++ })
		}
		if err == nil && holds == holdsRows {
			var only int64
			only, err = d.inIndexesOnly(ctx, t, old)
			n += only
		}
		if err != nil {
			return 0, fmt.Errorf("compare table %s with the backup: %w", t.name, err)
		}
	}
	strays, err := d.strayRows(ctx, old)
	if err != nil {
		return 0, fmt.Errorf("compare rows without a table with the backup: %w", err)
	}
	return n + strays, nil
}

// strayRows counts the rows of trees that no table is known for, and that no table has, neither the database's nor the backup's.
func (d *damaged) strayRows(ctx context.Context, backup *source) (int64, error) {
	rows := map[uint64]bool{}
	for _, top := range d.strays {
		err := d.leaves(ctx, strayPage, top, func(n uint32, page sqlitefile.Page) error {
			if !page.Type().Table() {
				return nil // of an index, most likely
			}
			_, err := d.rowsOn(page, n, func(r row) error {
				if !r.cut && !r.bad && len(rows) < maxStrays {
					rows[hashRow(r.rowid, r.payload)] = true
				}
				return nil
			})
			return err
		})
		if err != nil {
			return 0, err
		}
	}
	there := func(e entry) { delete(rows, e.hash) }
	for _, o := range backup.objects {
		if o.kind != "table" || o.root == 0 || len(rows) == 0 {
			continue
		}
		if err := rowEntries(ctx, backup, o)(there); err != nil {
			return 0, err
		}
	}
	for _, t := range d.trees[1:] {
		if t.kind != "table" || len(rows) == 0 {
			continue
		}
		if err := d.entries(ctx, t)(there); err != nil {
			return 0, err
		}
	}
	return int64(len(rows)), nil
}

// objectIn returns the object of that kind and name in a sound database, with its root there.
func objectIn(s *source, o object) (object, bool) {
	i := slices.IndexFunc(s.objects, func(p object) bool { return p.is(o.kind, o.name) })
	if i < 0 {
		return object{}, false
	}
	return s.objects[i], true
}

// entries are the rows of a table that can be read whole.
func (d *damaged) entries(ctx context.Context, t *tree) entries {
	return func(visit func(entry)) error {
		return d.eachRow(ctx, t, func(r row) error {
			if !r.cut && !r.bad {
				visit(entry{hashRow(r.rowid, r.payload), r.rowid})
			}
			return nil
		})
	}
}

// eachRow visits the rows or entries of a tree.
func (d *damaged) eachRow(ctx context.Context, t *tree, visit func(row) error) error {
	return d.pagesOf(ctx, t, func(n uint32, page sqlitefile.Page) error {
		_, err := d.rowsOn(page, n, visit)
		return err
	})
}

// inIndexesOnly counts the rows that the table does not have itself, but one of its indexes does, by an entry that the
// backup's index does not have.
func (d *damaged) inIndexesOnly(ctx context.Context, t *tree, backup *source) (int64, error) {
	if t.shape == nil {
		return 0, nil
	}
	found := map[uint64]bool{} // keys of rows
	for _, index := range d.trees {
		if index.table != t || index.shape == nil {
			continue
		}
		gone, err := d.inIndexOnly(ctx, t, index)
		if err == nil && len(gone) > 0 {
			if o, ok := objectIn(backup, index.object); ok {
				err = indexEntries(ctx, backup, o, false, true, nil)(func(e entry) { delete(gone, e.rowid) })
			}
		}
		if err != nil {
			return 0, fmt.Errorf("index %s: %w", index.name, err)
		}
		for _, key := range gone {
			found[key] = true
		}
	}
	return int64(len(found)), nil
}

// inIndexOnly returns the keys of the rows that the index has and its table has not, each by the hash of the index entry.
func (d *damaged) inIndexOnly(ctx context.Context, t, index *tree) (map[int64]uint64, error) {
	rows, named := d.keys(ctx, t, t), d.keys(ctx, t, index)
	is, err := rows.total()
	if err != nil {
		return nil, err
	}
	if of, err := named.total(); err != nil || of == is {
		return nil, err
	}
	gone := map[int64]uint64{}
	err = missing(named, rows, is.n, func(e entry) {
		if len(gone) < maxWitnesses {
			gone[e.rowid] = e.hash
		}
	})
	return gone, err
}

// keys are the rows of a table by their keys: as the table has them, or one of its indexes. Those of an index have
// the hash of the whole entry in place of the rowid.
func (d *damaged) keys(ctx context.Context, t, in *tree) entries {
	return func(visit func(entry)) error {
		return d.eachRow(ctx, in, func(r row) error {
			key, ok := t.shape.key(in.shape, r)
			if !ok {
				return nil
			}
			e := entry{hash: key}
			if in != t {
				whole, err := hashEntry(r.payload, false)
				if err != nil {
					return nil // it says nothing
				}
				e.rowid = whole.rowid
			}
			visit(e)
			return nil
		})
	}
}

// key hashes what names a row of the table: the rowid, or the primary key. in is the shape of the table or
// of the index that has r.
func (s *shape) key(in *shape, r row) (hash uint64, ok bool) {
	if s.rowids && in == s {
		return hashRow(r.rowid, nil), true
	}
	if in != s && (r.cut || len(r.values) != len(in.stored)) {
		return 0, false
	}
	if last := len(in.stored) - 1; s.rowids {
		return hashRow(r.values[last].Int, nil), in.stored[last] == -1 && r.values[last].Kind == sqlitefile.Integer
	}
	var b []byte
	for _, c := range s.keys {
		i := slices.Index(in.stored, c)
		if i < 0 || i >= len(r.values) {
			return 0, false
		}
		b = appendValue(b, r.values[i])
	}
	return maphash.Bytes(seed, b), len(b) > 0
}
