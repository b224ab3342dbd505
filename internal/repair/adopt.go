package repair

import (
	"os"
	"slices"

	"example.com/snapd/internal/sqlitefile"
)

// adopt takes objects from the donor that the schema has lost: those whose trees still are where they
// were, on pages that belong to nothing. One that was dropped since has no such tree: its pages are
// free, or something else's.
func (b *rebuilding) adopt(*os.File) error {
	if b.donor == nil {
		return nil
	}
	var lost []object
	for _, o := range b.donor.objects {
		if !slices.ContainsFunc(b.objects, func(p object) bool { return p.is(o.kind, o.name) }) {
			lost = append(lost, o)
		}
	}
	if len(lost) == 0 || b.donor.header.Encoding() != b.src.header.Encoding() {
		return nil
	}
	taken, err := b.taken()
	if err != nil {
		return err
	}
	for _, o := range lost {
		if o.root == 0 && !b.src.donated {
			continue // a view that was dropped, as far as anything says
		}
		if o.root != 0 {
			ok, err := b.isThere(taken, o)
			if err != nil {
				return err
			}
			if !ok && b.src.donated && o.kind == "table" && o.root <= taken.Pages && taken.owners[o.root-1] == ownerNone {
				return notRepairable("the schema is damaged, and so is the tree of table %s, which the backup has", o.name)
			}
			if !ok {
				continue
			}
			b.said.Donated = true
		}
		o.donated = true
		b.objects = append(b.objects, o)
	}
	return nil
}

// taken is the source with the pages that everything in the schema has.
func (b *rebuilding) taken() (*source, error) {
	s := b.src.again()
	if err := b.ownSchema(s); err != nil {
		return nil, err
	}
	for _, o := range b.objects {
		if o.root == 0 {
			continue
		}
		if _, err := b.isThere(s, o); err != nil {
			return nil, err
		}
	}
	r := &rest{rebuilding: &rebuilding{ctx: b.ctx, src: s}}
	_, _, err := r.freelist()
	return s, err
}

// isThere takes the pages of the tree of an object, and reports whether all of it could be read.
func (b *rebuilding) isThere(s *source, o object) (bool, error) {
	kind, err := s.tree(o.root)
	if err != nil && !malformed(err) {
		return false, err
	}
	if o.kind == "index" && kind != sqlitefile.IndexLeaf || err != nil || s.owners[o.root-1] != ownerNone {
		return false, nil
	}
	w := &walk{source: s, rowids: kind == sqlitefile.TableLeaf, lenient: true, owner: ownerTable, visit: func(int64, []byte) error { return nil }}
	err = w.from(b.ctx, o.root)
	return w.trouble == nil, err
}
