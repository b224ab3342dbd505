package integrity

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"

	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/sqlite"
)

// derived is what a whole check says about things that can be made anew from
// sound tables. Everything else that it may say ends the attempt.
type derived struct {
	trees   []uint32        // root pages of the damaged trees of indexes
	owned   map[uint32]bool // pages that those trees name
	fts     bool            // a full-text index disagrees with its content
	free    bool            // the list of free pages or the back references are damaged
	walked  int64           // free pages that SQLite could walk; -1 when it did not say
	counted int64           // free pages that the header counts
	never   []uint32        // pages that belong to nothing
}

// maxNever bounds the unowned pages that are looked at one by one.
const maxNever = 1 << 20

// rebuild makes everything derived in the private database at path anew: the
// trees of damaged indexes are emptied, the list of free pages is forgotten, VACUUM
// writes the rest afresh, in dir and back, and REINDEX fills the indexes. content says
// that the entries of some index are known to be wrong.
func rebuild(ctx context.Context, path, dir string, content bool) error {
	found, before, err := examine(ctx, path)
	if err != nil {
		return err
	}
	if err := found.clear(path); err != nil {
		return err
	}
	if err := found.judgeCleared(ctx, path); err != nil {
		return err
	}
	if len(found.trees) > 0 || found.free {
		if err := writeAfresh(ctx, path, dir); err != nil {
			return err
		}
	}
	if err := found.renew(ctx, path, content || len(found.trees) > 0); err != nil {
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
	conn, err := openPrivate(ctx, path)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	d := &derived{walked: -1}
	s := &sqlCheck{conn: conn, found: &results{}}
	if s.code, err = codingOf(ctx, conn); err != nil {
		return nil, nil, damageAs(err)
	}
	all, err := s.trees(ctx)
	if err != nil {
		return nil, nil, err
	}
	if err := s.noShadows(ctx); err != nil {
		return nil, nil, damageAs(err)
	}
	// A damaged index may keep the check from coming to its end.
	if err := d.read(ctx, s, all); err != nil && (len(d.trees) == 0 || !isDamage(err)) {
		return nil, nil, damageAs(err)
	}
	if len(d.trees) > 0 && d.free {
		return nil, nil, notMendable("both an index and the list of free pages are damaged, so that unowned pages cannot be told apart")
	}
	if d.free && len(d.never) > 0 && (d.walked < 0 || int64(len(d.never)) != d.counted-d.walked) {
		return nil, nil, notMendable("%d pages belong to nothing, and the list of free pages does not explain them: they may hold rows", len(d.never))
	}
	before, err := tableDigests(ctx, conn)
	return d, before, damageAs(err)
}

// noShadows gives up where the schema would answer in the engine's stead.
func (s *sqlCheck) noShadows(ctx context.Context) error {
	return s.conn.Each(ctx, "SELECT name FROM sqlite_schema", func(st *sqlite.Stmt) error {
		if name := s.code.text(st, 0); isShadow(name) {
			return notMendable("the schema has an object named %s, which is the engine's own name", name)
		}
		return nil
	})
}

// read runs quick_check over everything and sorts its lines.
func (d *derived) read(ctx context.Context, s *sqlCheck, all map[uint32]tree) error {
	return s.conn.Each(ctx, fmt.Sprintf("PRAGMA quick_check(%d)", math.MaxInt32), func(st *sqlite.Stmt) error {
		for line := range strings.SplitSeq(s.code.text(st, 0), "\n") {
			if line == "" || line == "ok" || strings.HasPrefix(line, "*** in database ") {
				continue
			}
			if !d.takes(line, all) {
				return notMendable("%s", line)
			}
		}
		return nil
	})
}

// takes files a line, and reports whether it is about something derived.
func (d *derived) takes(line string, all map[uint32]tree) bool {
	code := classify(line)
	k := code.kind()
	switch root, inTree := treeOf(line); {
	case k.severity < damage:
		return true
	case code == CodePointerMap:
		d.free = true
		return true
	case inTree:
		if all[root].kind != "index" {
			return false
		}
		if !slices.Contains(d.trees, root) {
			d.trees = append(d.trees, root)
		}
		return true
	}
	switch code {
	case CodeFreelist:
		d.free = true
		if _, err := fmt.Sscanf(line, "Freelist: size is %d but should be %d", &d.walked, &d.counted); err != nil {
			d.walked = -1
		}
	case CodePageUnreferenced:
		var n uint32
		if _, err := fmt.Sscanf(line, "Page %d: never used", &n); err != nil || len(d.never) >= maxNever {
			return false
		}
		d.never = append(d.never, n)
	case CodeFTS:
		d.fts = true
	default:
		return k.repair == RepairReindex
	}
	return true
}

// clear makes the root of each damaged index an empty leaf, and forgets the free
// pages: all of them then belong to nothing, until VACUUM leaves them out.
func (d *derived) clear(path string) (err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	var h header
	if err := readAt(f, h.raw[:], 0); err != nil {
		return err
	}
	size := h.pageSize()
	if size == 0 {
		return notMendable("the header names no page size")
	}
	if err := d.own(f, size, size-int(h.raw[20])); err != nil {
		return err
	}
	empty := make([]byte, size)
	empty[0] = indexLeaf
	binary.BigEndian.PutUint16(empty[5:], uint16((size-int(h.raw[20]))&0xffff)) // where its cells begin; 65536 is 0
	for _, root := range d.trees {
		if _, err := f.WriteAt(empty, (int64(root)-1)*int64(size)); err != nil {
			return err
		}
	}
	if d.free {
		if _, err := f.WriteAt(make([]byte, 8), 32); err != nil { // head and count of the list of free pages (§1.3.10)
			return err
		}
	}
	return nil
}

// own gathers the pages that the damaged trees name, before that is forgotten.
func (d *derived) own(f *os.File, pageSize, usable int) error {
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	d.owned = map[uint32]bool{}
	x := indexPages{r: f, pages: uint32(fi.Size() / int64(pageSize)), pageSize: pageSize, usable: usable, owned: d.owned}
	for _, root := range d.trees {
		if err := x.follow(root); err != nil {
			return err
		}
	}
	return nil
}

// judgeCleared looks again at a database whose damaged indexes are empty: now the
// check must come to its end, and every page without an owner must be an index's.
func (d *derived) judgeCleared(ctx context.Context, path string) (err error) {
	if len(d.trees) == 0 {
		return nil
	}
	conn, err := openPrivate(ctx, path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	s := &sqlCheck{conn: conn, found: &results{}}
	if s.code, err = codingOf(ctx, conn); err != nil {
		return damageAs(err)
	}
	all, err := s.trees(ctx)
	if err != nil {
		return err
	}
	now := &derived{walked: -1}
	if err := now.read(ctx, s, all); err != nil {
		return damageAs(err)
	}
	if len(now.trees) > 0 || now.free && !d.free {
		return notMendable("emptying the damaged indexes brought other damage to light")
	}
	return holdNoRows(ctx, conn, slices.DeleteFunc(now.never, func(n uint32) bool { return d.owned[n] }))
}

// holdNoRows makes sure that pages without an owner cannot hold rows: they are all
// zeros, or pages of indexes where no table is stored as one. Such are what lay below
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
		if b := st.Blob(0); more && !isZero(b) && (alike > 0 || b[0] != indexInterior && b[0] != indexLeaf) {
			return notMendable("page %d belongs to nothing and may hold rows", pgno)
		}
		st.Reset()
	}
	return nil
}

func isZero(b []byte) bool { return len(bytes.Trim(b, "\x00")) == 0 }

// renew makes every index anew, if indexes are at fault at all: that needs collations
// and functions of the application's which may not be known here.
func (d *derived) renew(ctx context.Context, path string, indexes bool) (err error) {
	conn, err := openPrivate(ctx, path)
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
		return notMendable("rows of the table have the same key, so that its UNIQUE index cannot be made anew: %s", e.Msg)
	}
	if err == nil && d.fts {
		err = renewFTS(ctx, conn)
	}
	return damageAs(err)
}

// renewFTS has every damaged FTS5 table that keeps or knows its content index it anew.
// A sound one may hold other words than its content on purpose.
func renewFTS(ctx context.Context, conn *sqlite.Conn) error {
	s := &sqlCheck{conn: conn, found: &results{}}
	tables, err := s.fullTextTables(ctx)
	if err != nil {
		return err
	}
	for _, name := range tables {
		if sound, err := s.soundTable(ctx, name); err != nil || sound {
			if err != nil {
				return err
			}
			continue
		}
		err := conn.Exec(ctx, fmt.Sprintf("INSERT INTO %s(%[1]s) VALUES('rebuild')", quote(name, '"')))
		var e *sqlite.Error
		if errors.As(err, &e) && strings.Contains(e.Msg, "contentless") {
			continue // the check that follows says whether that was the damaged one
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// soundTable reports whether quick_check has nothing to say of a virtual table.
func (s *sqlCheck) soundTable(ctx context.Context, name string) (bool, error) {
	own := &sqlCheck{conn: s.conn, found: &results{}, code: s.code}
	if err := own.judge(own.table(ctx, "quick_check", name)); err != nil {
		return false, err
	}
	return !own.found.damaged(), nil
}

// constraint is the result code SQLITE_CONSTRAINT.
const constraint = 19

// openPrivate opens a file of our own for mending. What is in it cost its owner
// nothing unusual to store, so values may be as large as the file.
func openPrivate(ctx context.Context, path string) (*sqlite.Conn, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	conn, err := sqlite.Open(path, sqlite.Options{Untrusted: true})
	if err != nil {
		return nil, err
	}
	conn.LimitValues(max(sqlite.MaxValue, fi.Size()))
	return conn, nil
}

// isDamage reports whether an error of the engine proves damage.
func isDamage(err error) bool {
	switch sqlite.Classify(err) {
	case sqlite.ClassCorrupt, sqlite.ClassNotADB:
		return true
	}
	return false
}

// damageAs makes ErrNotMendable of an error of the engine that lies in the database.
func damageAs(err error) error {
	if err != nil && !errors.Is(err, ErrNotMendable) && (isDamage(err) || inexpressible(err)) {
		return fmt.Errorf("%w: %w", ErrNotMendable, err)
	}
	return err
}
