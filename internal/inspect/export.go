package inspect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"example.com/snapd/internal/dump"
	"example.com/snapd/internal/message"
	"example.com/snapd/internal/sqlite"
)

// Format is what an image is exported as.
type Format string

// The formats.
const (
	Database Format = "db"  // an SQLite database
	SQL      Format = "sql" // a script that makes an equal one
	CSV      Format = "csv" // one table
)

var (
	// ErrNoTable: the image has no table of that name.
	ErrNoTable = dump.ErrNoTable
	// ErrNoScript: the image cannot be written as an SQL script.
	ErrNoScript = dump.ErrNoScript
)

// Export writes the image to w as SQL or CSV: all of it, or with a table that one, which CSV needs. Memory is bounded by
// the largest row, of a view by queryMemory. Errors: ErrNoTable, ErrNoScript, ErrTooMuch, ErrDamaged, w's, and those of reading the pages.
func (i *Image) Export(ctx context.Context, w io.Writer, format Format, table string, progress func(done, total int64)) (done dump.Written, err error) {
	c, err := i.open()
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	c.LimitValues(min(max(i.size, valuesAtLeast), sqlite.MostValue))
	defer i.follow(progress)()
	switch format {
	case SQL:
		done, err = dump.Script(ctx, c, table, w)
	case CSV:
		done, err = i.table(ctx, c, table, w)
	default:
		return done, fmt.Errorf("export: there is no format %q", format)
	}
	if errors.Is(err, ErrNoScript) {
		return done, message.WithHint(err, "export it as a database, .db, or single tables as .csv")
	}
	return done, i.judge(err)
}

func (i *Image) table(ctx context.Context, c *sqlite.Conn, table string, w io.Writer) (dump.Written, error) {
	view, err := hasTable(ctx, c, table)
	if err != nil {
		return dump.Written{}, err
	}
	bounds := sqlite.Budget{}
	if view { // it may sort, or gather, anything
		bounds.Memory = queryMemory
	}
	rows, err := dump.TableAsCSV(ctx, c, table, bounds, w)
	var over *sqlite.BudgetError
	if errors.As(err, &over) {
		err = message.WithHint(fmt.Errorf("%w: view %s took too much %s", ErrTooMuch, table, over.Spent), "export it as a database, .db, and ask there")
	}
	return dump.Written{Tables: 1, Rows: rows}, err
}

// hasTable returns ErrNoTable unless there is a table or view of that name, and which it is.
func hasTable(ctx context.Context, c *sqlite.Conn, table string) (view bool, err error) {
	kind := int64(0)
	if !strings.ContainsRune(table, 0) {
		kind, err = c.Int(ctx, "SELECT coalesce(max(1+(type='view')), 0) FROM sqlite_schema WHERE type IN ('table','view') AND name="+sqlite.QuoteText(table)+" COLLATE NOCASE")
	}
	if err == nil && kind == 0 {
		err = message.WithHint(fmt.Errorf("%w: %q", ErrNoTable, table), "tables shows the names of the tables")
	}
	return kind == 2, err
}

// CopyTo writes the image to w as it is: a database.
func (i *Image) CopyTo(ctx context.Context, w io.Writer, progress func(done, total int64)) error {
	defer i.follow(progress)()
	buf := make([]byte, 1<<20)
	for off := int64(0); off < i.size; off += int64(len(buf)) {
		if err := ctx.Err(); err != nil {
			return err
		}
		part := buf[:min(int64(len(buf)), i.size-off)]
		if n, err := i.ReadAt(part, off); n < len(part) {
			return fmt.Errorf("read the image at byte %d: %w", off, err)
		}
		if _, err := w.Write(part); err != nil {
			return err
		}
	}
	return nil
}
