package recovery

import (
	"fmt"
	"time"

	"github.com/dustin/go-humanize"

	"example.com/snapd/catalog"
	"example.com/snapd/integrity"
	"example.com/snapd/internal/failure"
	"example.com/snapd/internal/message"
	"example.com/snapd/internal/proof"
	"example.com/snapd/internal/repair"
)

// Action is what a recovery does.
type Action string

const (
	ActionNone     Action = "none"     // the database is usable, or there is nothing to restore
	ActionRestored Action = "restored" // a backup took the damaged or missing database's place
	ActionRepaired Action = "repaired" // the database was repaired from what it holds itself, no backup was needed
	ActionSalvage  Action = "salvage"  // an option only, never done by itself: [Salvage] takes out what can be read
	ActionWaiting  Action = "waiting"  // damaged, but a process has it open: nothing was touched
)

// Plan says what a recovery does, and why.
type Plan struct {
	Action  Action            `json:"action"` // none, repaired, restored, or waiting
	Verdict integrity.Verdict `json:"verdict"`
	Reason  string            `json:"reason"` // one sentence
	// Options are the ways out of a damaged or missing database, in the order in which
	// they are tried; never nil. Action none with damage and without options: nothing helps.
	Options []Option         `json:"options"`
	Report  integrity.Report `json:"-"`
	// Err is the error that Recover ends with, nil where it does what Action says:
	// it matches ErrNoUsableBackup, ErrMissing or ErrBusy.
	Err error `json:"-"`
	// NoRepair is why a repair that was tried failed, nil where none was.
	NoRepair error `json:"-"`
}

// Option is one way to a usable database, and its price.
type Option struct {
	Action Action  `json:"action"` // repaired, restored or salvage
	Backup *string `json:"backup"` // id of the first that is tried; null for a repair from what the database has
	Remote *string `json:"remote"` // name of the remote that it is read from; null for what is here
	Loses  string  `json:"loses"`  // one sentence
	// LosesSince is the time of the backup: later changes are lost. Null for a repair.
	LosesSince *time.Time `json:"loses_since"`
	// RowsLost counts the rows that are lost with this way, of those that the damaged database
	// still has or its indexes still name; null where that is not known. 0 is proven.
	RowsLost *int64 `json:"rows_lost"`
	// LosesTransactions counts transactions that the damaged log no longer proves, at
	// least; null where that is not known.
	LosesTransactions *int64 `json:"loses_transactions"`
	// Proven: the way was tried on a private copy and passed its proof. Else that
	// comes when it is taken, and the next one is tried when it fails.
	Proven bool `json:"proven"`
	// Room is what it needs on each disk; never nil. Where that is not free it is not taken, and no way out that loses more.
	Room []Room `json:"room"`
	// Chosen: it is the way that Action names.
	Chosen bool `json:"chosen"`

	from []catalog.Entry // those to restore
}

// From are the backups of the option: the first that passes its proof is restored.
func (o *Option) From() []catalog.Entry { return o.from }

// facts are all that a recovery is decided by.
type facts struct {
	database string
	verdict  integrity.Verdict
	report   integrity.Report // of the check; where the verdict is a memory, of a shallower one
	// candidates are the backups that may be restored, in the order in which they are tried.
	candidates    []catalog.Entry
	damagedPoints int // recovery points that are newer than the candidates, and not sound
	stored        int // backups that hold data, those that failed their proof too
	onMissing     OnMissing
	repair        repairFacts
	askedFull     bool  // damage is asked to be acted on that only a full check sees
	inUse         error // which process has the database open; nil for none
	disks         disks
	elsewhere     []elsewhere // the remotes that were asked
}

// repairFacts are what is known of a repair.
type repairFacts struct {
	hope       bool // the findings allow one
	tried      bool // on a private copy
	result     repair.Result
	failed     error  // why it cannot be, after it was tried
	noRoom     error  // that it could not be tried
	healedFrom string // id of the image of what the last commit left, where that is what result is
	staged     bool   // the repaired copy is next to the database
	// backupLoses counts the rows of the repaired copy, and those that it lost, that the
	// newest backup does not have; nil where that is not known.
	backupLoses *int64
	// unchanged: it is proven that nothing was committed since the newest backup.
	unchanged bool
}

// decide chooses the way out that loses the least.
func decide(f facts) Plan {
	p := Plan{Action: ActionNone, Verdict: f.verdict, Report: f.report, Options: []Option{}, NoRepair: f.repair.failed}
	switch f.verdict {
	case integrity.Healthy, integrity.Violations:
		p.Reason = "the database is usable"
		return p
	case integrity.Missing, integrity.Empty:
		switch {
		case !f.backedUp():
			p.Reason = "there is no database yet, and no backup of one; the application will create it"
			if len(f.elsewhere) > 0 {
				p.Reason += "; " + f.notElsewhere()
			}
			return p
		case f.onMissing == MissingIgnore:
			p.Reason = "there is no database, and backups of one are to be ignored (on-missing ignore); the application will create it"
			return p
		case f.onMissing == MissingFail:
			p.Reason = "the database is missing while backups exist, which is an error here (on-missing fail)"
			p.Err = message.WithHint(fmt.Errorf("%w: %s, while %s", failure.ErrMissing, f.database, f.whatExists()),
				"restore one of them, or start once with on-missing=ignore to begin with a new database")
			return p
		case len(f.candidates) == 0 && len(f.remoteOptions()) == 0:
			p.Reason = fmt.Sprintf("%s, and of %d stored backups none is usable", whyNoRepair(f), f.stored)
			if len(f.elsewhere) > 0 {
				p.Reason += "; " + f.notElsewhere()
			}
			p.Err = f.noneUsable(p.Reason)
			return p
		}
	}
	if p.Options, p.Reason = waysOut(f); len(p.Options) == 0 {
		p.Err = message.WithHint(fmt.Errorf("%w: %w; the damaged file was left as it is", failure.ErrNoUsableBackup,
			&failure.CorruptError{What: "database " + f.database, Report: f.report}),
			"look for copies of the backup directory elsewhere; salvage writes what can still be read of it to a new file; keep the damaged file: it may be the only copy of some rows")
		return p
	}
	if f.repair.failed != nil && f.report.FullOnly() {
		p.Reason = "only a full check sees the damage, the database can be used as it is, and a backup would lose all changes since: " + p.Reason
		if f.askedFull {
			p.Err = message.WithHint(&failure.CorruptError{What: "database " + f.database, Report: f.report}, "put the rows right that the findings name, or restore a backup by hand")
		}
		return p
	}
	if f.inUse != nil {
		p.Action, p.Reason, p.Err = ActionWaiting, f.inUse.Error(), f.inUse
		return p
	}
	short := p.Options[0].short()
	if p.Options[0].Action == ActionRepaired && f.repair.noRoom != nil {
		short = f.repair.noRoom
	}
	if short != nil {
		p.Reason += "; there is no room for it, and what loses more is not done for want of room"
		p.Err = failure.Explain(short)
		return p
	}
	p.Action, p.Options[0].Chosen = p.Options[0].Action, true
	return p
}

// waysOut returns the ways out of a damaged or missing database, the one that loses the
// least first, and why that is so.
func waysOut(f facts) (options []Option, reason string) {
	restore := f.restoreOption(f.candidates)
	if !f.repair.hope || f.repair.failed != nil {
		reason = whyNoRepair(f)
		switch there := f.remoteOptions(); {
		case restore != nil:
		case len(there) > 0:
			return there, reason + "; " + overRemote(there)
		default:
			if len(f.elsewhere) > 0 {
				reason += "; " + f.notElsewhere()
			}
			return []Option{}, reason + "; no backup is usable: the database is left as it is"
		}
		return []Option{*restore}, reason + "; " + f.newest() + " that passes its proof takes the database's place" + f.withDamage()
	}
	repair := Option{Action: ActionRepaired, Loses: "what a trial on a private copy will say", Room: f.repair.room(f.disks)}
	if !f.repair.tried {
		if f.repair.noRoom != nil {
			repair.Loses += "; there was no room for one: " + f.repair.noRoom.Error()
		}
		return inOrder(repair, restore), "a repair of a private copy may make whole what is damaged, and is tried first"
	}
	if f.repair.healedFrom != "" {
		return inOrder(f.healOption(repair), restore), "nothing was committed since " + f.repair.healedFrom + ", which has every page as the last commit left it: those that the disk has otherwise are put back"
	}
	result := f.repair.result
	dropped, lost := result.Dropped, result.RowsLost()
	repair.Proven, repair.LosesTransactions, repair.Loses = true, &dropped, result.Summary()
	if restore != nil {
		restore.countRows(f.repair.backupLoses)
	}
	unknown := result.NotCompared != ""
	if dropped == 0 && !unknown && (lost > 0 || len(result.Unproven) == 0) { // the others may have had rows that nothing lists
		repair.RowsLost = &lost
	}
	if holdsMore(f.candidates, result) {
		dropped, repair.RowsLost = max(dropped, 1), nil
		return []Option{*f.restoreOption(f.candidates[:1]), repair}, f.newest() + " holds transactions that the damaged log no longer proves: it loses less than a repair"
	}
	if better := f.repair.backupHasMore(f.newest(), result); better != "" && restore != nil {
		restore.from = f.candidates[:1] // what older ones lose was not counted
		return []Option{*restore, repair}, better
	}
	gone, differ := result.OnlyInBackup()
	switch {
	case lost > 0 && f.repair.backupLoses != nil && *f.repair.backupLoses < lost:
		restore.from = f.candidates[:1]
		return []Option{*restore, repair}, fmt.Sprintf("the damaged database has lost rows that %s has: it loses %d rows, a repair %d", f.newest(), *f.repair.backupLoses, lost)
	case lost > 0:
		reason = fmt.Sprintf("a repair loses %d rows of which only index entries are left, or that an index says otherwise, and no backup is known to lose fewer", lost)
	case result.LeftOut:
		reason = "the database's file alone is whole, and what is next to it is not its own: the log or journal belongs to another database, or to another time of this one; it is kept"
	case dropped > 0:
		reason = "a repair keeps all transactions that the damaged log still proves, and no backup is known to hold more"
	case gone+differ > 0:
		reason = fmt.Sprintf("a repair of a private copy passed its proof; of %s's rows it lacks %d and has %d otherwise, deleted or changed since, or lost", f.newest(), gone, differ)
		if f.repair.backupLoses != nil {
			reason += fmt.Sprintf(", and %s lacks %d of its rows", f.newest(), *f.repair.backupLoses)
		}
	case unknown:
		reason = "a repair of a private copy passed its proof, and loses no row that an index covers; it could not be compared with " + f.newest() + ": " + result.NotCompared
	case len(result.Unproven) > 0:
		reason, repair.Loses = "a repair of a private copy passed its proof, and loses no row that an index lists", "no row that an index lists: "+repair.Loses
		if f.repair.backupLoses != nil {
			reason += " or " + f.newest() + " has"
		}
		reason += "; what no sound index lists may have had more rows"
	default:
		reason = "a repair of a private copy passed its proof and loses nothing"
		if len(result.Removed)+len(result.Emptied) == 0 && !result.Donated {
			repair.Loses = "nothing: " + repair.Loses
		} else {
			reason = "a repair of a private copy passed its proof and loses no row"
			repair.Loses = "no row: " + repair.Loses
		}
	}
	return inOrder(repair, restore), reason
}

// healOption is the option to put back what the disk changed.
func (f facts) healOption(o Option) Option {
	none := int64(0)
	o.Backup, o.RowsLost, o.LosesTransactions, o.Proven = &f.repair.healedFrom, &none, &none, true
	o.Loses = "nothing: " + f.repair.result.Summary()
	return o
}

// newest is what the first candidate is called.
func (f facts) newest() string {
	if len(f.candidates) > 0 && proof.IsPoint(f.candidates[0]) {
		return "the newest recovery point"
	}
	return "the newest backup"
}

// withDamage says that newer recovery points were passed over.
func (f facts) withDamage() string {
	if f.damagedPoints == 0 {
		return ""
	}
	return fmt.Sprintf("; %d newer recovery points are not sound", f.damagedPoints)
}

// backupHasMore says why the newest candidate is closer to what the database was than its repaired copy, with that result; ""
// where that is not so, as far as is known.
func (f repairFacts) backupHasMore(newest string, result repair.Result) string {
	gone, differ := result.OnlyInBackup()
	switch all := gone + differ + result.RowsLost(); {
	case f.backupLoses == nil:
		return ""
	case f.unchanged && gone+differ > 0: // else the backup may have the same damage
		return fmt.Sprintf("nothing was committed since %s, and a repair has %d of its rows otherwise or not at all", newest, gone+differ)
	case *f.backupLoses == 0 && all > 0:
		return fmt.Sprintf("%s has every row that a repair saves, and %d more", newest, all)
	}
	return ""
}

// sameAsBackup reports whether it is proven that the repaired copy has every row: nothing was committed since the newest backup, and
// it has the same rows.
func (f repairFacts) sameAsBackup() bool {
	gone, differ := f.result.OnlyInBackup()
	return f.unchanged && f.backupLoses != nil && *f.backupLoses+gone+differ == 0
}

// hasAll reports whether the repaired copy has all that can be read of the database.
func (f repairFacts) hasAll() bool {
	return f.tried && f.failed == nil && f.result.Dropped == 0 && f.result.RowsLost() == 0 && f.result.NotCompared == ""
}

// room is what a repair still needs: the copy of the database's files, and where tables were written again a file for that.
func (f repairFacts) room(d disks) []Room {
	switch {
	case f.staged:
		return d.needs(0, 0)
	case f.tried && f.result.Rebuilt:
		return d.needs(d.files, d.files)
	}
	return d.needs(d.files, 0)
}

// inOrder are the ways out, that of a backup last, where there is one.
func inOrder(repair Option, restore *Option) []Option {
	if restore == nil {
		return []Option{repair}
	}
	return []Option{repair, *restore}
}

// countRows notes how many rows the option loses; nil is not known.
func (o *Option) countRows(n *int64) {
	if o.RowsLost = n; n != nil {
		o.Loses += fmt.Sprintf(": %d rows of the database as it is", *n)
	}
}

// whyNoRepair says why the database cannot be made whole from what it holds.
func whyNoRepair(f facts) string {
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
func (f facts) restoreOption(from []catalog.Entry) *Option {
	if len(from) == 0 {
		return nil
	}
	at := from[0].CreatedAt.UTC()
	return &Option{Action: ActionRestored, Backup: &from[0].ID, LosesSince: &at, from: from, Room: f.disks.needs(from[0].DatabaseBytes, 0),
		Loses: fmt.Sprintf("all changes since %s (%s)", at.Format(time.RFC3339), humanize.Time(at))}
}

// holdsMore reports whether the newest backup reaches further into the log than what a
// repair saved, as far as that is known. Of a log without a whole transaction it is not
// known whether a checkpoint had copied it.
func holdsMore(candidates []catalog.Entry, saved repair.Result) bool {
	if saved.Dropped == 0 && saved.LogFrame == 0 || len(candidates) == 0 {
		return false
	}
	at := originOf(candidates[0]).Log
	return at != nil && at.Salts == saved.LogSalts && at.Frame > saved.LogFrame
}
