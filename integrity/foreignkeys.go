package integrity

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"example.com/snapd/internal/sqlite"
)

// maxForeignKeys bounds the rows that one foreign_key_check is asked for.
const maxForeignKeys = 10 * MaxFindings

var errEnough = errors.New("enough findings")

// foreignKeys runs foreign_key_check table by table: a table whose foreign key
// names no usable key makes the whole pragma fail.
func (s *sqlCheck) foreignKeys(ctx context.Context) error {
	tables, err := s.tables(ctx, "references")
	if err != nil {
		return s.judge(err)
	}
	share := s.cost.share()
	for _, table := range tables {
		err := share.run(s.conn, func() error { return s.foreignKeysOf(ctx, table) })
		var e *sqlite.Error
		switch {
		case err == nil || errors.Is(err, errEnough):
		case errors.As(err, &e) && strings.HasPrefix(e.Msg, "foreign key mismatch"):
			s.found.addAt(Finding{Table: table}, CodeFKMismatch, "%s", e.Msg)
		case unfinished(err):
			s.found.addAt(Finding{Table: table}, CodeUncheckedRows, "the foreign keys of table %s were not checked: %s", table, reason(err))
		default:
			if err := s.judge(err); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *sqlCheck) foreignKeysOf(ctx context.Context, table string) error {
	rows := 0
	return s.conn.Each(ctx, "PRAGMA foreign_key_check("+sqlite.QuoteName(table)+")", func(st *sqlite.Stmt) error {
		row := "a row"
		if !st.IsNull(1) {
			row = fmt.Sprintf("row %d", st.Int(1))
		}
		s.found.addAt(Finding{Table: table}, CodeForeignKey, "%s of table %s refers to a row of %s that is not there (foreign key %d)", row, table, st.Text(2), st.Int(3))
		if rows++; rows >= maxForeignKeys {
			return errEnough
		}
		return nil
	})
}
