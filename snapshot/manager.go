package snapshot

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/integrity"
	"example.com/snapd/internal/activity"
	"example.com/snapd/internal/catalogfile"
	"example.com/snapd/internal/inspect"
	"example.com/snapd/internal/points"
	"example.com/snapd/internal/remote"
	"example.com/snapd/internal/repair"
)

// Types of packages catalog and integrity that a caller meets again and again, under this package's name.
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
	Anchor          = catalog.Anchor
	SegmentProofs   = catalog.SegmentProofs
	DamagedSegment  = catalog.DamagedSegment
	PointTier       = catalog.PointTier
	PointTiers      = catalog.PointTiers
	CapturesStopped = catalog.CapturesStopped

	Finding     = integrity.Finding
	FindingCode = integrity.Code
	RowCount    = integrity.RowCount
	Severity    = integrity.Severity
	CheckError  = integrity.CheckError
)

// What this package's operations return, next to those.
type (
	// Table is a table, view or virtual table inside a backup: its Name, Type, number of Columns and of Rows.
	Table = inspect.Table
	// Quarantine is a damaged database that was kept, with its sidecars and its report; its files' names begin with Name.
	Quarantine = catalogfile.Quarantine
	// RepairResult says what a repair did, and which rows it lost, if any.
	RepairResult = repair.Result
	// RepairImage is a database that is read without SQLite, such as that of a backup.
	RepairImage = repair.Image
	// RepairLoss counts the rows of a Table that a repaired database does not have as they were.
	RepairLoss = repair.Loss
	// Salvaged counts what could be read of a damaged database, for each of its Tables.
	Salvaged = repair.Salvaged
	// SalvagedTable counts the Rows of one table, and what of it is known to be gone.
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

	captures      points.Cache // of what Points has read
	damagedPoints reported     // of the change logs

	// present is cfg with the schedule and the retention of the last Reload, which sends on
	// reloaded for the Run that is at work.
	present  atomic.Pointer[Config]
	reloaded chan struct{}

	capturing atomic.Pointer[capturing]    // of the Run that is at work, else nil
	early     atomic.Pointer[early]        // before the Run
	notifying atomic.Pointer[notifying]    // of the Run that is at work, where it has receivers
	sending   atomic.Pointer[remote.Group] // of the Run that is at work
	copies    remote.Copies
}

// Open reads the catalog of the backup directory and brings it in line with
// the files there. It finishes or undoes a restore that was cut short;
// otherwise it touches no database, creates nothing and starts no goroutine.
func Open(ctx context.Context, cfg Config) (*Manager, error) {
	if err := cfg.resolve(); err != nil {
		return nil, err
	}
	m := &Manager{cfg: cfg, ev: events{notify: cfg.OnEvent, log: cfg.Logger, now: cfg.Now}, reloaded: make(chan struct{}, 1), copies: remote.Copies{Dir: cfg.Dir}}
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
	if err := afterCrash(ctx, m); err != nil {
		return nil, fmt.Errorf("open: %w", explain(err))
	}
	return m, nil
}

// Database returns the resolved path of the database.
func (m *Manager) Database() string { return m.cfg.Database }

// Dir returns the absolute path of the backup directory.
func (m *Manager) Dir() string { return m.cfg.Dir }

func (m *Manager) now() time.Time { return m.cfg.Now().UTC() }
