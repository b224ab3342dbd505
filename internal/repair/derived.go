package repair

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"example.com/snapd/integrity"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/sqlite"
	"example.com/snapd/internal/sqlitefile"
)

// derived is the damage to things that can be rebuilt from sound tables. Any other
// damage ends the attempt.
type derived struct {
	indexes []string        // those whose trees are damaged
	roots   []uint32        // root pages of their trees
	owned   map[uint32]bool // pages that those trees name
	fts     bool            // a full-text index disagrees with its content
	free    bool            // the list of free pages or the back references are damaged
	never   []uint32        // pages that belong to nothing
}

// maxNever bounds the unowned pages that are looked at one by one.
const maxNever = 1 << 20

// rebuild rebuilds everything derived in the copy at path: it empties the trees of
// damaged indexes and forgets the list of free pages, has VACUUM write the rest to a
// new file in dir and back, and fills the indexes with REINDEX. reindex says that the
// entries of some index are known to be wrong.
func rebuild(ctx context.Context, path, dir string, reindex bool) error {
	found, before, err := examine(ctx, path)
	if err != nil {
		return err
	}
	if err := edit(path, found.clear); err != nil {
		return err
	}
	if err := found.judgeCleared(ctx, path); err != nil {
		return err
	}
	if len(found.roots) > 0 || found.free {
		if err := vacuum(ctx, path, dir); err != nil {
			return err
		}
	}
	if err := found.fill(ctx, path, reindex || len(found.roots) > 0); err != nil {
		return err
	}
	after, err := digestsOf(ctx, path)
	if err != nil {
		return err
	}
	return before.same(after)
}

// examine reads what is damaged, and proves that every table can be read whole.
func examine(ctx context.Context, path string) (_ *derived, _ digests, err error) {
	conn, err := openPrivate(path)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if err := noShadows(ctx, conn); err != nil {
		return nil, nil, damageAs(err)
	}
	d := &derived{}
	// A damaged index may keep the scan from coming to its end.
	if err := d.scan(ctx, conn); err != nil && (len(d.indexes) == 0 || !isDamage(err)) {
		return nil, nil, damageAs(err)
	}
	if len(d.indexes) > 0 && d.free {
		return nil, nil, notRepairable("both an index and the list of free pages are damaged, so that it is unknown which of them an unowned page belongs to")
	}
	for _, name := range d.indexes {
		root, err := conn.Int(ctx, "SELECT rootpage FROM sqlite_schema WHERE type='index' AND name="+sqlite.QuoteText(name))
		if err != nil {
			return nil, nil, damageAs(err)
		}
		d.roots = append(d.roots, uint32(root))
	}
	if err := d.explainFree(path); err != nil {
		return nil, nil, err
	}
	before, err := tableDigests(ctx, conn)
	return d, before, damageAs(err)
}

// explainFree makes sure that the pages without an owner are those that the header
// counts as free, and the damaged list of free pages does not reach any more.
func (d *derived) explainFree(path string) error {
	if !d.free || len(d.never) == 0 {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close() // it was only read
	walked, counted, err := freePages(f)
	if err != nil {
		return err
	}
	if walked < 0 || int64(len(d.never)) != counted-walked {
		return notRepairable("%d pages belong to nothing, and the list of free pages does not explain them: they may hold rows", len(d.never))
	}
	return nil
}

// noShadows gives up where an object of the schema has the name of one of the
// engine's own pragma functions, which are asked below: it would answer instead.
func noShadows(ctx context.Context, conn *sqlite.Conn) error {
	return conn.Each(ctx, `SELECT name FROM sqlite_schema WHERE name LIKE 'pragma\_%' ESCAPE '\'`, func(st *sqlite.Stmt) error {
		return notRepairable("the schema has an object named %s, which is the engine's own name", st.Text(0))
	})
}

// scan sorts everything that quick_check finds.
func (d *derived) scan(ctx context.Context, conn *sqlite.Conn) error {
	return integrity.Scan(ctx, conn, "", func(f integrity.Finding) error {
		if !d.takes(f) {
			return notRepairable("%s", f.Message)
		}
		return nil
	})
}

// takes files a finding, and reports whether it is about something derived.
func (d *derived) takes(f integrity.Finding) bool {
	switch {
	case f.Code.Severity() < integrity.SeverityDamage:
	case f.Code == integrity.CodePointerMap, f.Code == integrity.CodeFreelist:
		d.free = true
	case f.Code == integrity.CodePageUnreferenced && f.Page > 0 && len(d.never) < maxNever:
		d.never = append(d.never, uint32(f.Page))
	case f.Code == integrity.CodeFTS:
		d.fts = true
	case f.Repair == integrity.RepairRebuild && f.Index != "": // in its tree
		if !slices.Contains(d.indexes, f.Index) {
			d.indexes = append(d.indexes, f.Index)
		}
	default:
		return f.Repair == integrity.RepairReindex
	}
	return true
}

// clear makes the root of each damaged index an empty leaf, and forgets the free
// pages: all of them then belong to nothing, until VACUUM leaves them out.
func (d *derived) clear(f *os.File) error {
	h, err := readLayout(f)
	if err != nil {
		return err
	}
	d.owned = map[uint32]bool{}
	x := indexPages{layout: h, owned: d.owned}
	for _, root := range d.roots {
		if err := x.follow(root); err != nil {
			return err
		}
	}
	empty := make([]byte, h.PageSize)
	sqlitefile.ClearIndexRoot(empty, h.Usable)
	for _, root := range d.roots {
		if _, err := f.WriteAt(empty, h.offset(root)); err != nil {
			return err
		}
	}
	if d.free {
		return editHeader(f, (*sqlitefile.Header).ClearFreelist)
	}
	return nil
}

// judgeCleared looks again at a database whose damaged indexes are empty: now the
// scan must come to its end, and every page without an owner must be an index's.
func (d *derived) judgeCleared(ctx context.Context, path string) (err error) {
	if len(d.roots) == 0 {
		return nil
	}
	conn, err := openPrivate(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	now := &derived{}
	if err := now.scan(ctx, conn); err != nil {
		return damageAs(err)
	}
	if len(now.indexes) > 0 || now.free && !d.free {
		return notRepairable("emptying the damaged indexes brought other damage to light")
	}
	return holdNoRows(ctx, conn, slices.DeleteFunc(now.never, func(n uint32) bool { return d.owned[n] }))
}

// holdNoRows makes sure that pages without an owner cannot hold rows: they are all
// zeros, or pages of indexes where no table is stored as one. Such are what was below
// a page that was lost.
func holdNoRows(ctx context.Context, conn *sqlite.Conn, never []uint32) error {
	if len(never) == 0 {
		return nil
	}
	alike, err := conn.Int(ctx, "SELECT count(*) FROM pragma_table_list WHERE schema='main' AND wr")
	if err != nil {
		return damageAs(err)
	}
	st, err := conn.Prepare("SELECT data FROM sqlite_dbpage WHERE pgno=?")
	if err != nil {
		return err
	}
	defer st.Close()
	for _, pgno := range never {
		if err := st.BindInt(1, int64(pgno)); err != nil {
			return err
		}
		more, err := st.Step(ctx)
		if err != nil {
			return damageAs(err)
		}
		if b := st.Blob(0); more && !isZero(b) && (alike > 0 || !isIndexPage(b[0])) {
			return notRepairable("page %d belongs to nothing and may hold rows", pgno)
		}
		st.Reset()
	}
	return nil
}

// isIndexPage reports whether a page of this type is one of an index, or of a table that
// is stored as one.
func isIndexPage(b byte) bool {
	t := sqlitefile.PageType(b)
	return t.Valid() && !t.Table()
}

func isZero(b []byte) bool { return len(bytes.Trim(b, "\x00")) == 0 }

// fill fills every index, if indexes are at fault at all: that needs collations and
// functions of the application's which may not be known here.
func (d *derived) fill(ctx context.Context, path string, indexes bool) (err error) {
	conn, err := openPrivate(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(), livedb.RemoveSidecars(path)) }()
	if err := conn.CheckpointOnClose(); err != nil {
		return err
	}
	if indexes {
		err = conn.Exec(ctx, "REINDEX")
	}
	var e *sqlite.Error
	if errors.As(err, &e) && e.Primary() == constraint {
		return notRepairable("rows of the table have the same key, so that its UNIQUE index cannot be rebuilt: %s", e.Msg)
	}
	if err == nil && d.fts {
		err = rebuildFullText(ctx, conn)
	}
	return damageAs(err)
}

// constraint is the result code SQLITE_CONSTRAINT.
const constraint = 19

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
