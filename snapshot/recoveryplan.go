package snapshot

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/dustin/go-humanize"

	"example.com/snapd/catalog"
	"example.com/snapd/integrity"
	"example.com/snapd/internal/durable"
)

// RecoveryPlan says what Recover would do now, and why.
type RecoveryPlan struct {
	Action  Action            `json:"action"` // none, repaired, restored, or waiting
	Verdict integrity.Verdict `json:"verdict"`
	Reason  string            `json:"reason"` // one sentence
	// Options are the ways out of a damaged or missing database, the one that would be
	// taken first; never nil. Action none with damage and without options: nothing helps.
	Options []RecoveryOption `json:"options"`
	Report  Report           `json:"-"`
	// Err is the error that Recover would end with, nil where it would do what Action
	// says: matches ErrNoUsableBackup, ErrMissing, ErrBusy.
	Err error `json:"-"`
}

// RecoveryOption is one way to a usable database, and its price.
type RecoveryOption struct {
	Action Action  `json:"action"` // repaired or restored
	Backup *string `json:"backup"` // id; null for a repair
	Loses  string  `json:"loses"`  // one sentence
	// LosesSince is the time of the backup: later changes are lost. Null for a repair.
	LosesSince *time.Time `json:"loses_since"`
	// LosesTransactions counts transactions that the damaged log no longer proves, at
	// least; null where that is not known.
	LosesTransactions *int64 `json:"loses_transactions"`
	// Proven: the way was tried on a private copy and passed its proof. Else that
	// comes when it is taken, and the next one is tried when it fails.
	Proven bool `json:"proven"`
}

// PlanRecovery checks the database as [Manager.Recover] would, tries a repair on a
// private copy in the system's temporary directory where one offers itself, and
// says what Recover would do. It changes nothing. Errors: *integrity.CheckError
// where the check or the trial could not be made.
func (m *Manager) PlanRecovery(ctx context.Context) (RecoveryPlan, error) {
	report, err := m.look(ctx, integrity.LevelQuick, m.cfg.LockWait)
	if err != nil {
		return RecoveryPlan{}, explain(fmt.Errorf("plan recovery: %w", err))
	}
	usable, err := m.candidates()
	if err != nil {
		return RecoveryPlan{}, explain(fmt.Errorf("plan recovery: %w", err))
	}
	var options []RecoveryOption
	why := ""
	if report.Mendable() {
		mended, err := m.tryMending(ctx, report)
		switch {
		case errors.Is(err, integrity.ErrNotMendable):
			why = err.Error() + "; "
		case err != nil:
			return RecoveryPlan{}, explain(fmt.Errorf("plan recovery: %w", err))
		default:
			if b, ok := newerThan(&mended, usable); ok {
				options = append(options, offer(b))
			}
			options = append(options, proposal(mended))
		}
	}
	p := m.plan(report.Verdict, options, usable)
	p.Reason, p.Report = why+p.Reason, report
	return p, nil
}

// tryMending mends a copy and throws it away.
func (m *Manager) tryMending(ctx context.Context, report Report) (_ integrity.Mending, err error) {
	f, err := durable.Scratch("", "mend")
	if err != nil {
		return integrity.Mending{}, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return m.mend(ctx, f, report, "")
}

// proposal is the option of a repair that was tried.
func proposal(mended integrity.Mending) RecoveryOption {
	o := RecoveryOption{Action: ActionRepaired, Loses: mended.Summary(), LosesTransactions: &mended.Dropped, Proven: true}
	if mended.Dropped == 0 {
		o.Loses = "nothing: " + o.Loses
	}
	return o
}

// offer is the option to restore b.
func offer(b Backup) RecoveryOption {
	at := b.CreatedAt.UTC()
	return RecoveryOption{Action: ActionRestored, Backup: &b.ID, LosesSince: &at,
		Loses: fmt.Sprintf("all changes since %s (%s)", at.Format(time.RFC3339), humanize.Time(at))}
}

// plan settles on an action. options has what else there is than the newest usable
// backup, best first.
func (m *Manager) plan(verdict integrity.Verdict, options []RecoveryOption, usable []Backup) RecoveryPlan {
	p := RecoveryPlan{Action: ActionNone, Verdict: verdict, Options: []RecoveryOption{}}
	switch verdict {
	case integrity.Healthy, integrity.Violations:
		p.Reason = "the database is usable"
		return p
	case integrity.Missing, integrity.Empty:
		switch {
		case len(usable) == 0 || m.cfg.OnMissing == MissingIgnore:
			p.Reason = "there is no database yet; the application will create it"
			return p
		case m.cfg.OnMissing == MissingFail:
			p.Reason = "the database is missing while backups exist, which is an error here (on-missing fail)"
			p.Err = fmt.Errorf("recover: %w: %s, while %d backups exist", ErrMissing, m.cfg.Database, len(usable))
			return p
		}
	}
	p.Options = append(p.Options, options...)
	if len(usable) > 0 && !slices.ContainsFunc(options, func(o RecoveryOption) bool { return o.Action == ActionRestored }) {
		p.Options = append(p.Options, offer(usable[0]))
	}
	if len(p.Options) == 0 {
		p.Reason = "the database is " + string(verdict) + " and no backup is usable: it would be left as it is"
		p.Err = fmt.Errorf("recover: %w: %s", ErrNoUsableBackup, p.Reason)
		return p
	}
	p.Action = p.Options[0].Action
	switch {
	case p.Action == ActionRepaired:
		p.Reason = "the database can be made whole from what it holds itself"
	case len(p.Options) > 1:
		p.Reason = "the newest backup holds transactions that the damaged log no longer proves"
	default:
		p.Reason = "the newest backup that passes its proof would take the database's place"
	}
	if err := explain(m.target(context.Background()).Unused()); err != nil {
		p.Action, p.Reason, p.Err = ActionWaiting, err.Error(), fmt.Errorf("recover: %w", err)
	}
	return p
}

// recoveryFor is the plan that Status shows for a damaged or missing database: what
// Recover would try first by what the last check found, without trying it. nil where
// nothing is wrong.
func (m *Manager) recoveryFor(verdict *integrity.Verdict, probe Report, state catalog.State) *RecoveryPlan {
	if verdict == nil || *verdict == integrity.Healthy || *verdict == integrity.Violations {
		return nil
	}
	usable, err := m.candidates()
	if err != nil {
		return nil // Status fails for the same reason
	}
	var options []RecoveryOption
	switch {
	case probe.Mendable():
		options = []RecoveryOption{{Action: ActionRepaired, Loses: "what lies beyond the damage in the log, if there is any"}}
	case !probe.Damaged() && state.LastCheck != nil && state.LastCheck.Mendable && *verdict == integrity.Corrupt:
		options = []RecoveryOption{{Action: ActionRepaired, Loses: "nothing, if the repair passes its proof"}}
	}
	p := m.plan(*verdict, options, usable)
	return &p
}
