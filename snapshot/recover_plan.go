package snapshot

import (
	"errors"
	"fmt"
	"time"

	"github.com/dustin/go-humanize"

	"example.com/snapd/integrity"
	"example.com/snapd/internal/repair"
)

// RecoveryPlan says what a recovery does, and why.
type RecoveryPlan struct {
	Action  Action  `json:"action"` // none, repaired, restored, or waiting
	Verdict Verdict `json:"verdict"`
	Reason  string  `json:"reason"` // one sentence
	// Options are the ways out of a damaged or missing database, in the order in which
	// they are tried; never nil. Action none with damage and without options: nothing helps.
	Options []RecoveryOption `json:"options"`
	Report  Report           `json:"-"`
	// Err is the error that Recover ends with, nil where it does what Action says:
	// matches ErrNoUsableBackup, ErrMissing, ErrBusy.
	Err error `json:"-"`
}

// RecoveryOption is one way to a usable database, and its price.
type RecoveryOption struct {
	Action Action  `json:"action"` // repaired or restored
	Backup *string `json:"backup"` // id of the first that is tried; null for a repair
	Loses  string  `json:"loses"`  // one sentence
	// LosesSince is the time of the backup: later changes are lost. Null for a repair.
	LosesSince *time.Time `json:"loses_since"`
	// LosesTransactions counts transactions that the damaged log no longer proves, at
	// least; null where that is not known.
	LosesTransactions *int64 `json:"loses_transactions"`
	// Proven: the way was tried on a private copy and passed its proof. Else that
	// comes when it is taken, and the next one is tried when it fails.
	Proven bool `json:"proven"`
	// Chosen: it is the way that Action names.
	Chosen bool `json:"chosen"`

	from []Backup // those to restore: the first that passes its proof
}

// recoveryFacts are all that a recovery is decided by.
type recoveryFacts struct {
	database string
	verdict  integrity.Verdict
	report   Report // of the check; where the verdict is a memory, of a shallower one
	// candidates are the backups that may be restored, in the order in which they are tried.
	candidates []Backup
	onMissing  OnMissing
	repair     repairFacts
	inUse      error // which process has the database open; nil for none
}

// repairFacts are what is known of a repair.
type repairFacts struct {
	hope   bool // the findings allow one
	tried  bool // on a private copy
	result repair.Result
	failed error // why it cannot be, after it was tried
}

// planRecovery chooses the way out that loses the least.
func planRecovery(f recoveryFacts) RecoveryPlan {
	p := RecoveryPlan{Action: ActionNone, Verdict: f.verdict, Report: f.report, Options: []RecoveryOption{}}
	switch f.verdict {
	case integrity.Healthy, integrity.Violations:
		p.Reason = "the database is usable"
		return p
	case integrity.Missing, integrity.Empty:
		switch {
		case len(f.candidates) == 0:
			p.Reason = "there is no database yet, and no backup of one; the application will create it"
			return p
		case f.onMissing == MissingIgnore:
			p.Reason = "there is no database, and backups of one are to be ignored (on-missing ignore); the application will create it"
			return p
		case f.onMissing == MissingFail:
			p.Reason = "the database is missing while backups exist, which is an error here (on-missing fail)"
			p.Err = hint(fmt.Errorf("%w: %s, while %d backups exist", ErrMissing, f.database, len(f.candidates)),
				"restore one of them, or start once with on-missing=ignore to begin with a new database")
			return p
		}
	}
	if p.Options, p.Reason = waysOut(f); len(p.Options) == 0 {
		p.Err = hint(fmt.Errorf("%w: %w; the damaged file was left as it is", ErrNoUsableBackup,
			&CorruptError{What: "database " + f.database, Report: f.report}),
			"look for copies of the backup directory elsewhere, and keep the damaged file: it may be the only copy of some rows")
		return p
	}
	if f.inUse != nil {
		p.Action, p.Reason, p.Err = ActionWaiting, f.inUse.Error(), f.inUse
		return p
	}
	p.Action, p.Options[0].Chosen = p.Options[0].Action, true
	return p
}

// waysOut returns the ways out of a damaged or missing database, the one that loses the
// least first, and why that is so.
func waysOut(f recoveryFacts) (options []RecoveryOption, reason string) {
	restore := restoreOption(f.candidates)
	if !f.repair.hope || f.repair.failed != nil {
		reason = whyNoRepair(f)
		if restore == nil {
			return []RecoveryOption{}, reason + "; no backup is usable: the database is left as it is"
		}
		return []RecoveryOption{*restore}, reason + "; the newest backup that passes its proof takes the database's place"
	}
	repair := RecoveryOption{Action: ActionRepaired, Loses: "nothing, or what is beyond the damage in the log"}
	if !f.repair.tried {
		reason = "the damage is confined to what a repair may make whole"
	} else {
		dropped := f.repair.result.Dropped
		repair.Proven, repair.LosesTransactions, repair.Loses = true, &dropped, f.repair.result.Summary()
		reason = "a repair keeps all transactions that the damaged log still proves, and no backup is known to hold more"
		if dropped == 0 {
			repair.Loses = "nothing: " + repair.Loses
			reason = "a repair of a private copy passed its proof and loses nothing"
		}
		if holdsMore(f.candidates, f.repair.result) {
			dropped = max(dropped, 1)
			first := restoreOption(f.candidates[:1])
			repair.Loses = f.repair.result.Summary()
			return []RecoveryOption{*first, repair}, "the newest backup holds transactions that the damaged log no longer proves: it loses less than a repair"
		}
	}
	options = []RecoveryOption{repair}
	if restore != nil {
		options = append(options, *restore)
	}
	return options, reason
}

// whyNoRepair says why the database cannot be made whole from what it holds.
func whyNoRepair(f recoveryFacts) string {
	switch {
	case f.repair.failed != nil:
		return "a repair was tried on a private copy and failed: " + f.repair.failed.Error()
	case f.verdict == integrity.Missing:
		return "the database is missing"
	case f.verdict == integrity.Empty:
		return "the database has zero bytes"
	case f.verdict == integrity.NotADatabase:
		return "the file is no database any more"
	case len(f.report.Findings) > 0:
		return "the damage is in what no repair can make whole: " + f.report.Findings[0].Message
	}
	return "the damage is in what no repair can make whole"
}

// restoreOption is the option to restore the first of these backups that passes its
// proof; nil where there is none.
func restoreOption(from []Backup) *RecoveryOption {
	if len(from) == 0 {
		return nil
	}
	at := from[0].CreatedAt.UTC()
	return &RecoveryOption{Action: ActionRestored, Backup: &from[0].ID, LosesSince: &at, from: from,
		Loses: fmt.Sprintf("all changes since %s (%s)", at.Format(time.RFC3339), humanize.Time(at))}
}

// holdsMore reports whether the newest backup reaches further into the log than what a
// repair saved, as far as that is known. Of a log without a whole transaction it is not
// known whether a checkpoint had copied it.
func holdsMore(candidates []Backup, saved repair.Result) bool {
	if saved.Dropped == 0 && saved.LogFrame == 0 || len(candidates) == 0 {
		return false
	}
	at := originOf(candidates[0]).Log
	return at != nil && at.Salts == saved.LogSalts && at.Frame > saved.LogFrame
}

// errNoProof says that a way out failed its proof, and that the next one may be tried.
var errNoProof = errors.New("failed its proof")
