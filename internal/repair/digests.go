package repair

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"

	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/sqlite"
)

// digests has the number of rows of every table and the BLAKE3 of their stored
// values in the order of the table's own tree, by the table's name.
type digests map[string]rowsDigest

type rowsDigest struct {
	rows int64
	sum  [32]byte
}

// same is an error unless both have the same tables with the same rows.
func (d digests) same(o digests) error {
	if len(d) != len(o) {
		return notRepairable("there were %d tables before and are %d afterwards", len(d), len(o))
	}
	for name, was := range d {
		if is, ok := o[name]; !ok || is != was {
			return notRepairable("table %s had %d rows and has %d, or other ones, afterwards", name, was.rows, is.rows)
		}
	}
	return nil
}

func digestsOf(ctx context.Context, path string) (_ digests, err error) {
	conn, err := openPrivate(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	d, err := tableDigests(ctx, conn)
	return d, damageAs(err)
}

// tableDigests reads every row of every table without the help of an index.
func tableDigests(ctx context.Context, conn *sqlite.Conn) (digests, error) {
	type table struct {
		name  string
		rowid bool
	}
	tables := []table{{"sqlite_schema", false}}
	err := conn.Each(ctx, "SELECT l.name, NOT l.wr FROM pragma_table_list l JOIN sqlite_schema m ON m.name=l.name AND m.type='table' WHERE l.schema='main' AND m.rootpage>0", func(st *sqlite.Stmt) error {
		tables = append(tables, table{st.Text(0), st.Int(1) != 0})
		return nil
	})
	if err != nil {
		return nil, err
	}
	indexed, err := fullTextTables(ctx, conn)
	if err != nil {
		return nil, err
	}
	d := digests{}
	for _, t := range tables {
		if ofFullText(t.name, indexed) {
			continue
		}
		columns, err := storedColumns(ctx, conn, t.name)
		if err != nil {
			return nil, err
		}
		if t.rowid {
			columns = append(columns, "_rowid_")
		}
		if d[t.name], err = rowsOf(ctx, conn, t.name, columns); err != nil {
			return nil, fmt.Errorf("read table %s: %w", t.name, err)
		}
	}
	return d, nil
}

// storedColumns returns the columns that are in the table's records, quoted: virtual
// generated ones are computed. The trees of the schema move.
func storedColumns(ctx context.Context, conn *sqlite.Conn, name string) (columns []string, err error) {
	err = conn.Each(ctx, "SELECT name FROM pragma_table_xinfo("+sqlite.QuoteText(name)+") WHERE hidden IN (0,3)", func(st *sqlite.Stmt) error {
		if c := st.Text(0); name != "sqlite_schema" || c != "rootpage" {
			columns = append(columns, sqlite.QuoteName(c))
		}
		return nil
	})
	if err == nil && len(columns) == 0 {
		columns = []string{"1"}
	}
	return columns, err
}

func rowsOf(ctx context.Context, conn *sqlite.Conn, name string, columns []string) (d rowsDigest, err error) {
	h := archive.NewImageHash()
	var b []byte
	order := ""
	if name == "sqlite_schema" {
		order = " ORDER BY type, name, tbl_name, sql" // VACUUM writes tables before indexes
	}
	err = conn.Each(ctx, "SELECT "+strings.Join(columns, ",")+" FROM "+sqlite.QuoteName(name)+" NOT INDEXED"+order, func(st *sqlite.Stmt) error {
		d.rows++
		for i := range len(columns) {
			if b = appendValue(b[:0], st, i); len(b) > 0 {
				h.Write(b)
			}
			if k := st.Type(i); k == sqlite.Text || k == sqlite.Blob {
				h.Write(st.Blob(i))
			}
		}
		return nil
	})
	copy(d.sum[:], h.Sum(nil))
	return d, err
}

// appendValue appends bytes that distinguish column i of the row from any other value, but for
// the bytes of a text or blob.
func appendValue(b []byte, st *sqlite.Stmt, i int) []byte {
	k := st.Type(i)
	b = append(b, byte(k))
	switch k {
	case sqlite.Integer:
		b = binary.BigEndian.AppendUint64(b, uint64(st.Int(i)))
	case sqlite.Real:
		b = binary.BigEndian.AppendUint64(b, math.Float64bits(st.Float(i)))
	case sqlite.Text, sqlite.Blob:
		b = binary.BigEndian.AppendUint64(b, uint64(len(st.Blob(i))))
	}
	return b
}
