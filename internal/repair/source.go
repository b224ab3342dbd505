package repair

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"example.com/snapd/internal/sqlitefile"
)

// Image is a database that is read without SQLite, such as that of a backup.
type Image struct {
	R    io.ReaderAt
	Size int64 // bytes
}

// source is a database whose pages are read one by one. Nothing in it is believed.
type source struct {
	sqlitefile.File
	header  sqlitefile.Header
	objects []object
	counted uint32          // pages by the header; the file may have fewer
	stored  uint32          // pages of the file; the header may count fewer
	owners  []pageOwner     // of the pages; the first is page 1's
	shared  uint32          // a page of a table that something else has as well; 0 for none
	beyond  map[uint32]bool // missing pages that something names
	orphans []uint32        // leaves of the schema that nothing leads to
	donated bool            // some of the schema is a donor's
	noList  bool            // where the list of free pages begins is lost
}

// object is a row of the schema.
type object struct {
	kind, name, table, sql string
	root                   uint32
	record                 []byte
	emptied                bool // what is in its tree is not copied
	donated                bool // its SQL is the donor's
}

func (o object) is(kind, name string) bool {
	return o.kind == kind && strings.EqualFold(o.name, name)
}

// maxPages bounds what is noted of each page.
const maxPages = 1 << 30

// newSource reads an image with that header.
func newSource(i Image, h sqlitefile.Header) (*source, error) {
	if h.PageSize() == 0 || h.Usable() < sqlitefile.MinUsable {
		return nil, bad("the header names no page size")
	}
	pages := min(i.Size/int64(h.PageSize()), maxPages)
	// What comes after the pages that the header counts is left over from a larger database.
	if pages == 0 {
		return nil, bad("%d bytes are not one page", i.Size)
	}
	stored := uint32(pages)
	counted, valid := h.PageCount()
	if valid && int64(counted) < pages {
		pages = int64(counted)
	}
	if !valid {
		counted = 0
	}
	s := &source{header: h, counted: counted, stored: stored, File: sqlitefile.File{R: i.R, PageSize: h.PageSize(), Usable: h.Usable(), Pages: uint32(pages)}}
	return s.again(), nil
}

// again is the source before any page has an owner: every walk through a tree that may be damaged
// takes its pages, so that it comes to an end.
func (s *source) again() *source {
	c := *s
	c.shared, c.beyond = 0, map[uint32]bool{}
	c.owners = make([]pageOwner, s.Pages)
	for n := uint32(1); n <= s.Pages; n++ {
		if n == sqlitefile.LockPage(s.PageSize) || s.header.LargestRoot() != 0 && s.header.IsPointerMap(n) {
			c.owners[n-1] = ownerSQLite
		}
	}
	return &c
}

// each visits the entries of the tree of an object, as far as they can be had, or
// with an error for the first that cannot.
func (s *source) each(ctx context.Context, o object, lenient bool, visit func(int64, []byte) error) (*walk, error) {
	kind, err := s.tree(o.root)
	if o.kind == "index" {
		kind, err = sqlitefile.IndexLeaf, nil
	}
	w := &walk{source: s.again(), rowids: kind == sqlitefile.TableLeaf, lenient: lenient, owner: ownerTable, visit: visit}
	if err == nil {
		err = w.from(ctx, o.root)
	}
	if err != nil {
		err = fmt.Errorf("%s %s: %w", o.kind, o.name, err)
	}
	return w, err
}

// take gives a page to an owner, and reports whether it exists and had none.
func (s *source) take(n uint32, owner pageOwner) bool {
	if n == 0 || n > s.Pages {
		if n > s.Pages && n <= s.counted {
			s.beyond[n] = true
		}
		return false
	}
	switch had := s.owners[n-1]; {
	case had == ownerNone:
		s.owners[n-1] = owner
		return true
	// The page of an index that is a copy of a table's names none of these by itself.
	case had == ownerOverflow, had == ownerTable && owner == ownerFree:
		s.shared = n
	}
	return false
}

// readSchema reads the rows of the schema. Lenient takes those that can be had.
func (s *source) readSchema(ctx context.Context, lenient bool) error {
	w := &walk{source: s, rowids: true, lenient: lenient, owner: ownerTable, visit: func(_ int64, payload []byte) error {
		o, err := parseObject(payload, &s.header)
		if err != nil && lenient {
			return nil
		}
		same := func(p object) bool { return slices.Equal(p.record, o.record) }
		if err == nil && !slices.ContainsFunc(s.objects, same) {
			s.objects = append(s.objects, o)
		}
		return err
	}}
	err := w.from(ctx, 1)
	if err == nil && !lenient {
		err = w.trouble
	}
	return err
}

// parseObject reads a row of the schema. Its first word says in which encoding texts are
// written, and that goes into the header where it says something else.
func parseObject(payload []byte, h *sqlitefile.Header) (o object, err error) {
	r, err := sqlitefile.ParseRecord(payload)
	if err != nil {
		return o, err
	}
	var v [5]sqlitefile.Value
	for i := range v {
		if v[i], err = r.Value(i); err != nil {
			return o, err
		}
	}
	encoding := sqlitefile.SchemaEncoding(v[0].Bytes)
	if encoding == 0 || v[3].Kind != sqlitefile.Integer || v[3].Int < 0 || v[3].Int > 1<<32-1 {
		return o, bad("a row of the schema that SQLite does not write")
	}
	h.SetEncoding(encoding)
	if k := encoding.Text(v[0].Bytes); k == "view" || k == "trigger" {
		v[3].Int = 0 // they have no tree
	}
	return object{kind: encoding.Text(v[0].Bytes), name: encoding.Text(v[1].Bytes), table: encoding.Text(v[2].Bytes), sql: encoding.Text(v[4].Bytes),
		root: uint32(v[3].Int), record: slices.Clone(payload)}, nil
}

// openSource reads the header and the schema of a damaged database; what of them is lost is taken
// from the donor, a backup of it, where there is one.
func openSource(ctx context.Context, i Image, donor *source) (*source, error) {
	own, err := readHeader(i)
	if err != nil {
		return nil, err
	}
	headers := []sqlitefile.Header{own}
	for size := sqlitefile.MinPageSize; size <= sqlitefile.MaxPageSize && !own.HasMagic(); size *= 2 {
		h := own
		h.SetPageSize(size)
		headers = append(headers, h)
	}
	var first error
	for _, h := range headers {
		soundFields(&h)
		s, err := newSource(i, h)
		if err == nil {
			err = s.readSchema(ctx, false)
		}
		if err == nil {
			return s, nil
		}
		if !malformed(err) {
			return nil, err
		}
		first = cmpErr(first, err)
	}
	if donor == nil {
		return nil, notRepairable("the schema cannot be read: %w", first)
	}
	return withDonor(ctx, i, own, donor)
}

// cmpErr returns the first of two errors that there is.
func cmpErr(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// grown is the source with all pages of the file, where the header counts fewer. Where the list of free pages begins is as old as that count.
func (s *source) grown(ctx context.Context, i Image) (*source, error) {
	pages := uint32(min(i.Size/int64(s.PageSize), maxPages))
	if s.donated || pages <= s.Pages {
		return nil, notRepairable("the header counts all pages of the file")
	}
	h := s.header
	h.SetPageCount(pages)
	h.ClearFreelist()
	g, err := newSource(i, h)
	if err != nil {
		return nil, err
	}
	g.noList = true
	return g, g.readSchema(ctx, false)
}

// withDonor reads what is left of a schema: the rows that the tree of the schema leads to, and those
// on leaves of it that have lost the way to them. Where the header is lost the donor's takes
// its place, without its list of free pages, which is looked for in the pages.
func withDonor(ctx context.Context, i Image, own sqlitefile.Header, donor *source) (*source, error) {
	h, lost := own, false
	if !own.HasMagic() || own.PageSize() != donor.PageSize {
		h, lost = donor.header, true
		h.ClearFreelist()
	}
	h.SetPageCount(uint32(min(i.Size/int64(donor.PageSize), maxPages)))
	soundFields(&h)
	s, err := newSource(i, h)
	if err != nil {
		return nil, err
	}
	s.donated, s.noList = true, lost
	if err := s.readSchema(ctx, true); err != nil {
		return nil, err
	}
	s.owners[0] = ownerTable
	return s, s.orphanSchema(ctx)
}

// orphanSchema takes leaves of the schema that no other page leads to.
func (s *source) orphanSchema(ctx context.Context) error {
	b := make([]byte, s.PageSize)
	for n := uint32(2); n <= s.Pages; n++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		page, err := s.BTree(n, b)
		if err != nil && !malformed(err) {
			return err
		}
		if err != nil || s.owners[n-1] != ownerNone || page.Type() != sqlitefile.TableLeaf || page.Cells() == 0 {
			continue
		}
		found, err := s.parseObjects(page)
		if err != nil {
			continue // a page of a table
		}
		s.take(n, ownerTable)
		s.orphans = append(s.orphans, n)
		for _, o := range found {
			if err := s.addObject(o); err != nil {
				return err
			}
		}
	}
	return nil
}

// parseObjects returns the rows of a leaf of the schema.
func (s *source) parseObjects(page sqlitefile.Page) (found []object, err error) {
	for i := range page.Cells() {
		cell, err := page.Cell(i)
		if err != nil {
			return nil, err
		}
		payload, err := s.Payload(cell, int64(s.Pages)*int64(s.PageSize))
		if err != nil {
			return nil, err
		}
		o, err := parseObject(payload, &s.header)
		if err != nil {
			return nil, err
		}
		found = append(found, o)
	}
	return found, nil
}

// addObject adds an object that there is not yet. Two states of one object are damage: which of
// them is right is not known.
func (s *source) addObject(o object) error {
	for _, p := range s.objects {
		if p.is(o.kind, o.name) {
			if slices.Equal(p.record, o.record) {
				return nil
			}
			return bad("%s %s is there in two states", o.kind, o.name)
		}
	}
	s.objects = append(s.objects, o)
	return nil
}

// openDonor reads the schema of a sound image.
func openDonor(ctx context.Context, i *Image) (*source, error) {
	if i == nil {
		return nil, nil
	}
	h, err := readHeader(*i)
	if err != nil {
		return nil, err
	}
	s, err := newSource(*i, h)
	if err == nil {
		err = s.readSchema(ctx, false)
	}
	if err != nil {
		return nil, fmt.Errorf("read the schema of the backup: %w", err)
	}
	return s, nil
}

// Readable returns nil where the schema can be read, so that the image can be a donor.
func (i *Image) Readable(ctx context.Context) error {
	_, err := openDonor(ctx, i)
	return err
}

func readHeader(i Image) (h sqlitefile.Header, err error) {
	if _, err := i.R.ReadAt(h[:], 0); err != nil && !errors.Is(err, io.EOF) {
		return h, err
	}
	if i.Size < sqlitefile.MinPageSize {
		return h, bad("%d bytes are no database", i.Size)
	}
	return h, nil
}

// tree returns what kind of tree a root page begins, by the page.
func (s *source) tree(root uint32) (sqlitefile.PageType, error) {
	p, err := s.BTree(root, make([]byte, s.PageSize))
	if err != nil {
		return 0, err
	}
	if p.Type().Table() {
		return sqlitefile.TableLeaf, nil
	}
	return sqlitefile.IndexLeaf, nil
}
