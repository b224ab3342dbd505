package integrity

import (
	"context"
	"fmt"
	"math"

	"example.com/snapd/internal/sqlite"
)

// Scan runs SQLite's quick_check over the whole database of conn, or over one table,
// and gives fn every finding, without a report's bound on their number, each with the
// names of the table and index that it is about. An error is fn's or the engine's;
// of a database that is too damaged to be scanned to its end it is the engine's.
func Scan(ctx context.Context, conn *sqlite.Conn, table string, fn func(Finding) error) error {
	s := &sqlCheck{conn: conn, found: &results{}}
	all, err := s.trees(ctx)
	if err != nil {
		return err
	}
	pragma := fmt.Sprintf("PRAGMA quick_check(%d)", math.MaxInt32)
	if table != "" {
		pragma = "PRAGMA quick_check(" + sqlite.QuoteName(table) + ")"
	}
	return conn.Each(ctx, pragma, func(st *sqlite.Stmt) error {
		for f := range parseRow(st.Text(0)) {
			if err := fn(all.name(f)); err != nil {
				return err
			}
		}
		return nil
	})
}

// VirtualTables returns the modules of the virtual tables in the schema of conn, by
// the tables' names.
func VirtualTables(ctx context.Context, conn *sqlite.Conn) (map[string]string, error) {
	s := &sqlCheck{conn: conn, found: &results{}}
	_, modules, err := s.objects(ctx)
	return modules, err
}
