package repair

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

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
	// LeftOut: the database's file alone is whole, and damaged with the log or the journal next to it. They
	// are not its own, and nothing of them is in the result; Dropped counts the transactions of the log.
	LeftOut bool `json:"left_out,omitempty"`
	// Healed: the pages that are not what the last commit left, PutBack of them, have their content again: from a backup or a
	// recovery point of that very state.
	Healed  bool  `json:"healed,omitempty"`
	PutBack int64 `json:"put_back,omitempty"`
	// Header: damaged fields of the file's header were given the values they must have had.
	Header bool `json:"header"`
	// Rebuilt: the database was written again, row by row, and what can be derived from the
	// rows was made new.
	Rebuilt bool `json:"rebuilt"`
	// Donated: what of the schema was lost is as in the donor.
	Donated bool `json:"schema_from_backup,omitempty"`
	// Emptied are full-text indexes whose words are nowhere else, so that the application has to fill
	// them again, and statistics of ANALYZE. Removed are views, triggers and indexes of which
	// neither the database nor the donor has the SQL.
	Emptied []string `json:"emptied,omitempty"`
	Removed []string `json:"removed,omitempty"`
	// Lost are rows that are gone or may be older than they were; none: every row has its index entries, and every
	// index entry its row.
	Lost []Loss `json:"lost,omitempty"`
	// BackupOnly are rows that the newest backup has and the result has not, or has otherwise: deleted or
	// changed since, or lost where no index covers them. Those in Lost are not among them.
	BackupOnly []Loss `json:"backup_only,omitempty"`
	// Unproven are the tables of what was rebuilt whose rows no sound index lists: rows of them may be lost, too, where a page
	// is an older copy of itself.
	Unproven []string `json:"unproven,omitempty"`
	// NotCompared is why what was rebuilt was not compared with a backup, "" where it was, or there is none: rows that no index
	// covers may be lost.
	NotCompared string `json:"not_compared,omitempty"`
	// Report is the full check that proves the result: healthy, or violations.
	Report integrity.Report `json:"-"`

	// SameHeader: the header counts no commit since the donor; but its page may be an older copy of itself. AsDonor: all that is
	// not an index's is as the donor has it.
	SameHeader, AsDonor bool `json:"-"`

	fullText []string // FTS5 tables
	compared bool     // with the backup
	// By table: index entries whose rows are not there, and rows that were deleted before the damage.
	found   map[string][]witness
	deleted map[string]map[int64]bool
	// Tables without a row whose indexes are all damaged: nothing but a backup says whether there were any.
	emptied map[string]bool
}

// RowsLost counts the rows of Lost.
func (r Result) RowsLost() (n int64) {
	for _, l := range r.Lost {
		n += l.Gone + l.Differ
	}
	return n
}

// Lossless reports whether it is proven that nothing that could be read was lost.
func (r Result) Lossless() bool {
	return len(r.Lost)+len(r.Emptied)+len(r.Removed)+len(r.Unproven) == 0 && r.Dropped == 0 && r.NotCompared == ""
}

// OnlyInBackup counts the rows of BackupOnly: those that are not there, and those that are there otherwise.
func (r Result) OnlyInBackup() (gone, differ int64) {
	for _, l := range r.BackupOnly {
		gone, differ = gone+l.Gone, differ+l.Differ
	}
	return gone, differ
}

// Summary says in one line what was done.
func (r Result) Summary() string {
	var parts []string
	switch {
	case r.Healed:
		parts = append(parts, fmt.Sprintf("%d pages that are not what the last commit left have their content again", r.PutBack))
	case r.LeftOut && r.Dropped > 0:
		parts = append(parts, fmt.Sprintf("the file alone is whole, and the log next to it is another database's, or of another time: its %d transactions were left out", r.Dropped))
	case r.LeftOut:
		parts = append(parts, "the file alone is whole, and damaged by what the journal next to it puts back: that is another database's, or of another time, and was left out")
	case r.Dropped > 0:
		parts = append(parts, fmt.Sprintf("%d transactions of the log were kept, at least %d beyond the damage were dropped", r.Kept, r.Dropped))
	case !r.Rebuilt && !r.Header:
		parts = append(parts, fmt.Sprintf("the log's %d transactions were all kept", r.Kept))
	}
	if r.Header && !r.Rebuilt {
		parts = append(parts, "fields of the file's header were set to the values that they must have had; no row was lost")
	}
	if r.Rebuilt {
		derived := "what can be derived from the tables was rebuilt"
		if n := len(r.Indexes); n > 0 {
			derived = "indexes were rebuilt from their tables"
		}
		switch gone, _ := r.OnlyInBackup(); {
		case len(r.Lost) > 0 || gone > 0 || r.NotCompared != "":
		case len(r.Unproven) == 0:
			derived += " without losing a row"
		case r.compared:
			derived += " without losing a row that an index or the backup has"
		default:
			derived += " without losing a row that an index lists"
		}
		parts = append(parts, derived+list(": ", r.Indexes))
		for _, l := range r.Lost[:min(len(r.Lost), 3)] {
			parts = append(parts, l.String())
		}
		if n := len(r.Lost) - 3; n > 0 {
			parts = append(parts, fmt.Sprintf("and %d more tables have lost rows", n))
		}
	}
	if len(r.BackupOnly) > 0 {
		parts = append(parts, "of the backup's rows "+r.backupOnly()+" (deleted or changed since the backup, or lost)")
	}
	if len(r.Unproven) > 0 {
		parts = append(parts, "whether there were more rows is not known where no sound index lists them"+list(": in ", r.Unproven))
	}
	if r.NotCompared != "" {
		parts = append(parts, "rows that no index covers may be lost, as it was not compared with the backup: "+r.NotCompared)
	}
	if r.Donated {
		parts = append(parts, "the schema was damaged, and what of it was lost is as in the backup")
	}
	if len(r.Emptied) > 0 {
		parts = append(parts, list("these are empty and have to be filled again: ", r.Emptied))
	}
	if len(r.Removed) > 0 {
		parts = append(parts, list("the SQL of these was damaged, and they were removed: ", r.Removed))
	}
	return strings.Join(parts, "; ")
}

// backupOnly says how many rows only the backup has, of which tables.
func (r Result) backupOnly() string {
	var parts []string
	for _, l := range r.BackupOnly {
		switch {
		case l.Differ == 0:
			parts = append(parts, fmt.Sprintf("%d of %s are not there", l.Gone, l.Table))
		case l.Gone == 0:
			parts = append(parts, fmt.Sprintf("%d of %s are there otherwise", l.Differ, l.Table))
		default:
			parts = append(parts, fmt.Sprintf("%d of %s are not there and %d are otherwise", l.Gone, l.Table, l.Differ))
		}
	}
	return list("", parts)
}

// list is what comes after head: the first names, and how many there are more; "" of none.
func list(head string, names []string) string {
	if len(names) == 0 {
		return ""
	}
	s := head + strings.Join(names[:min(len(names), 3)], ", ")
	if n := len(names) - 3; n > 0 {
		s += fmt.Sprintf(" and %d more", n)
	}
	return s
}

// notCompared notes why the result was not compared. Where nothing was rebuilt there is no need to.
func (r *Result) notCompared(why string) {
	if r.Rebuilt {
		r.NotCompared = why
	}
}

// Options of a repair.
type Options struct {
	// Dir is for files that are written meanwhile; "" is the system's directory for temporary files.
	Dir string
	// Donor is a sound earlier state of the database, a backup, from which pages of the
	// schema are taken that the database has lost; nil for none. No rows are.
	Donor *Image
	// NoDonor is why there is none although there are backups, "" else.
	NoDonor string
	// CompareFor bounds the comparison with the donor; 0 is half a minute, or as long as the repair took.
	CompareFor time.Duration
}

// Copy makes the private copy at path whole, if that can be done with all the rows
// that are in it. report is the check of the original. The result is proven: every table's
// rows are the same before and after, a full check finds no damage, and every entry
// of an old index has its row, or Result.Lost says which have not. No other process may
// have the file open.
//
// Afterwards path is one file without sidecars. Where Copy fails the copy is of no
// further use. Errors: ErrNotRepairable, with the reason; an *integrity.CheckError
// where the attempt could not be made (context, disk), which says nothing about the
// database.
func Copy(ctx context.Context, path string, report integrity.Report, o Options) (_ Result, err error) {
	r := Result{Indexes: []string{}}
	dir := o.Dir
	if dir == "" {
		dir = os.TempDir()
	}
	defer func() { err = errors.Join(err, livedb.RemoveSidecars(path)) }()
	journal, err := rollBack(ctx, path)
	if err != nil {
		return r, failed(path, err)
	}
	ignored := slices.ContainsFunc(report.Findings, func(f integrity.Finding) bool { return f.Code == integrity.CodeJournalIgnored })
	if err := applyLog(ctx, path, report, &r); err != nil {
		return r, failed(path, err)
	}
	if r.Header, err = repairHeader(ctx, path); err != nil {
		return r, failed(path, err)
	}
	full := integrity.Options{Level: integrity.LevelFull, ScratchDir: dir}
	if r.Report, err = integrity.CheckCopy(ctx, path, full); err != nil {
		return r, err
	}
	if !r.Report.Damaged() {
		return r, nil
	}
	if journal || ignored {
		return r, notRepairable("a transaction was cut off, and its journal does not undo it: %s", worst(r.Report))
	}
	r.Rebuilt, r.Indexes = true, indexes(r.Report)
	if err := rebuild(ctx, path, dir, o.Donor, &r); err != nil {
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

// rollBack has SQLite undo the transaction that a journal next to the copy belongs to, and reports
// whether there was one. The check of the original has made sure that the journal's header is
// within bounds.
func rollBack(ctx context.Context, path string) (journal bool, err error) {
	_, err = os.Stat(path + "-journal")
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	conn, err := sqlite.Open(path, sqlite.Options{Untrusted: true})
	if err != nil {
		return true, err
	}
	err = conn.Exec(ctx, "SELECT rootpage FROM sqlite_schema LIMIT 1")
	if sqlite.IsDamage(err) || sqlite.IsInexpressible(err) {
		err = nil // the check that follows says so
	}
	return true, errors.Join(err, conn.Close())
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
