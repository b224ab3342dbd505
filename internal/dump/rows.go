package dump

import (
	"fmt"
	"strings"

	"example.com/snapd/internal/sqlite"
)

// rows writes the rows of a table as INSERT statements.
func (s *script) rows(table string) error {
	s.done.Tables++
	columns, err := s.columns(table)
	if err != nil {
		return err
	}
	list := strings.Join(columns, ",")
	st, err := s.c.ReadOne(s.ctx, "SELECT "+list+" FROM main."+sqlite.QuoteName(table))
	if err != nil {
		return err
	}
	defer st.Close()
	insert := "INSERT INTO " + sqlite.QuoteName(table) + "(" + list + ") VALUES("
	for {
		more, err := st.Step(s.ctx)
		if err != nil || !more {
			return err
		}
		_, _ = s.w.WriteString(insert)
		for i := range columns {
			if i > 0 {
				_ = s.w.WriteByte(',')
			}
			writeLiteral(s.w, st.Value(i, s.encoding), s.encoding, s.target)
		}
		if _, err := s.w.WriteString(");\n"); err != nil { // or an earlier one
			return fmt.Errorf("write: %w", err)
		}
		s.done.Rows++
	}
}

// columns returns what an INSERT gives of a row, quoted: the columns that are not computed, and the rowid where none of
// them is it and it has a name.
func (s *script) columns(table string) (list []string, err error) {
	names, keys := map[string]bool{}, 0
	of := "(" + sqlite.QuoteText(table) + ")"
	err = s.c.Each(s.ctx, "SELECT name, hidden, pk FROM pragma_table_xinfo"+of+" ORDER BY cid", func(st *sqlite.Stmt) error {
		names[strings.ToLower(st.Text(0))] = true
		if st.Int(1) == 0 {
			list = append(list, sqlite.QuoteName(st.Text(0)))
		}
		if st.Int(2) > 0 {
			keys++
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	indexed, err := s.c.Int(s.ctx, "SELECT count(*) FROM pragma_index_list"+of+" WHERE origin='pk'")
	if err != nil {
		return nil, err
	}
	if keys == 1 && indexed == 0 {
		return list, nil // an INTEGER PRIMARY KEY is the rowid
	}
	for _, rowid := range []string{"rowid", "_rowid_", "oid"} {
		if names[rowid] {
			continue
		}
		st, err := s.c.ReadOne(s.ctx, "SELECT "+rowid+" FROM main."+sqlite.QuoteName(table))
		if err == nil {
			st.Close()
			return append([]string{rowid}, list...), nil
		}
		if sqlite.IsDamage(err) || s.ctx.Err() != nil {
			return nil, err
		}
		break // WITHOUT ROWID
	}
	return list, nil
}
