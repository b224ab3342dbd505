package repair

import (
	"context"
	"maps"
	"os"
	"slices"

	"example.com/snapd/internal/sqlitefile"
)

// compared holds a repaired database against a backup of it, row by row.
type compared struct {
	*Result
	ctx       context.Context
	have, old *source
	loses     int64 // rows of the repaired database, and those that it lost, that the backup lacks
}

// Compare counts the rows that a backup lacks of the database repaired at path, and of what index entries say
// that it had: what restoring that backup instead would lose. The rows that only the backup has become
// BackupOnly, or Lost where the table and its indexes are damaged. It may be called once.
func (r *Result) Compare(ctx context.Context, path string, backup Image) (loses int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close() // it was only read
	repaired, err := imageOf(f)
	if err != nil {
		return 0, err
	}
	c := &compared{Result: r, ctx: ctx}
	if c.have, err = openDonor(ctx, &repaired); err != nil {
		return 0, err
	}
	if c.old, err = openDonor(ctx, &backup); err != nil {
		return 0, err
	}
	for _, l := range r.Lost {
		if l.Table == "" {
			c.loses += l.Gone - l.elsewhere
		}
	}
	tables := slices.Clone(c.have.objects)
	for _, o := range c.old.objects {
		if _, both := c.have.table(o.name); !both {
			tables = append(tables, object{kind: o.kind, name: o.name, root: o.root})
		}
	}
	for _, o := range tables {
		if o.kind != "table" || o.root == 0 || c.holds(o.name) == holdsDerived || slices.Contains(r.Emptied, o.name) {
			continue
		}
		if err := c.table(o.name); err != nil {
			return 0, err
		}
	}
	r.compared = true
	return c.loses, nil
}

// holds says what a table of either holds.
func (c *compared) holds(name string) holding {
	return max(holdingOf(name, c.have.objects), holdingOf(name, c.old.objects))
}

// table returns a table of the schema.
func (s *source) table(name string) (object, bool) {
	i := slices.IndexFunc(s.objects, func(o object) bool { return o.is("table", name) && o.root != 0 })
	if i < 0 {
		return object{}, false
	}
	return s.objects[i], true
}

// tableRows are the rows of a table that may not be there.
func tableRows(ctx context.Context, s *source, name string) entries {
	if o, found := s.table(name); found {
		return rowEntries(ctx, s, o)
	}
	return func(func(entry)) error { return nil }
}

// table compares the rows of one table.
func (c *compared) table(name string) error {
	lost := map[int64]bool{} // what witnesses speak of: whether the backup lacks it
	for _, w := range c.found[name] {
		lost[w.rowid] = true
	}
	if err := c.satisfied(name, lost); err != nil {
		return err
	}
	if err := c.unlike(name, lost); err != nil {
		return err
	}
	for _, is := range lost {
		if is {
			c.loses++
		}
	}
	holds := c.holds(name)
	before, after := holds.as(tableRows(c.ctx, c.old, name)), holds.as(tableRows(c.ctx, c.have, name))
	was, err := before.total()
	if err != nil {
		return err
	}
	is, err := after.total()
	if err != nil || was == is {
		return err
	}
	added := int64(0)
	err = missing(after, before, was.n, func(e entry) {
		added++
		if _, spoken := lost[e.rowid]; !spoken && !c.deleted[name][e.rowid] {
			c.loses++
		}
	})
	if err != nil || was.n == is.n-added { // all that the backup has is there
		return err
	}
	return c.onlyOld(name, before, after, is.n)
}

// onlyOld notes the rows that only the backup has, without those that Lost has already.
func (c *compared) onlyOld(name string, before, after entries, n int64) error {
	rowids, err := c.rowids(name)
	if err != nil {
		return err
	}
	lost := map[int64]bool{}
	for _, w := range c.found[name] {
		lost[w.rowid] = rowids
	}
	l := Loss{Table: name, RowIDs: []int64{}}
	only := map[int64]bool{}
	err = missing(before, after, n, func(e entry) {
		if lost[e.rowid] {
			return
		}
		l.Gone++
		if rowids && len(only) < maxWitnesses {
			only[e.rowid] = true
		}
	})
	if err != nil || l.Gone == 0 {
		return err
	}
	err = after(func(e entry) {
		if only[e.rowid] {
			delete(only, e.rowid)
			l.Gone, l.Differ = l.Gone-1, l.Differ+1
		}
	})
	l.RowIDs = slices.Sorted(maps.Keys(only))
	l.RowIDs = l.RowIDs[:min(len(l.RowIDs), maxRowIDs)]
	if c.emptied[name] {
		c.Lost = append(c.Lost, l)
	} else {
		c.BackupOnly = append(c.BackupOnly, l)
	}
	return err
}

// rowids reports whether the backup's table is stored by rowid.
func (c *compared) rowids(name string) (bool, error) {
	o, found := c.old.table(name)
	if !found {
		return false, nil
	}
	kind, err := c.old.tree(o.root)
	return kind == sqlitefile.TableLeaf, err
}

// unlike makes sure that where the backup has what a witness says, it has another row for it than
// there is now: an index can disagree with its table in the backup as well.
func (c *compared) unlike(name string, lost map[int64]bool) error {
	rowids, err := c.rowids(name)
	if len(lost) == 0 || !rowids || err != nil {
		return err
	}
	now, before := map[int64]uint64{}, map[int64]uint64{}
	rows := func(into map[int64]uint64) func(entry) {
		return func(e entry) {
			if _, asked := lost[e.rowid]; asked {
				into[e.rowid] = e.hash
			}
		}
	}
	if err := tableRows(c.ctx, c.have, name)(rows(now)); err != nil {
		return err
	}
	if err := tableRows(c.ctx, c.old, name)(rows(before)); err != nil {
		return err
	}
	for id := range lost {
		was, there := before[id]
		if is, same := now[id]; !there || same && is == was {
			lost[id] = true
		}
	}
	return nil
}

// satisfied notes which witnesses' rows the backup has: its index has the same entry.
func (c *compared) satisfied(name string, lost map[int64]bool) error {
	open := map[int64]int{} // witnesses of a row
	byIndex := map[string]map[uint64]int64{}
	for _, w := range c.found[name] {
		open[w.rowid]++
		if byIndex[w.index] == nil {
			byIndex[w.index] = map[uint64]int64{}
		}
		byIndex[w.index][w.hash] = w.rowid
	}
	rowids, err := c.rowids(name)
	if err != nil {
		return err
	}
	for index, hashes := range byIndex {
		var named entries
		if i := slices.IndexFunc(c.old.objects, func(p object) bool { return p.is("index", index) }); i >= 0 {
			named = indexEntries(c.ctx, c.old, c.old.objects[i], rowids, false, nil)
		} else if o, found := c.old.table(index); found {
			named = rowidsOf(c.ctx, c.old, o, false)
		} else {
			continue
		}
		err := named(func(e entry) {
			if rowid, asked := hashes[e.hash]; asked {
				delete(hashes, e.hash)
				if open[rowid]--; open[rowid] == 0 {
					lost[rowid] = false
				}
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}
