package inspect

import (
	"context"
	"errors"
	"fmt"
	"time"

	"example.com/snapd/internal/dump"
	"example.com/snapd/internal/message"
	"example.com/snapd/internal/sqlite"
)

var (
	// ErrStatement: SQLite cannot run the statement: its syntax, a name that is not there, a value that does not fit.
	ErrStatement = errors.New("the statement cannot be run")
	// ErrNotReading: the statement would do more than read the image.
	ErrNotReading = sqlite.ErrNotReading
)

// QueryOptions bound a query. Zero values are the defaults.
type QueryOptions struct {
	Limit   int           // rows; 1,000
	Timeout time.Duration // 10 seconds
	Bytes   int64         // of all rows in memory, about; 32 MiB
	// Progress is called while pages are read, with how much of the image was: a query that uses no index reads all
	// of it, and some read pages twice.
	Progress func(done, total int64)
}

// Defaults of QueryOptions, and the memory that a query may use, in bytes.
const (
	queryRows   = 1000
	queryTime   = 10 * time.Second
	queryBytes  = 32 << 20
	queryMemory = 128 << 20
)

func (o QueryOptions) resolved() QueryOptions {
	if o.Limit <= 0 {
		o.Limit = queryRows
	}
	if o.Timeout <= 0 {
		o.Timeout = queryTime
	}
	if o.Bytes <= 0 {
		o.Bytes = queryBytes
	}
	return o
}

// QueryResult has the rows of a query, each with a value for each of Columns. Truncated: there are more, which
// QueryOptions kept out.
type QueryResult struct {
	Columns    []string   `json:"columns"`
	Rows       []dump.Row `json:"rows"`
	Truncated  bool       `json:"truncated"`
	DurationMS int64      `json:"duration_ms"`
}

// Query runs one statement that reads. The image may have been made to do harm: time and memory are bounded whatever that
// has. Errors: ErrStatement, ErrNotReading, ErrTooMuch, ErrDamaged, context.DeadlineExceeded after o.Timeout, and those
// of reading the pages.
func (i *Image) Query(ctx context.Context, query string, o QueryOptions) (QueryResult, error) {
	return i.query(ctx, o, func(context.Context, *sqlite.Conn) (string, error) { return query, nil })
}

// Rows returns the rows of a table or view from the one at offset on, in the order in which they are stored. Errors: ErrNoTable,
// and those of Query.
func (i *Image) Rows(ctx context.Context, table string, offset int64, o QueryOptions) (QueryResult, error) {
	o = o.resolved()
	return i.query(ctx, o, func(ctx context.Context, c *sqlite.Conn) (string, error) {
		query := fmt.Sprintf("SELECT * FROM main.%s LIMIT %d OFFSET %d", sqlite.QuoteName(table), o.Limit+1, offset)
		_, err := hasTable(ctx, c, table)
		return query, err
	})
}

// query runs the statement that ask returns.
func (i *Image) query(ctx context.Context, o QueryOptions, ask func(context.Context, *sqlite.Conn) (string, error)) (r QueryResult, err error) {
	began := time.Now()
	o = o.resolved()
	c, err := i.open()
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	c.LimitValues(min(max(i.size, valuesAtLeast), sqlite.MaxValue))
	c.Limit(sqlite.Budget{Time: o.Timeout, Memory: queryMemory})
	bounded, cancel := context.WithTimeout(ctx, o.Timeout) // counting looks for an interrupt only, not at the budget
	defer cancel()
	defer i.follow(o.Progress)()
	query, err := ask(bounded, c)
	if err == nil {
		err = r.collect(bounded, c, query, o)
	}
	if err != nil {
		return QueryResult{}, i.judgeQuery(ctx, err, o)
	}
	r.DurationMS = max(1, time.Since(began).Milliseconds())
	return r, nil
}

func (r *QueryResult) collect(ctx context.Context, c *sqlite.Conn, query string, o QueryOptions) error {
	st, err := c.ReadOne(ctx, query)
	if err != nil {
		return err
	}
	defer st.Close()
	r.Columns, r.Rows = st.Columns(), []dump.Row{}
	for left := o.Bytes; ; {
		more, err := st.Step(ctx)
		if err != nil || !more {
			return err
		}
		if len(r.Rows) == o.Limit {
			r.Truncated = true
			return nil
		}
		row := dump.Read(st, len(r.Columns))
		if left -= row.Size(); left < 0 {
			if len(r.Rows) == 0 {
				return fmt.Errorf("%w: the first row alone takes more than %d bytes", ErrTooMuch, o.Bytes)
			}
			r.Truncated = true
			return nil
		}
		r.Rows = append(r.Rows, row)
	}
}

// judgeQuery says what ended a query.
func (i *Image) judgeQuery(ctx context.Context, err error, o QueryOptions) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	const narrow = "ask for less: name only the columns that are needed, and in WHERE what an index has; or export it to a file and look there"
	var over *sqlite.BudgetError
	switch class := sqlite.Classify(err); {
	case class == sqlite.ClassInterrupted, errors.As(err, &over) && over.OfTime:
		return message.WithHint(timeoutError{o.Timeout}, "allow it more time, or "+narrow)
	case over != nil:
		return message.WithHint(fmt.Errorf("%w: the query took too much %s", ErrTooMuch, over.Spent), narrow)
	case class == sqlite.ClassTooBig, class == sqlite.ClassNoMemory:
		return message.WithHint(fmt.Errorf("%w: the query took too much memory: %s", ErrTooMuch, plainly(err)), narrow)
	case errors.Is(err, ErrNoTable):
		return err
	case errors.Is(err, ErrTooMuch):
		return message.WithHint(err, narrow)
	case errors.Is(err, ErrNotReading):
		return message.WithHint(err, "a past state cannot be changed; restore or export it to a file, and change that")
	case i.failure() != nil:
		return i.failure()
	case errors.Is(err, sqlite.ErrStatements), class == sqlite.ClassOther:
		return message.WithHint(fmt.Errorf("%w: %s", ErrStatement, plainly(err)), "tables shows the names of the tables, and PRAGMA table_info(TABLE) those of the columns")
	}
	return i.judge(err)
}

// timeoutError matches context.DeadlineExceeded.
type timeoutError struct{ after time.Duration }

func (e timeoutError) Error() string        { return fmt.Sprintf("the query took longer than %v", e.after) }
func (e timeoutError) Is(target error) bool { return target == context.DeadlineExceeded }

// plainly is what SQLite says, without the statement.
func plainly(err error) string {
	var e *sqlite.Error
	if errors.As(err, &e) {
		return e.Msg
	}
	return err.Error()
}

// follow calls progress with what is read from now on, until the returned function is called.
func (i *Image) follow(progress func(done, total int64)) (end func()) {
	if progress == nil {
		return func() {}
	}
	i.progress.Store(&progress)
	progress(0, i.size)
	return func() { i.progress.Store(nil) }
}
