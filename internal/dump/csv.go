package dump

import (
	"bufio"
	"context"
	"io"
	"strings"

	"example.com/snapd/internal/sqlite"
)

// CSV writes rows as RFC 4180 has them: lines end with CR LF. NULL is an empty field, an empty text is a pair of
// quotes. It is buffered; Flush ends it.
type CSV struct{ w *bufio.Writer }

// NewCSV writes to w, with the names of the columns as the first line.
func NewCSV(w io.Writer, columns []string) (CSV, error) {
	names := make(Row, len(columns))
	for i, name := range columns {
		names[i] = name
	}
	c := CSV{bufio.NewWriterSize(w, 64<<10)}
	return c, c.Write(names)
}

// Write writes one row.
func (c CSV) Write(row Row) error {
	for i, v := range row {
		if i > 0 {
			_ = c.w.WriteByte(',') // the writer remembers its error
		}
		field := Text(v, "")
		if v != nil && (field == "" || strings.ContainsAny(field, "\",\r\n") || field[0] == ' ' || field[len(field)-1] == ' ') {
			field = `"` + strings.ReplaceAll(field, `"`, `""`) + `"`
		}
		_, _ = c.w.WriteString(field)
	}
	_, err := c.w.WriteString("\r\n")
	return err
}

// Flush writes what is buffered.
func (c CSV) Flush() error { return c.w.Flush() }

// TableAsCSV writes the rows of a table or view, all columns that a query sees, and returns how many. Reading them stays within b.
func TableAsCSV(ctx context.Context, c *sqlite.Conn, table string, b sqlite.Budget, w io.Writer) (rows int64, err error) {
	st, err := c.ReadOne(ctx, "SELECT * FROM main."+sqlite.QuoteName(table))
	if err != nil {
		return 0, err
	}
	defer st.Close()
	c.Limit(b) // once it is compiled, so that values may be as large as ever
	columns := st.Columns()
	out, err := NewCSV(w, columns)
	if err != nil {
		return 0, err
	}
	for {
		more, err := st.Step(ctx)
		if err != nil {
			return rows, err
		}
		if !more {
			return rows, out.Flush()
		}
		if err := out.Write(Read(st, len(columns))); err != nil {
			return rows, err
		}
		rows++
	}
}
