// Package rowsback brings rows of an earlier state of a database back into the database as it is now.
//
//	choose    which rows of the earlier state: those that are gone (rowdiff), or that an expression picks
//	compare   each with the row that has its key now: the same, gone, or another       ◀─ made again in the write transaction
//	change    INSERT what is gone, UPDATE what is another, as the policy says
//
// What a plan shows, and what a transaction does, are the same comparison, made on two connections: nothing that was committed
// between them is lost. Triggers of the database run, and foreign keys are enforced at the commit.
package rowsback

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"example.com/snapd/internal/dump"
	"example.com/snapd/internal/message"
	"example.com/snapd/internal/rowdiff"
	"example.com/snapd/internal/sqlite"
	"example.com/snapd/internal/sqlitefile"
)

// Policy says what becomes of a row whose key, or whose value of a UNIQUE index, another row has now.
type Policy string

// What becomes of it.
const (
	Fail    Policy = "fail"    // nothing at all is done
	Skip    Policy = "skip"    // it is left out
	Replace Policy = "replace" // the row with its key becomes what it was; one with its UNIQUE value only is in the way
)

// Options choose rows of a table. Where, Keys, Missing and Changed narrow the choice; at least one of them is needed.
type Options struct {
	Table string `json:"table"`
	// Where is an SQL expression over the table's columns. It is evaluated in the earlier state only, which cannot be
	// written to.
	Where string `json:"where,omitempty"`
	// Keys are rows by the columns of their primary key.
	Keys []rowdiff.Fields `json:"keys,omitempty"`
	// Missing chooses only rows that are gone, Changed only those that are others now, both of them those and no others.
	Missing    bool   `json:"missing,omitempty"`
	Changed    bool   `json:"changed,omitempty"`
	OnConflict Policy `json:"on_conflict,omitempty"` // "" is Fail
	// References brings along the rows of other tables that foreign keys tie to the chosen ones, where those are gone, too.
	References bool `json:"with_references,omitempty"`
	// Undo reverses what bringing rows back did, in the rows that are still as it left them: removes what it inserted, and gives what it
	// replaced its former values. The earlier state is the safety backup that it took. Only OnConflict goes with it.
	Undo bool `json:"undo,omitempty"`
}

var (
	// ErrRefused: it cannot be done safely; the message says why.
	ErrRefused = errors.New("refused for safety")
	// ErrConflict: other rows are in the way. It is an ErrRefused.
	ErrConflict = fmt.Errorf("%w: other rows are in the way", ErrRefused)
	// ErrOptions: the options do not make sense together, or the expression cannot be evaluated.
	ErrOptions = errors.New("unusable options")
	// ErrNoTable: the earlier state has no such table.
	ErrNoTable = rowdiff.ErrNoTable
	// ErrStale: the table is not what it was when the rows were chosen.
	ErrStale = errors.New("the table has changed")
)

// Check returns ErrOptions, with advice, for options that nothing can be done with.
func (o *Options) Check() error {
	if o.OnConflict == "" {
		o.OnConflict = Fail
	}
	switch {
	case o.Undo && (o.Table != "" || o.Where != "" || len(o.Keys) > 0 || o.Missing || o.References):
		return fmt.Errorf("%w: an undo is of all rows that were brought back", ErrOptions)
	case o.Table == "" && !o.Undo:
		return fmt.Errorf("%w: no table is named", ErrOptions)
	case o.OnConflict != Fail && o.OnConflict != Skip && o.OnConflict != Replace:
		return fmt.Errorf("%w: on conflict %q is none of fail, skip and replace", ErrOptions, o.OnConflict)
	case o.Where == "" && len(o.Keys) == 0 && !o.Missing && !o.Changed && !o.Undo:
		return message.WithHint(fmt.Errorf("%w: which rows of %s are to be brought back is not said", ErrOptions, o.Table),
			"--missing chooses those that are gone, --changed those that are others now; --where \"id = 4711\" those that an expression picks")
	case o.Where != "" && len(o.Keys) > 0:
		return fmt.Errorf("%w: rows are chosen by an expression or by keys, not both", ErrOptions)
	}
	if o.Where == "" {
		return nil
	}
	return oneExpression(o.Where)
}

// wants reports whether rows that are gone are chosen, or else those that are others now.
func (o *Options) wants(gone bool) bool {
	if gone {
		return o.Missing || !o.Changed
	}
	return o.Changed || !o.Missing
}

// maxExpression is the longest expression, in bytes.
const maxExpression = 64 << 10

// oneExpression makes sure that an expression which is put in parentheses stays in them.
func oneExpression(sql string) error {
	refuse := func(why string) error { return fmt.Errorf("%w: the expression %s", ErrOptions, why) }
	if len(sql) > maxExpression {
		return refuse(fmt.Sprintf("is longer than %d bytes", maxExpression))
	}
	depth := 0
	for i := 0; i < len(sql); i++ {
		end := ""
		switch c := sql[i]; c {
		case 0:
			return refuse("has a zero byte in it")
		case ';':
			return refuse("has a semicolon in it: it has to be one expression, such as id = 4711")
		case '(':
			depth++
		case ')':
			if depth--; depth < 0 {
				return refuse("closes a parenthesis that it does not open")
			}
		case '\'', '"', '`':
			end = string(c)
		case '[':
			end = "]"
		case '-', '/':
			if strings.HasPrefix(sql[i:], "--") || strings.HasPrefix(sql[i:], "/*") {
				return refuse("has a comment in it")
			}
		}
		if end != "" { // a doubled mark is the end of one text and the start of the next
			n := strings.Index(sql[i+1:], end)
			if n < 0 {
				return refuse("has a " + sql[i:i+1] + " without its end")
			}
			i += n + 1
		}
	}
	if depth != 0 {
		return refuse("opens a parenthesis that it does not close")
	}
	return nil
}

// row is a row of the earlier state, in the columns that it has in common with the table as it is now.
type row struct {
	id     int64 // its rowid, where rows are matched by that
	values []sqlitefile.Value
}

// part is the value of a number that keyColumns returned.
func (x *row) part(k int) sqlitefile.Value {
	if k < 0 {
		return sqlitefile.Value{Kind: sqlitefile.Integer, Int: x.id}
	}
	return x.values[k]
}

// Rows are rows of one table of the earlier state.
type Rows struct {
	match rowdiff.Match
	sql   string // the table's, as it is now
	rows  []row
	gone  []string // columns that the table has no more
	added []string // columns that it has since
	whole bool     // a row that is stored nowhere is gone; its rowid says nothing
	along bool     // they come along with others
	back  []former // of an undo, of each row
}

// former is what an undo makes of a row: what it was before.
type former struct {
	there bool            // it was there; else it goes
	left  *rowdiff.Digest // of what it was left as; nil where it was removed
}

func (r *Rows) name() string { return r.match.To.Name }

// keyed reports whether the rows are matched by a primary key.
func (r *Rows) keyed() bool { return r.match.By == rowdiff.ByKey }

// byRowID are the rows, named by their rowids.
func (r *Rows) byRowID() *Rows {
	by := *r
	by.match.By, by.match.Key = rowdiff.ByRowID, nil
	return &by
}

// nullKey reports whether the key of x has a NULL, and so names nothing.
func (r *Rows) nullKey(x *row) bool {
	return slices.ContainsFunc(r.match.Key, func(k int) bool { return x.values[k].Kind == sqlitefile.Null })
}

// rowid reports whether the rows are stored at their old rowids, which no column is another name of.
func (r *Rows) rowid() bool { return !r.keyed() && r.match.To.RowID != "" && r.match.To.Alias < 0 }

// named says which row it is, for a person.
func (r *Rows) named(x row) string {
	if !r.keyed() {
		return fmt.Sprintf("row %d of %s", x.id, r.name())
	}
	key := r.key(x)
	if len(key) > maxNamed {
		key = strings.ToValidUTF8(key[:maxNamed], "") + "…"
	}
	return "row " + key + " of " + r.name()
}

const maxNamed = 100 // bytes of a key in a message

// key is the key of a row, in SQL.
func (r *Rows) key(x row) string {
	if !r.keyed() {
		return fmt.Sprint(x.id)
	}
	parts := make([]string, len(r.match.Key))
	for i, k := range r.match.Key {
		parts[i] = r.match.Columns[k] + "=" + dump.Literal(x.values[k], r.match.Encoding, r.match.Encoding)
	}
	return strings.Join(parts, " AND ")
}

// quoted are columns, as a list in SQL.
func quoted(names []string) string {
	list := make([]string, len(names))
	for i, n := range names {
		list[i] = sqlite.QuoteName(n)
	}
	return strings.Join(list, ",")
}
