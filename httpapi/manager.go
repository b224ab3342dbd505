package httpapi

import (
	"context"

	"example.com/snapd/snapshot"
)

// manager is what the handlers need of a [snapshot.Manager], so that tests can
// let one of its methods fail or wait.
type manager interface {
	Database() string
	Dir() string
	Backups() ([]snapshot.Backup, error)
	Page(snapshot.BackupsQuery) (snapshot.BackupsPage, error)
	Find(id string) (snapshot.Backup, error)
	ArchivePath(snapshot.Backup) string
	Stats() (snapshot.Stats, error)
	Status(context.Context) (snapshot.Status, error)
	State() (snapshot.State, error)
	History(days int) ([]snapshot.Day, error)
	Activity(cursor string, limit int) (page []snapshot.Activity, next string, err error)
	Operation(id string) (snapshot.OperationRecord, error)
	Operations(kinds []snapshot.Operation, limit int) ([]snapshot.OperationRecord, error)
	Revision() (string, error)
	Points(ctx context.Context, q snapshot.PointsQuery) (page []snapshot.Point, next string, err error)
	Tables(ctx context.Context, id string) ([]snapshot.Table, error)
	Query(ctx context.Context, id, query string, o snapshot.QueryOptions) (snapshot.QueryResult, error)
	Rows(ctx context.Context, id, table string, offset int64, o snapshot.QueryOptions) (snapshot.QueryResult, error)
	Diff(ctx context.Context, from, to string, o snapshot.DiffOptions) (snapshot.DiffResult, error)
	Log(ctx context.Context, q snapshot.LogQuery) (page []snapshot.LogEntry, next string, err error)
	PlanRestore(ctx context.Context, id string) (snapshot.RestorePlan, error)
	PlanRows(ctx context.Context, id string, o snapshot.RowsOptions) (snapshot.RowsPlan, error)
	PlanHolds(snapshot.RestorePlan) error
	Replaced() (snapshot.Replaced, error)
	Quarantines() ([]snapshot.Quarantine, error)
	AcknowledgeRecovery(context.Context) ([]snapshot.Recovered, error)

	Subscribe(func(snapshot.Event)) (cancel func())
	Record(snapshot.Activity)

	Backup(context.Context, snapshot.Request) (snapshot.Backup, error)
	Verify(ctx context.Context, id string, level snapshot.Level) (snapshot.Backup, error)
	Drill(ctx context.Context, id string) (snapshot.DrillOutcome, error)
	Check(context.Context, snapshot.Level) (snapshot.Report, error)
	SyncRemote(ctx context.Context, name string) (snapshot.RemoteStatus, error)
	Restore(ctx context.Context, id string, o snapshot.RestoreOptions) (snapshot.RestoreResult, error)
	RestoreRows(ctx context.Context, id string, o snapshot.RestoreRowsOptions) (snapshot.RestoredRows, error)
	AcceptBreak(context.Context) (*snapshot.Break, error)
	Delete(ctx context.Context, ids []string, force bool) error
	SetNote(ctx context.Context, id, note string) (snapshot.Backup, error)
	SetPinned(ctx context.Context, id string, pinned bool) (snapshot.Backup, error)
	PlanPrune(policy *snapshot.Policy) ([]snapshot.Decision, error)
}

var _ manager = (*snapshot.Manager)(nil)
