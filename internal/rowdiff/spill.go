package rowdiff

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/sqlite"
	"example.com/snapd/internal/sqlitefile"
)

// spill is a scratch database: rows wait there that have to be sorted, or found again.
type spill struct {
	file *durable.ScratchFile
	conn *sqlite.Conn
	made int // tables
}

func newSpill(ctx context.Context, dir string) (*spill, error) {
	file, err := durable.Scratch(dir, "diff")
	if err != nil {
		return nil, err
	}
	s := &spill{file: file}
	if s.conn, err = sqlite.Open(file.Name(), sqlite.Options{}); err == nil {
		file.Unlink()
		err = s.conn.Exec(ctx, "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA locking_mode=EXCLUSIVE; PRAGMA cache_size=-16384; BEGIN IMMEDIATE")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("scratch database: %w", err), s.close())
	}
	return s, nil
}

func (s *spill) close() error {
	var err error
	if s.conn != nil {
		err = s.conn.Close()
	}
	return errors.Join(err, s.file.Close())
}

// name is a name for another table.
func (s *spill) name() string {
	s.made++
	return fmt.Sprintf("t%d", s.made)
}

// sorted keeps the rows of one side in the order of their keys.
type sorted struct {
	spill    *spill
	table    string
	key      keyOrder
	encoding sqlitefile.Encoding
	insert   *sqlite.Stmt
	scratch  []byte
}

func (s *spill) sorted(ctx context.Context, key keyOrder, encoding sqlitefile.Encoding) (*sorted, error) {
	t := &sorted{spill: s, table: s.name(), key: key, encoding: encoding}
	var columns []string
	for i, part := range key {
		columns = append(columns, fmt.Sprintf("k%d COLLATE %s", i, part.collation))
	}
	err := s.conn.Exec(ctx, fmt.Sprintf("CREATE TABLE %s(%s, id INTEGER, data BLOB)", t.table, strings.Join(columns, ", ")))
	if err == nil {
		t.insert, err = s.conn.Prepare(fmt.Sprintf("INSERT INTO %s VALUES(?%s)", t.table, strings.Repeat(",?", len(key)+1)))
	}
	if err != nil {
		return nil, fmt.Errorf("scratch database: %w", err)
	}
	return t, nil
}

// add keeps a row.
func (t *sorted) add(r *Row) error {
	for i, part := range t.key {
		if err := t.insert.BindValue(i+1, r.Values[part.value], t.encoding); err != nil {
			return err
		}
	}
	t.scratch = appendRow(t.scratch[:0], r)
	err := t.insert.BindInt(len(t.key)+1, r.ID)
	if err == nil {
		err = t.insert.BindBlob(len(t.key)+2, t.scratch)
	}
	if err == nil {
		_, err = t.insert.StepFast()
	}
	t.insert.Reset()
	if err != nil {
		return fmt.Errorf("scratch database: %w", err)
	}
	return nil
}

// added ends the adding.
func (t *sorted) added(ctx context.Context) error {
	t.insert.Close()
	return t.spill.conn.Exec(ctx, fmt.Sprintf("CREATE INDEX i%s ON %s(%s)", t.table, t.table, t.keys()))
}

func (t *sorted) keys() string {
	var names []string
	for i := range t.key {
		names = append(names, fmt.Sprintf("k%d", i))
	}
	return strings.Join(names, ", ")
}

// cursor hands the rows out in the order of their keys, ascending.
func (t *sorted) cursor(values int) (cursor, error) {
	st, err := t.spill.conn.Prepare(fmt.Sprintf("SELECT id, data, %s FROM %s ORDER BY %s", t.keys(), t.table, t.keys()))
	if err != nil {
		return nil, fmt.Errorf("scratch database: %w", err)
	}
	return &sortedCursor{st, Row{Values: make([]sqlitefile.Value, values), keys: make([]sqlitefile.Value, len(t.key))}}, nil
}

type sortedCursor struct {
	st  *sqlite.Stmt
	row Row
}

func (c *sortedCursor) close() { c.st.Close() }

func (c *sortedCursor) next(ctx context.Context) (*Row, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	more, err := c.st.StepFast()
	if err != nil || !more {
		return nil, err
	}
	c.row.ID = c.st.Int(0)
	for i := range c.row.keys {
		c.row.keys[i] = c.st.Value(i+2, sqlitefile.UTF8)
	}
	return &c.row, readRow(c.st.Blob(1), &c.row)
}

// moved pairs the rows of two sides that have the same content under different ids: the first with the first, and so on.
type moved struct {
	spill      *spill
	from, to   string // tables of content and id
	pairs      string
	add        [2]*sqlite.Stmt
	find       [2]*sqlite.Stmt
	scratch    []byte
	Pairs      int64
	KeepsOrder bool // the rows come in the same order on both sides
}

func (s *spill) moved(ctx context.Context) (*moved, error) {
	m := &moved{spill: s, from: s.name(), to: s.name(), pairs: s.name()}
	for i, table := range []string{m.from, m.to} {
		err := s.conn.Exec(ctx, "CREATE TABLE "+table+"(content BLOB, id INTEGER, PRIMARY KEY(content, id)) WITHOUT ROWID")
		if err == nil {
			m.add[i], err = s.conn.Prepare("INSERT INTO " + table + " VALUES(?,?)")
		}
		if err != nil {
			return nil, fmt.Errorf("scratch database: %w", err)
		}
	}
	return m, nil
}

// row takes a row that differs: of side 0 or 1.
func (m *moved) row(side int, r *Row) (err error) {
	var digest [32]byte
	digest, m.scratch = r.digest(m.scratch)
	st := m.add[side]
	if err = st.BindBlob(1, digest[:]); err == nil {
		if err = st.BindInt(2, r.ID); err == nil {
			_, err = st.StepFast()
		}
	}
	st.Reset()
	return err
}

// pair ends the taking.
func (m *moved) pair(ctx context.Context) (err error) {
	m.add[0].Close()
	m.add[1].Close()
	conn := m.spill.conn
	if err := conn.Exec(ctx, "CREATE TABLE "+m.pairs+"(a INTEGER PRIMARY KEY, b INTEGER UNIQUE)"); err != nil {
		return err
	}
	var all [3]*sqlite.Stmt
	for i, sql := range []string{"SELECT content, id FROM " + m.from + " ORDER BY content, id", "SELECT content, id FROM " + m.to + " ORDER BY content, id",
		"INSERT INTO " + m.pairs + " VALUES(?,?)"} {
		if all[i], err = conn.Prepare(sql); err != nil {
			return err
		}
		defer all[i].Close()
	}
	a, b, insert := all[0], all[1], all[2]
	moreA, err := a.Step(ctx)
	moreB := false
	if err == nil {
		moreB, err = b.Step(ctx)
	}
	for err == nil && moreA && moreB {
		order := bytes.Compare(a.Blob(0), b.Blob(0))
		if order == 0 {
			m.Pairs++
			if err = errors.Join(insert.BindInt(1, a.Int(1)), insert.BindInt(2, b.Int(1))); err == nil {
				_, err = insert.StepFast()
			}
			insert.Reset()
		}
		if err == nil && order <= 0 {
			moreA, err = a.Step(ctx)
		}
		if err == nil && order >= 0 {
			moreB, err = b.Step(ctx)
		}
	}
	if err != nil {
		return err
	}
	return m.order(ctx)
}

// order finds out whether the rows keep their order, and prepares has.
func (m *moved) order(ctx context.Context) (err error) {
	m.KeepsOrder = true
	first, last := true, int64(0)
	err = m.spill.conn.Each(ctx, "SELECT b FROM "+m.pairs+" ORDER BY a", func(st *sqlite.Stmt) error {
		id := st.Int(0)
		if !first && id < last {
			m.KeepsOrder = false
		}
		first, last = false, id
		return nil
	})
	for i, column := range []string{"a", "b"} {
		if err == nil {
			m.find[i], err = m.spill.conn.Prepare("SELECT 1 FROM " + m.pairs + " WHERE " + column + "=?")
		}
	}
	return err
}

// has reports whether a row of side 0 or 1 is on the other one under another id.
func (m *moved) has(side int, r *Row) (bool, error) {
	st := m.find[side]
	defer st.Reset()
	if err := st.BindInt(1, r.ID); err != nil {
		return false, err
	}
	return st.StepFast()
}

func (m *moved) close() {
	for i := range 2 {
		m.add[i].Close()
		if m.find[i] != nil {
			m.find[i].Close()
		}
	}
}
