package snapshot

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/integrity"
	"example.com/snapd/internal/activity"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/catalogfile"
	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/inspect"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/repair"
	"example.com/snapd/internal/swap"
)

// Names a caller meets again and again, under this package's name.
type (
	Backup   = catalog.Entry
	Report   = integrity.Report
	Policy   = catalog.Policy
	Decision = catalog.Decision

	DrillOutcome = catalog.DrillOutcome
	CheckOutcome = catalog.CheckOutcome
	Changes      = catalog.Changes
	Kind         = catalog.Kind
	Trigger      = catalog.Trigger
	VerifyState  = catalog.VerifyState
	Level        = integrity.Level
	Verdict      = integrity.Verdict

	Verification    = catalog.Verification
	Copy            = catalog.Copy
	CopyState       = catalog.CopyState
	Outcome         = catalog.Outcome
	RestoreOutcome  = catalog.RestoreOutcome
	RecoveryOutcome = catalog.RecoveryOutcome
	Restoring       = catalog.Restoring
	Foreign         = catalog.Foreign
	Timeline        = catalog.Timeline
	Present         = catalog.Present
	Gone            = catalog.Gone
	Cause           = catalog.Cause
	Table           = inspect.Table
	Quarantine      = catalogfile.Quarantine

	Finding      = integrity.Finding
	FindingCode  = integrity.Code
	Severity     = integrity.Severity
	CheckError   = integrity.CheckError
	RepairResult = repair.Result
	RepairImage  = repair.Image
	RepairLoss   = repair.Loss

	Salvaged      = repair.Salvaged
	SalvagedTable = repair.SalvagedTable
)

// The values of those types.
const (
	LevelHeader, LevelProbe, LevelQuick, LevelFull = integrity.LevelHeader, integrity.LevelProbe, integrity.LevelQuick, integrity.LevelFull

	KindAuto, KindManual         = catalog.Auto, catalog.Manual
	Unverified, Verified, Failed = catalog.Unverified, catalog.Verified, catalog.Failed

	TriggerStartup, TriggerSchedule, TriggerChange    = catalog.TriggerStartup, catalog.TriggerSchedule, catalog.TriggerChange
	TriggerShutdown, TriggerManual, TriggerPreRestore = catalog.TriggerShutdown, catalog.TriggerManual, catalog.TriggerPreRestore
	Healthy, Violations, Corrupt, NotADatabase        = integrity.Healthy, integrity.Violations, integrity.Corrupt, integrity.NotADatabase
	Empty, Missing                                    = integrity.Empty, integrity.Missing
)

// Manager protects one database. Its methods are safe for concurrent use, by
// several Managers and several processes on the same backup directory too:
// operations that write take turns.
type Manager struct {
	cfg Config
	cat *catalogfile.Catalog
	ev  events
	act *activity.Journal

	mem *catalogfile.Memory

	// present is cfg with the schedule and the retention of the last Reload, which sends on
	// reloaded for the Run that is at work.
	present  atomic.Pointer[Config]
	reloaded chan struct{}
}

// Open reads the catalog of the backup directory and brings it in line with
// the files there. It finishes or undoes a restore that was cut short;
// otherwise it touches no database, creates nothing and starts no goroutine.
func Open(ctx context.Context, cfg Config) (*Manager, error) {
	if err := cfg.resolve(); err != nil {
		return nil, err
	}
	m := &Manager{cfg: cfg, ev: events{notify: cfg.OnEvent, log: cfg.Logger, now: cfg.Now}, reloaded: make(chan struct{}, 1)}
	m.present.Store(&cfg)
	m.act, m.ev.enter = activity.NewJournal(cfg.Dir), m.recordEvent
	cat, err := catalogfile.Open(cfg.Dir, cfg.base())
	if err != nil {
		return nil, fmt.Errorf("open: %w", explain(err))
	}
	m.cat = cat
	m.act.Away = func() bool { return cat.CheckPlace() != nil }
	m.mem = catalogfile.NewMemory(cat, cfg.LockWait, m.now, func(err error, message string) {
		m.ev.emit(context.Background(), Event{Type: EventWarning, Err: err, Message: message})
	})
	if err := cat.CheckOwner(cfg.Database); err != nil {
		return nil, fmt.Errorf("open: %w", explain(err))
	}
	if err := m.settle(ctx); err != nil {
		return nil, fmt.Errorf("open: %w", explain(err))
	}
	return m, nil
}

// Database returns the resolved path of the database.
func (m *Manager) Database() string { return m.cfg.Database }

// Dir returns the absolute path of the backup directory.
func (m *Manager) Dir() string { return m.cfg.Dir }

// explain maps the errors of the packages below to this package's sentinels.
func explain(err error) error {
	if err == nil || errors.Is(err, ErrBusy) {
		return err
	}
	var check *integrity.CheckError
	busy := errors.Is(err, catalogfile.ErrBusy) || errors.Is(err, livedb.ErrBusy) ||
		errors.As(err, &check) && check.Code == integrity.ErrCodeBusy
	switch {
	case busy:
		return &sentinelError{ErrBusy, err}
	case errors.Is(err, livedb.ErrNotRegular), errors.Is(err, catalogfile.ErrUnsafe), errors.Is(err, catalogfile.ErrOtherDatabase), errors.Is(err, durable.ErrNotRegular),
		errors.Is(err, inspect.ErrTooMuch), errors.Is(err, swap.ErrUnsafe):
		err = &sentinelError{ErrRefused, err}
		if Hint(err) == "" {
			err = hint(err, "move away what the message names: only regular files of the database and of this program belong there")
		}
		return err
	case errors.Is(err, ErrNotFound) && Hint(err) == "":
		return hint(err, "list shows the backups that there are")
	case errors.Is(err, ErrCorrupt), errors.Is(err, ErrMissing):
		return err
	case errors.Is(err, livedb.ErrMissing):
		return &sentinelError{ErrMissing, err}
	case errors.Is(err, archive.ErrDamaged), errors.Is(err, archive.ErrTruncated), errors.Is(err, archive.ErrNotArchive),
		errors.Is(err, livedb.ErrCorrupt), errors.Is(err, livedb.ErrNotDatabase), errors.Is(err, inspect.ErrDamaged):
		return &sentinelError{ErrCorrupt, err}
	case errors.Is(err, ErrDirectory):
		return err
	case errors.Is(err, catalogfile.ErrNoDirectory), errors.Is(err, catalogfile.ErrOtherDirectory):
		return &sentinelError{ErrDirectory, err}
	case durable.IsNoSpace(err):
		advice := "free some space on that disk"
		if where := durable.WhereFull(err); where != "" {
			advice = "free some space on the disk of " + where
		}
		return hint(&sentinelError{ErrNoSpace, err}, advice+"; if that is the backup directory's, --dir chooses another one")
	}
	return err
}

// sentinelError is err, recognised as sentinel, with err's own words.
type sentinelError struct{ sentinel, err error }

func (e *sentinelError) Error() string   { return e.err.Error() }
func (e *sentinelError) Unwrap() []error { return []error{e.sentinel, e.err} }

func (m *Manager) now() time.Time { return m.cfg.Now().UTC() }
