package repair

import (
	"bytes"
	"hash/maphash"
	"os"

	"example.com/snapd/internal/sqlitefile"
)

// rest is what of a database belongs to no table.
type rest struct {
	*rebuilding
	trouble bool // the list of free pages or an index is damaged: pages of them may be unowned
	free    bool // all unowned pages are free
	alike   bool // a table is stored as an index is
	// rows are those on pages that no table owns, by their hashes: with the page.
	rows map[uint64]uint32
}

// maxStrays bounds the rows on pages that no table owns.
const maxStrays = 1 << 20

// judgeRest makes sure that no row is on a page that belongs to no table: free pages apart, what is
// there is of an index, or is in a table as well.
func (b *rebuilding) judgeRest(*os.File) error {
	r := &rest{rebuilding: b, rows: map[uint64]uint32{}}
	b.strays = map[uint64]uint32{}
	for _, o := range b.objects {
		if o.root == 0 {
			continue
		}
		if kind, err := b.src.tree(o.root); err == nil && o.kind == "table" && kind == sqlitefile.IndexLeaf && !b.said.derivedTable(o.name) {
			r.alike = true
		}
	}
	if err := r.takeIndexes(); err != nil {
		return err
	}
	if err := r.takeFree(); err != nil {
		return err
	}
	if n := b.src.shared; n != 0 {
		return notRepairable("page %d is in a table and in something else: one of them is older than the other", n)
	}
	if n := int64(b.src.counted) - int64(b.src.Pages) - int64(len(b.src.beyond)); n > 0 {
		return notRepairable("%d pages are missing at the end, and may have held rows", n)
	}
	for n := uint32(1); n <= b.src.Pages; n++ {
		if err := r.page(n); err != nil {
			return err
		}
	}
	if err := r.inTables(); err != nil {
		return err
	}
	return r.past()
}

// past leaves out rows on pages past those that the header counts: it may be older than they are, as by a lost write of page 1.
func (r *rest) past() error {
	file, rows, b := r.src.File, map[uint64]uint32{}, make([]byte, r.src.PageSize)
	file.Pages = r.src.stored
	for n := r.src.Pages + 1; n <= file.Pages && len(rows) < maxStrays; n++ {
		if err := r.ctx.Err(); err != nil {
			return err
		}
		page, err := file.BTree(n, b)
		if err != nil && !malformed(err) {
			return err
		}
		if err != nil || page.Type() != sqlitefile.TableLeaf {
			continue
		}
		for i := range page.Cells() {
			cell, err := page.Cell(i)
			var payload []byte
			if err == nil {
				payload, err = file.Payload(cell, int64(file.Pages)*int64(file.PageSize))
			}
			if err != nil && !malformed(err) {
				return err
			}
			if err == nil {
				rows[hashRow(cell.RowID, payload)] = n
			}
		}
	}
	if err := r.drop(rows); err != nil {
		return err
	}
	return r.leaveOut(rows)
}

// takeIndexes gives indexes, and tables that begin empty, the pages that they name.
func (r *rest) takeIndexes() error {
	for _, o := range r.objects {
		if o.root == 0 || o.kind == "table" && !o.emptied {
			continue
		}
		w := &walk{source: r.src, lenient: true, owner: ownerIndex, visit: func(int64, []byte) error { return nil }}
		if o.emptied {
			kind, err := r.kindOf(o, false)
			if err != nil {
				return err
			}
			w.rowids, w.owner = kind == sqlitefile.TableLeaf, ownerFree
		}
		if err := w.from(r.ctx, o.root); err != nil {
			return err
		}
		r.trouble = r.trouble || w.trouble != nil
	}
	return nil
}

// takeFree takes the free pages. Of a damaged list, the pages that it does not reach
// any more are as many as belong to nothing.
func (r *rest) takeFree() error {
	named, sound, err := r.freelist()
	if err != nil {
		return err
	}
	unowned, reached := int64(0), int64(0)
	for _, owner := range r.src.owners {
		switch owner {
		case ownerNone:
			unowned++
		case ownerFree:
			reached++
		}
	}
	_, counted := r.src.header.Freelist()
	r.free = !sound && (int64(counted)-reached == unowned || int64(counted)-named == unowned)
	r.trouble = r.trouble || !sound
	return nil
}

// freelist takes the pages of the list of free pages, as far as it goes, and reports how many
// it names and whether it is sound.
func (r *rest) freelist() (named int64, sound bool, err error) {
	if r.src.noList {
		return 0, true, r.src.findFree(r.ctx)
	}
	first, count := r.src.header.Freelist()
	b, sound := make([]byte, r.src.PageSize), true
	take := func(n uint32) bool {
		named++
		return r.src.take(n, ownerFree)
	}
	for n := first; n != 0; {
		if !take(n) {
			return named, false, nil
		}
		if err := r.src.Page(n, b); err != nil {
			return 0, false, err
		}
		trunk, err := sqlitefile.ParseTrunk(b, r.src.Usable)
		for _, leaf := range trunk.Leaves {
			sound = take(leaf) && sound
		}
		if err != nil {
			return named, false, nil
		}
		n = trunk.Next
	}
	return named, sound && named == int64(count), nil
}

// page judges a page that no table owns.
func (r *rest) page(n uint32) error {
	owner := r.src.owners[n-1]
	if owner != ownerIndex && owner != ownerNone || owner == ownerNone && r.free {
		return nil
	}
	b := make([]byte, r.src.PageSize)
	if err := r.src.Page(n, b); err != nil {
		return err
	}
	mayHold := notRepairable("page %d belongs to nothing and may hold rows", n)
	page, err := sqlitefile.ParsePage(b, n, r.src.Usable)
	switch {
	case isZero(b):
		return nil
	case err != nil: // an overflow page, or damaged
		if owner == ownerNone && !r.trouble && !r.src.donated {
			return mayHold
		}
		return nil
	case page.Cells() == 0, page.Type() == sqlitefile.TableInterior:
		return nil
	case !page.Type().Table():
		if owner != ownerNone || !r.alike {
			return nil
		}
	}
	for i := range page.Cells() {
		cell, err := page.Cell(i)
		var payload []byte
		if err == nil {
			payload, err = r.src.Payload(cell, int64(r.src.Pages)*int64(r.src.PageSize))
		}
		if err != nil && !malformed(err) {
			return err
		}
		if err != nil && r.src.donated { // one more that may be lost
			r.rows[hashRow(int64(n), []byte{byte(i), byte(i >> 8)})] = n
			continue
		}
		if err != nil || len(r.rows)+len(r.strays) == maxStrays {
			return mayHold
		}
		if page.Type().Table() {
			r.rows[hashRow(cell.RowID, payload)] = n
			continue
		}
		e, err := hashEntry(payload, false)
		if err != nil {
			return mayHold
		}
		r.strays[e.hash] = n
	}
	return nil
}

// settleStrays makes sure that entries on pages without an owner, which may be an index's or rows of a table that is stored
// as one, are entries of an index or rows as it is now.
func (b *rebuilding) settleStrays(now *source) error {
	for _, o := range now.objects {
		if len(b.strays) == 0 {
			return nil
		}
		kind := sqlitefile.IndexLeaf
		if o.kind == "table" && o.root != 0 {
			var err error
			if kind, err = now.tree(o.root); err != nil {
				return err
			}
		}
		if o.root == 0 || kind != sqlitefile.IndexLeaf {
			continue
		}
		err := indexEntries(b.ctx, now, o, false, false, nil)(func(e entry) { delete(b.strays, e.hash) })
		if err != nil {
			return err
		}
	}
	if b.src.donated {
		return b.leaveOut(b.strays)
	}
	for _, n := range b.strays {
		return notRepairable("page %d belongs to nothing and may hold rows", n)
	}
	return nil
}

// inTables makes sure that every row that was found is in a table as well.
func (r *rest) inTables() error {
	if err := r.drop(r.rows); err != nil {
		return err
	}
	if r.src.donated {
		return r.leaveOut(r.rows)
	}
	for _, n := range r.rows {
		return notRepairable("page %d belongs to nothing and may hold rows", n)
	}
	return nil
}

// drop deletes those of the rows that are in a table.
func (r *rest) drop(rows map[uint64]uint32) error {
	for _, o := range r.objects {
		if _, copied := r.rebuilding.rows[o.name]; o.kind != "table" || !copied || len(rows) == 0 {
			continue
		}
		_, err := r.src.each(r.ctx, o, false, func(rowid int64, payload []byte) error {
			delete(rows, hashRow(rowid, payload))
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// leaveOut says which rows are left out where the row of a table in the schema may be lost, or the page count is too low: what is on
// pages that are not free. The backup may have them: of a table that lost the way to them, or one that was dropped.
func (b *rebuilding) leaveOut(rows map[uint64]uint32) error {
	if len(rows) == 0 {
		return nil
	}
	l := Loss{Gone: int64(len(rows)), RowIDs: []int64{}}
	var before []object
	if b.donor != nil {
		before = b.donor.objects
	}
	for _, o := range before {
		if o.kind != "table" || o.root == 0 || len(rows) == 0 {
			continue
		}
		kind, err := b.donor.tree(o.root)
		if err == nil {
			_, err = b.donor.each(b.ctx, o, false, func(rowid int64, payload []byte) error {
				delete(rows, hashRow(rowid, payload))
				if kind == sqlitefile.TableLeaf {
					return nil
				}
				e, err := hashEntry(payload, false)
				delete(rows, e.hash)
				return err
			})
		}
		if err != nil {
			return notRepairable("the backup cannot be read: %w", err)
		}
	}
	l.elsewhere = l.Gone - int64(len(rows))
	b.said.Lost = append(b.said.Lost, l)
	return nil
}

func isZero(b []byte) bool { return len(bytes.Trim(b, "\x00")) == 0 }

func hashRow(rowid int64, payload []byte) uint64 {
	var h maphash.Hash
	h.SetSeed(seed)
	maphash.WriteComparable(&h, rowid)
	h.Write(payload)
	return h.Sum64()
}
