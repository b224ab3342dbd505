package integrity

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"example.com/snapd/internal/livedb"
)

// ErrNotMendable says that a database cannot be made whole from what it holds
// without the risk of losing rows.
var ErrNotMendable = errors.New("cannot be mended without losing rows")

// Mending says what Mend did.
type Mending struct {
	// Kept counts the transactions of the log that were brought into the file.
	Kept int64 `json:"kept_transactions"`
	// Dropped counts committed transactions that the log no longer proves, at least.
	Dropped int64 `json:"dropped_transactions"`
	// Indexes are those that findings were about, by name; where there are any, all of
	// the database are made anew. Never nil.
	Indexes []string `json:"indexes"`
	// LogSalts (as in sqlite.LogPosition) and LogFrame say how far into the log the
	// result reaches; "" and 0 without a log.
	LogSalts string `json:"-"`
	LogFrame int64  `json:"-"`
	// Header: damaged fields of the file's header were given the values they must have had.
	Header bool `json:"header"`
	// Rebuilt: something derived was made anew: indexes, full-text indexes, the list of
	// free pages, back references.
	Rebuilt bool `json:"rebuilt"`
	// Report is the full check that proves the result: healthy, or violations.
	Report Report `json:"-"`
}

// Summary says in one line what was done.
func (m Mending) Summary() string {
	log := fmt.Sprintf("the log's %d transactions were all kept", m.Kept)
	if m.Dropped > 0 {
		log = fmt.Sprintf("%d transactions of the log were kept, at least %d beyond the damage were dropped", m.Kept, m.Dropped)
	}
	derived := "what can be derived from the tables was made anew without losing a row"
	if n := len(m.Indexes); n > 0 {
		derived = "indexes were made anew from their tables without losing a row: " + strings.Join(m.Indexes[:min(n, 3)], ", ")
		if n > 3 {
			derived += fmt.Sprintf(" and %d more", n-3)
		}
	}
	if m.Header && !m.Rebuilt {
		derived = "fields of the file's header were given back the values that they must have had; no row was lost"
	}
	switch {
	case !m.Rebuilt && !m.Header:
		return log
	case m.Dropped == 0:
		return derived
	}
	return log + "; " + derived
}

// Mendable reports whether the findings leave hope that Mend succeeds: the damage
// is confined to what can be derived from sound tables (indexes, the list of free
// pages, the back references of auto_vacuum), or to the log. Only Mend's own proof
// settles it.
func (r Report) Mendable() bool {
	if r.Verdict != Corrupt {
		return false
	}
	hope := false
	for _, f := range r.Findings {
		switch {
		case f.Code.kind().severity < damage:
		case f.Repair != "", f.Code == CodeWALLost, f.Code == CodeWALBehind:
			hope = true
		case f.Code == CodePageUnreferenced, f.Code == CodeUnreadable: // may follow from the others
		default:
			return false
		}
	}
	return hope
}

// Mend makes the private copy at path whole, if that can be done without losing a
// row that is in it: it brings in what the checksums of its -wal prove, and makes
// anew what is derived from sound tables. r is the report on the original. The
// result is proven: every table's rows are the same before and after, and a full
// check finds no damage. Nobody else may have the file open.
//
// Afterwards path is one file without sidecars. Where Mend fails the copy is of no
// further use. Errors: ErrNotMendable, with the reason; a *CheckError where the
// attempt could not be made (context, disk), which says nothing about the database.
func Mend(ctx context.Context, path string, r Report, o Options) (_ Mending, err error) {
	m := Mending{Indexes: []string{}}
	defer func() { err = errors.Join(err, livedb.RemoveSidecars(path)) }()
	for _, f := range r.Findings {
		if f.Code == CodeWALHeader {
			return m, notMendable("%s", f.Message) // what such a log holds is not known
		}
	}
	t := &results{}
	if err := rollBack(ctx, path, t); err != nil {
		return m, cannotMend(path, err)
	}
	known := map[Code]bool{}
	for _, f := range r.Findings {
		known[f.Code] = true
	}
	if err := foldLog(ctx, path, known, &m); err != nil {
		return m, cannotMend(path, err)
	}
	if slices.ContainsFunc(headerFields, func(c Code) bool { return known[c] }) {
		if err := mendHeader(path); err != nil {
			return m, cannotMend(path, err)
		}
		m.Header = true
	}
	if m.Report, err = CheckCopy(ctx, path, Options{Level: LevelFull}); err != nil {
		return m, err
	}
	if !m.Report.Damaged() {
		return m, nil
	}
	if !m.Report.Mendable() {
		return m, notMendable("%s", worst(m.Report))
	}
	m.Rebuilt, m.Indexes = true, m.Report.indexes()
	content := slices.ContainsFunc(m.Report.Findings, func(f Finding) bool { return f.Repair == RepairReindex })
	if err := rebuild(ctx, path, o.scratchDir(), content); err != nil {
		return m, cannotMend(path, err)
	}
	if m.Report, err = CheckCopy(ctx, path, Options{Level: LevelFull}); err != nil {
		return m, err
	}
	if m.Report.Damaged() {
		return m, notMendable("after the attempt there still is: %s", worst(m.Report))
	}
	return m, nil
}

// indexes returns the names of the indexes that findings are about, in order.
func (r Report) indexes() []string {
	names := []string{}
	for _, f := range r.Findings {
		name, _, ok := strings.Cut(strings.TrimPrefix(f.Message, "index "), ": Tree ")
		if !ok || !strings.HasPrefix(f.Message, "index ") {
			_, name, ok = strings.Cut(f.Message, " index ")
		}
		if ok && f.Repair != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// worst is the message of the first finding of damage that nothing mends, or else of
// the first of all, which is damage too.
func worst(r Report) string {
	i := slices.IndexFunc(r.Findings, func(f Finding) bool { return f.Code.kind().severity >= damage && f.Repair == "" })
	if len(r.Findings) == 0 {
		return string(r.Verdict)
	}
	return r.Findings[max(i, 0)].Message
}

func notMendable(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrNotMendable, fmt.Sprintf(format, args...))
}

// cannotMend tells the database's fault from that of the attempt.
func cannotMend(path string, err error) error {
	if errors.Is(err, ErrNotMendable) {
		return err
	}
	switch e := cannotRead(path, err); e.Code {
	case ErrCodeLimit, ErrCodeUnsupported:
		return fmt.Errorf("%w: %w", ErrNotMendable, err)
	default:
		return e
	}
}
