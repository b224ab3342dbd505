package repair

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"testing"
)

const rows200 = `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<200) `

// A leaf whose rows come after the key that its parent has for it is not the leaf that was there. Lost
// otherwise: the rows of the one that was, of a table without an index.
func TestRepairForeignLeaf(t *testing.T) {
	t.Parallel()
	path := makeDB(t, "x.db", `PRAGMA page_size=1024; CREATE TABLE t(a INTEGER PRIMARY KEY, b); CREATE TABLE u(a INTEGER PRIMARY KEY, b);
		`+rows200+`INSERT INTO t SELECT i*1000, 'a name of some length '||i FROM n;
		`+rows200+`INSERT INTO u SELECT i, 'a name of some length '||i FROM n;`)
	root := readPage(t, path, rootOf(t, path, "t"))
	cell := func(i int) (child int, key uint64) {
		at := binary.BigEndian.Uint16(root[12+2*i:])
		k, n := uint64(0), 4
		for ; ; n++ {
			k = k<<7 | uint64(root[int(at)+n]&0x7f)
			if root[int(at)+n] < 0x80 {
				break
			}
		}
		return int(binary.BigEndian.Uint32(root[at:])), k
	}
	leaf, key := cell(1)
	// The leaf of u's first rows, with other rowids: between the key and the next leaf.
	run(t, path, fmt.Sprintf("DELETE FROM u; INSERT INTO u SELECT %d + i, 'other '||i FROM (%s SELECT i FROM n WHERE i < 20)", key, rows200))
	other := readPage(t, path, rootOf(t, path, "u"))
	b := slices.Clone(read(t, path))
	copy(b[(leaf-1)*1024:], other)
	put(t, path, b)
	rep := checkFull(t, path)
	t.Log(rep.Findings)
	m, err := Copy(t.Context(), path, rep, Options{})
	if !errors.Is(err, ErrNotRepairable) {
		t.Errorf("%v: %s", err, m.Summary())
	}
}

// The last page of a long text is zero. Lost otherwise: the end of the text, and the
// repair of other damage says that nothing is lost.
func TestRepairZeroedEndOfText(t *testing.T) {
	t.Parallel()
	path := makeDB(t, "x.db", `PRAGMA page_size=1024; CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT, c INT); CREATE INDEX tc ON t(c);
		INSERT INTO t VALUES(1, printf('%.2500c', 'x'), 7);`)
	b := read(t, path)
	last := 0
	for n := 2; n <= len(b)/1024; n++ {
		if page := b[(n-1)*1024:][:1024]; binary.BigEndian.Uint32(page) == 0 && page[4] == 'x' {
			last = n
		}
	}
	clear(b[(last-1)*1024:][:1024])
	put(t, path, b)
	zeroTree(t, path, "tc", "root")
	m, err := Copy(t.Context(), path, checkFull(t, path), Options{})
	if !errors.Is(err, ErrNotRepairable) {
		t.Errorf("%v: %s", err, m.Summary())
	}
}

// run runs a script on a connection of its own.
func run(t *testing.T, path, script string) {
	t.Helper()
	c := connect(t, path)
	if err := c.Exec(t.Context(), script); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}

// Tables that have no place for rows of a stray page are left out, and the index that is left is
// asked for. Lost otherwise: the whole recovery, to a panic.
func TestStrayPageOfNoTable(t *testing.T) {
	t.Parallel()
	full, index := &tree{object: object{kind: "table"}, rowids: true}, &tree{object: object{kind: "index"}}
	p := &profile{rows: 1, may: []*tree{full, full}, usual: []*tree{index}}
	if got := p.only(); got != nil {
		t.Errorf("the page is said to be of a %s", got.kind)
	}
}
