package repair

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"os"
	"slices"
	"strings"

	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/sqlite"
	"example.com/snapd/internal/sqlitefile"
)

// rebuilding writes a database again: the rows of its tables are copied as they are stored, and
// what can be derived from them SQLite makes new.
type rebuilding struct {
	ctx     context.Context
	dir     string // for files that are written meanwhile
	src     *source
	donor   *source // nil for none
	objects []object
	sorted  map[string]bool   // tables whose rows have to be sorted
	rows    map[string]digest // of each table that was copied
	strays  map[uint64]uint32 // hashes of entries on pages that belong to nothing, with the page
	doubts  map[string]error  // what leaves it open whether a table is whole, by its name
	said    *Result
}

// digest is the number of rows of a table and their bytes, in order.
type digest struct {
	rows int64
	sum  uint64
}

// seed is of this process: digests are compared within it.
var seed = maphash.MakeSeed()

func (d *digest) add(rowid int64, payload []byte) {
	var b [24]byte
	binary.LittleEndian.PutUint64(b[:], d.sum)
	binary.LittleEndian.PutUint64(b[8:], uint64(rowid))
	binary.LittleEndian.PutUint64(b[16:], maphash.Bytes(seed, payload))
	d.rows, d.sum = d.rows+1, maphash.Bytes(seed, b[:])
}

// rebuild rebuilds the database at path, through a file in dir. It is only read until the
// proof is complete. Where that fails, and the file has more pages than its header counts, the header may be older than the rest, by a lost write of
// page 1: it is tried again with all pages.
func rebuild(ctx context.Context, path, dir string, donor *Image, said *Result) error {
	before := *said
	err := rebuildOf(ctx, path, dir, donor, said, false)
	if !errors.Is(err, ErrNotRepairable) && !malformed(err) {
		return err
	}
	tried := *said
	*said = before
	again := rebuildOf(ctx, path, dir, donor, said, true)
	if again != nil && (errors.Is(again, ErrNotRepairable) || malformed(again)) {
		*said = tried
		return err
	}
	return again
}

// rebuildOf rebuilds the pages that the header counts, or all that the file has.
func rebuildOf(ctx context.Context, path, dir string, donor *Image, said *Result, all bool) (err error) {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close() // it was only read
	image, err := imageOf(f)
	if err != nil {
		return err
	}
	if err := durable.Fits(dir, image.Size); err != nil {
		return err
	}
	b := &rebuilding{ctx: ctx, dir: dir, said: said, sorted: map[string]bool{}}
	if b.donor, err = openDonor(ctx, donor); err != nil {
		return err
	}
	if b.src, err = openSource(ctx, image, b.donor); err != nil {
		return err
	}
	if all {
		if b.src, err = b.src.grown(ctx, image); err != nil {
			return err
		}
	}
	b.objects, said.Donated = b.src.objects, b.src.donated
	scratch, err := durable.Scratch(dir, "repair")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, livedb.RemoveSidecars(scratch.Name()), scratch.Close()) }()
	for _, step := range []func(*os.File) error{b.adopt, b.settleSchema, b.settleDerived, b.copyTables, b.judgeDonated, b.judgeRest, b.derive, b.prove} {
		if err := step(scratch.File); err != nil {
			return err
		}
	}
	if own, err := readHeader(image); err == nil && b.donor != nil {
		said.SameHeader = own == b.donor.header && !own.UsesWAL() // with a log it does not count all
	}
	if said.SameHeader {
		if said.AsDonor, err = b.asDonor(image, donor); err != nil {
			return err
		}
	}
	return replaceContent(path, scratch.File, b.src.header)
}

// asDonor reports whether the file has as many pages as the donor, and all that are not an index's are as there. What cannot be read
// of the donor is not as there.
func (b *rebuilding) asDonor(image Image, donor *Image) (bool, error) {
	stored, ok := donor.R.(archive.Image)
	if !ok || stored.Shape().PageSize != b.src.PageSize || stored.Shape().Bytes() != image.Size {
		return false, nil
	}
	same := true
	read := func(pgno int64, page []byte) error { return b.src.Page(uint32(pgno), page) }
	err := otherwise(b.ctx, read, stored, func(pgno int64) {
		same = same && pgno <= int64(b.src.Pages) && (b.src.owners[pgno-1] == ownerIndex || b.src.owners[pgno-1] == ownerSQLite)
	})
	return same && err == nil, b.ctx.Err()
}

// replaceContent makes the content of from, with the file format versions of was, that of the file at path.
func replaceContent(path string, from *os.File, was sqlitefile.Header) error {
	return edit(path, func(f *os.File) error {
		if _, err := from.Seek(0, io.SeekStart); err != nil {
			return err
		}
		n, err := io.Copy(f, from)
		if err != nil {
			return err
		}
		if err := f.Truncate(n); err != nil {
			return err
		}
		// The new file uses no log; the old one may have.
		return editHeader(f, func(h *sqlitefile.Header) { h.SetVersions(was.Versions()) })
	})
}

// copyTables copies every row of every table.
func (b *rebuilding) copyTables(f *os.File) error {
	for {
		tables := len(b.sorted)
		b.rows, b.doubts = map[string]digest{}, map[string]error{}
		from := b.src.again()
		if err := b.ownSchema(from); err != nil {
			return err
		}
		if err := b.build(f, from); err != nil {
			return err
		}
		if len(b.sorted) == tables {
			b.src = from
			return nil
		}
	}
}

// ownSchema takes the pages of the schema.
func (b *rebuilding) ownSchema(from *source) error {
	for _, n := range b.src.orphans {
		from.take(n, ownerTable)
	}
	w := &walk{source: from, rowids: true, lenient: true, owner: ownerTable, visit: func(int64, []byte) error { return nil }}
	return w.from(b.ctx, 1)
}

// build writes the database to f: the schema, and the trees, with the rows of tables where from
// is not nil. Indexes stay empty.
func (b *rebuilding) build(f *os.File, from *source) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	h := b.src.header
	h.SetVersions(sqlitefile.VersionRollback, sqlitefile.VersionRollback)
	to, err := sqlitefile.NewBuilder(f, h)
	if err != nil {
		return err
	}
	roots := make([]uint32, len(b.objects))
	for i, o := range b.objects {
		if o.root == 0 {
			continue
		}
		if roots[i], err = to.Root(); err != nil {
			return err
		}
	}
	for i, o := range b.objects {
		if o.root == 0 {
			continue
		}
		if err := b.tree(to, roots[i], o, from); err != nil {
			return err
		}
	}
	schema := to.Tree(1, sqlitefile.TableLeaf)
	for i, o := range b.objects {
		r, err := sqlitefile.ParseRecord(o.record)
		if err != nil {
			return err
		}
		record, err := r.WithInteger(3, int64(roots[i]))
		if err != nil {
			return err
		}
		if err := schema.Add(int64(i)+1, record); err != nil {
			return err
		}
	}
	if err := schema.Close(); err != nil {
		return err
	}
	_, err = to.Finish()
	return err
}

// tree writes the tree of one object.
func (b *rebuilding) tree(to *sqlitefile.Builder, root uint32, o object, from *source) error {
	kind := sqlitefile.IndexLeaf
	if o.kind == "table" {
		var err error
		if kind, err = b.kindOf(o, from != nil && !o.emptied); err != nil {
			return fmt.Errorf("table %s: %w", o.name, err)
		}
	}
	tree := to.Tree(root, kind)
	if from != nil && o.kind == "table" && !o.emptied {
		if err := b.copyRows(tree, o, kind, from); err != nil {
			return err
		}
	}
	return tree.Close()
}

// kindOf returns the kind of a table's tree, by its root page, or where that is lost
// and not needed by its SQL.
func (b *rebuilding) kindOf(o object, needed bool) (sqlitefile.PageType, error) {
	kind, err := b.src.tree(o.root)
	switch {
	case err == nil && !o.emptied || needed:
		return kind, err
	case strings.Contains(strings.ToLower(o.sql), "without rowid"):
		return sqlitefile.IndexLeaf, nil
	}
	return sqlitefile.TableLeaf, nil
}

// copyRows copies the rows of a table, all of which must be there.
func (b *rebuilding) copyRows(to *sqlitefile.TreeBuilder, o object, kind sqlitefile.PageType, from *source) error {
	d := digest{}
	add := func(rowid int64, payload []byte) error {
		d.add(rowid, payload)
		return to.Add(rowid, payload)
	}
	w := &walk{source: from, rowids: kind == sqlitefile.TableLeaf, owner: ownerTable, visit: add}
	var err error
	if b.sorted[o.name] {
		err = copySorted(b.ctx, w, o, add)
	} else {
		err = w.from(b.ctx, o.root)
	}
	if err != nil {
		return fmt.Errorf("table %s: %w", o.name, err)
	}
	b.rows[o.name] = d
	if w.disorder {
		b.sorted[o.name] = true
	}
	if w.trouble != nil {
		b.doubts[o.name] = fmt.Errorf("table %s: %w", o.name, w.trouble)
	}
	return nil
}

// maxSorted bounds the bytes of rows that are sorted in memory.
const maxSorted = 64 << 20

// copySorted copies the rows of a table whose rowids do not rise, as they do in every sound one.
func copySorted(ctx context.Context, w *walk, o object, add func(int64, []byte) error) error {
	type row struct {
		id      int64
		payload []byte
	}
	var all []row
	size := 0
	w.visit = func(id int64, payload []byte) error {
		if size += len(payload); size > maxSorted {
			return notRepairable("its rows are out of order, and too many to sort")
		}
		all = append(all, row{id, slices.Clone(payload)})
		return nil
	}
	if err := w.from(ctx, o.root); err != nil {
		return err
	}
	slices.SortFunc(all, func(a, b row) int { return cmp.Compare(a.id, b.id) })
	for i, r := range all {
		if i > 0 && r.id == all[i-1].id {
			return notRepairable("row %d is there twice: a page is a copy of another one", r.id)
		}
		if err := add(r.id, r.payload); err != nil {
			return err
		}
	}
	return nil
}

// derive has SQLite fill the indexes, and full-text indexes that are damaged.
func (b *rebuilding) derive(f *os.File) (err error) {
	conn, err := openPrivate(f.Name())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if err = conn.Exec(b.ctx, "PRAGMA synchronous=OFF; PRAGMA journal_mode=MEMORY"); err == nil {
		err = conn.Exec(b.ctx, "REINDEX")
	}
	var e *sqlite.Error
	if errors.As(err, &e) && e.Primary() == constraint {
		return notRepairable("rows of the table have the same key, so that its UNIQUE index cannot be rebuilt: %s", e.Msg)
	}
	if err == nil {
		var emptied []string
		emptied, err = rebuildFullText(b.ctx, conn)
		b.said.Emptied = append(b.said.Emptied, emptied...)
	}
	return damageAs(err)
}

// constraint is the result code SQLITE_CONSTRAINT.
const constraint = 19

// prove holds what SQLite made against what was read: every table has the rows that were copied, in
// that order, and every entry of an old index has its row.
func (b *rebuilding) prove(f *os.File) error {
	image, err := imageOf(f)
	if err != nil {
		return err
	}
	now, err := openSource(b.ctx, image, nil)
	if err != nil {
		return err
	}
	for _, o := range now.objects {
		was, copied := b.rows[o.name]
		if o.kind != "table" || !copied || b.said.derivedTable(o.name) {
			continue
		}
		is := digest{}
		_, err := now.each(b.ctx, o, false, func(rowid int64, payload []byte) error {
			is.add(rowid, payload)
			return nil
		})
		if err != nil {
			return err
		}
		if is != was {
			return notRepairable("table %s had %d rows and has %d, or other ones, afterwards", o.name, was.rows, is.rows)
		}
	}
	c := &comparison{rebuilding: b, now: now}
	if err := c.run(); err != nil {
		return err
	}
	return b.settleStrays(now)
}

// openPrivate opens a file of our own for repair. What is in it cost its owner
// nothing unusual to store, so values may be as large as the file.
func openPrivate(path string) (*sqlite.Conn, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	conn, err := sqlite.Open(path, sqlite.Options{Untrusted: true})
	if err != nil {
		return nil, fmt.Errorf("open the copy: %w", err)
	}
	conn.LimitValues(max(sqlite.MaxValue, fi.Size()))
	return conn, nil
}
