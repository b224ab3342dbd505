package repair

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"example.com/snapd/integrity"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/sqlite"
)

// ErrNotRepairable says that a database cannot be made whole from what it holds
// without the risk of losing rows.
var ErrNotRepairable = errors.New("cannot be repaired without losing rows")

// Result says what Copy did.
type Result struct {
	// Kept counts the transactions of the log that were brought into the file.
	Kept int64 `json:"kept_transactions"`
	// Dropped counts committed transactions that the log no longer proves, at least.
	Dropped int64 `json:"dropped_transactions"`
	// Indexes are those that findings were about, by name; where there are any, all of
	// the database are rebuilt. Never nil.
	Indexes []string `json:"indexes"`
	// LogSalts (as in sqlite.LogPosition) and LogFrame say how far into the log the
	// result reaches; "" and 0 without a log.
	LogSalts string `json:"-"`
	LogFrame int64  `json:"-"`
	// Header: damaged fields of the file's header were given the values they must have had.
	Header bool `json:"header"`
	// Rebuilt: something derived was rebuilt: indexes, full-text indexes, the list of
	// free pages, back references.
	Rebuilt bool `json:"rebuilt"`
	// Report is the full check that proves the result: healthy, or violations.
	Report integrity.Report `json:"-"`
}

// Summary says in one line what was done.
func (r Result) Summary() string {
	log := fmt.Sprintf("the log's %d transactions were all kept", r.Kept)
	if r.Dropped > 0 {
		log = fmt.Sprintf("%d transactions of the log were kept, at least %d beyond the damage were dropped", r.Kept, r.Dropped)
	}
	derived := "what can be derived from the tables was rebuilt without losing a row"
	if n := len(r.Indexes); n > 0 {
		derived = "indexes were rebuilt from their tables without losing a row: " + strings.Join(r.Indexes[:min(n, 3)], ", ")
		if n > 3 {
			derived += fmt.Sprintf(" and %d more", n-3)
		}
	}
	if r.Header && !r.Rebuilt {
		derived = "fields of the file's header were set to the values that they must have had; no row was lost"
	}
	switch {
	case !r.Rebuilt && !r.Header:
		return log
	case r.Dropped == 0:
		return derived
	}
	return log + "; " + derived
}

// Copy makes the private copy at path whole, if that can be done without losing a row
// that is in it. report is the check of the original, and dir is for pages that are
// written again meanwhile; "" is the system's directory for temporary files. The
// result is proven: every table's rows are the same before and after, and a full check
// finds no damage. No other process may have the file open.
//
// Afterwards path is one file without sidecars. Where Copy fails the copy is of no
// further use. Errors: ErrNotRepairable, with the reason; an *integrity.CheckError
// where the attempt could not be made (context, disk), which says nothing about the
// database.
func Copy(ctx context.Context, path string, report integrity.Report, dir string) (_ Result, err error) {
	r := Result{Indexes: []string{}}
	if dir == "" {
		dir = os.TempDir()
	}
	defer func() { err = errors.Join(err, livedb.RemoveSidecars(path)) }()
	if err := rollBack(ctx, path); err != nil {
		return r, failed(path, err)
	}
	if err := applyLog(ctx, path, report, &r); err != nil {
		return r, failed(path, err)
	}
	if slices.ContainsFunc(report.Findings, headerField) {
		if err := repairHeader(ctx, path); err != nil {
			return r, failed(path, err)
		}
		r.Header = true
	}
	full := integrity.Options{Level: integrity.LevelFull, ScratchDir: dir}
	if r.Report, err = integrity.CheckCopy(ctx, path, full); err != nil {
		return r, err
	}
	if !r.Report.Damaged() {
		return r, nil
	}
	if !r.Report.Repairable() {
		return r, notRepairable("%s", worst(r.Report))
	}
	r.Rebuilt, r.Indexes = true, indexes(r.Report)
	reindex := slices.ContainsFunc(r.Report.Findings, func(f integrity.Finding) bool { return f.Repair == integrity.RepairReindex })
	if err := rebuild(ctx, path, dir, reindex); err != nil {
		return r, failed(path, err)
	}
	if r.Report, err = integrity.CheckCopy(ctx, path, full); err != nil {
		return r, err
	}
	if r.Report.Damaged() {
		return r, notRepairable("after the attempt there still is: %s", worst(r.Report))
	}
	return r, nil
}

// rollBack has SQLite undo the transaction that a journal next to the copy belongs to.
// The check of the original has made sure that the journal's header is within bounds.
func rollBack(ctx context.Context, path string) error {
	_, err := os.Stat(path + "-journal")
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	conn, err := sqlite.Open(path, sqlite.Options{Untrusted: true})
	if err != nil {
		return err
	}
	err = conn.Exec(ctx, "SELECT rootpage FROM sqlite_schema LIMIT 1")
	if isDamage(err) || inexpressible(err) {
		err = nil // the check that follows says so
	}
	return errors.Join(err, conn.Close())
}

// indexes returns the names of the indexes that findings are about, in order.
func indexes(r integrity.Report) []string {
	names := []string{}
	for _, f := range r.Findings {
		if f.Index != "" && f.Repair != "" && !slices.Contains(names, f.Index) {
			names = append(names, f.Index)
		}
	}
	slices.Sort(names)
	return names
}

// worst is the message of the first finding of damage that nothing repairs, or else of
// the first of all, which is damage too.
func worst(r integrity.Report) string {
	if len(r.Findings) == 0 {
		return string(r.Verdict)
	}
	i := slices.IndexFunc(r.Findings, func(f integrity.Finding) bool {
		return f.Code.Severity() == integrity.SeverityDamage && f.Repair == ""
	})
	return r.Findings[max(i, 0)].Message
}
