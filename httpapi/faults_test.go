package httpapi

import (
	"context"
	"slices"
	"sync"

	"example.com/snapd/catalog"
	"example.com/snapd/integrity"
	"example.com/snapd/snapshot"
)

// faults stands before a Manager: what is set for a method is called first, and its
// error is the method's. It may wait, for the method's context where that has one.
type faults struct {
	manager

	mu   sync.Mutex
	set  map[string]func(context.Context) error
	ears []func(snapshot.Event) // of the handler
}

// on sets what happens before the method; nil lifts it.
func (f *faults) on(method string, fn func(context.Context) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.set == nil {
		f.set = make(map[string]func(context.Context) error)
	}
	f.set[method] = fn
}

// fails has the method fail with err until its fault is lifted.
func (f *faults) fails(method string, err error) {
	f.on(method, func(context.Context) error { return err })
}

// holds has the method wait for its context's end, or for the returned function.
func (f *faults) holds(method string) (entered <-chan struct{}, release func()) {
	in, out := make(chan struct{}, 100), make(chan struct{})
	f.on(method, func(ctx context.Context) error {
		in <- struct{}{}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-out:
			return nil
		}
	})
	return in, sync.OnceFunc(func() { f.on(method, nil); close(out) })
}

func (f *faults) hit(ctx context.Context, method string) error {
	f.mu.Lock()
	fn := f.set[method]
	f.mu.Unlock()
	if fn == nil {
		return nil
	}
	return fn(ctx)
}

// says has the handler hear an event.
func (f *faults) says(ev snapshot.Event) {
	f.mu.Lock()
	ears := slices.Clone(f.ears)
	f.mu.Unlock()
	for _, ear := range ears {
		ear(ev)
	}
}

func (f *faults) Subscribe(fn func(snapshot.Event)) func() {
	f.mu.Lock()
	f.ears = append(f.ears, fn)
	f.mu.Unlock()
	return f.manager.Subscribe(fn)
}

// before calls method unless its fault is an error.
func before[T any](f *faults, ctx context.Context, name string, method func() (T, error)) (T, error) {
	if err := f.hit(ctx, name); err != nil {
		var zero T
		return zero, err
	}
	return method()
}

var background = context.Background()

func (f *faults) Backups() ([]snapshot.Backup, error) {
	return before(f, background, "Backups", f.manager.Backups)
}

func (f *faults) Page(q snapshot.BackupsQuery) (snapshot.BackupsPage, error) {
	return before(f, background, "Page", func() (snapshot.BackupsPage, error) { return f.manager.Page(q) })
}

func (f *faults) Find(id string) (snapshot.Backup, error) {
	return before(f, background, "Find", func() (snapshot.Backup, error) { return f.manager.Find(id) })
}

func (f *faults) Stats() (snapshot.Stats, error) {
	return before(f, background, "Stats", f.manager.Stats)
}

func (f *faults) Status(ctx context.Context) (snapshot.Status, error) {
	return before(f, ctx, "Status", func() (snapshot.Status, error) { return f.manager.Status(ctx) })
}

func (f *faults) State() (snapshot.State, error) {
	return before(f, background, "State", f.manager.State)
}

func (f *faults) History(days int) ([]snapshot.Day, error) {
	return before(f, background, "History", func() ([]snapshot.Day, error) { return f.manager.History(days) })
}

func (f *faults) Activity(cursor string, limit int) ([]snapshot.Activity, string, error) {
	if err := f.hit(background, "Activity"); err != nil {
		return nil, "", err
	}
	return f.manager.Activity(cursor, limit)
}

func (f *faults) Revision() (string, error) {
	return before(f, background, "Revision", f.manager.Revision)
}

func (f *faults) Points(ctx context.Context, q snapshot.PointsQuery) ([]snapshot.Point, string, error) {
	if err := f.hit(ctx, "Points"); err != nil {
		return nil, "", err
	}
	return f.manager.Points(ctx, q)
}

func (f *faults) Log(ctx context.Context, q snapshot.LogQuery) ([]snapshot.LogEntry, string, error) {
	if err := f.hit(ctx, "Log"); err != nil {
		return nil, "", err
	}
	return f.manager.Log(ctx, q)
}

func (f *faults) Tables(ctx context.Context, id string) ([]snapshot.Table, error) {
	return before(f, ctx, "Tables", func() ([]snapshot.Table, error) { return f.manager.Tables(ctx, id) })
}

func (f *faults) Rows(ctx context.Context, id, table string, offset int64, o snapshot.QueryOptions) (snapshot.QueryResult, error) {
	return before(f, ctx, "Rows", func() (snapshot.QueryResult, error) { return f.manager.Rows(ctx, id, table, offset, o) })
}

func (f *faults) Diff(ctx context.Context, from, to string, o snapshot.DiffOptions) (snapshot.DiffResult, error) {
	return before(f, ctx, "Diff", func() (snapshot.DiffResult, error) { return f.manager.Diff(ctx, from, to, o) })
}

func (f *faults) Query(ctx context.Context, id, query string, o snapshot.QueryOptions) (snapshot.QueryResult, error) {
	return before(f, ctx, "Query", func() (snapshot.QueryResult, error) { return f.manager.Query(ctx, id, query, o) })
}

func (f *faults) PlanRestore(ctx context.Context, id string) (snapshot.RestorePlan, error) {
	return before(f, ctx, "PlanRestore", func() (snapshot.RestorePlan, error) { return f.manager.PlanRestore(ctx, id) })
}

func (f *faults) Replaced() (snapshot.Replaced, error) {
	return before(f, background, "Replaced", f.manager.Replaced)
}

func (f *faults) AcknowledgeRecovery(ctx context.Context) ([]snapshot.Recovered, error) {
	return before(f, ctx, "AcknowledgeRecovery", func() ([]snapshot.Recovered, error) { return f.manager.AcknowledgeRecovery(ctx) })
}

func (f *faults) PlanHolds(p snapshot.RestorePlan) error {
	if err := f.hit(background, "PlanHolds"); err != nil {
		return err
	}
	return f.manager.PlanHolds(p)
}

func (f *faults) Backup(ctx context.Context, req snapshot.Request) (snapshot.Backup, error) {
	return before(f, ctx, "Backup", func() (snapshot.Backup, error) { return f.manager.Backup(ctx, req) })
}

func (f *faults) Verify(ctx context.Context, id string, level integrity.Level) (snapshot.Backup, error) {
	return before(f, ctx, "Verify", func() (snapshot.Backup, error) { return f.manager.Verify(ctx, id, level) })
}

func (f *faults) Drill(ctx context.Context, id string) (catalog.DrillOutcome, error) {
	return before(f, ctx, "Drill", func() (catalog.DrillOutcome, error) { return f.manager.Drill(ctx, id) })
}

func (f *faults) Check(ctx context.Context, level integrity.Level) (snapshot.Report, error) {
	return before(f, ctx, "Check", func() (snapshot.Report, error) { return f.manager.Check(ctx, level) })
}

func (f *faults) SyncRemote(ctx context.Context, name string) (snapshot.RemoteStatus, error) {
	return before(f, ctx, "SyncRemote", func() (snapshot.RemoteStatus, error) { return f.manager.SyncRemote(ctx, name) })
}

func (f *faults) PlanRows(ctx context.Context, id string, o snapshot.RowsOptions) (snapshot.RowsPlan, error) {
	return before(f, ctx, "PlanRows", func() (snapshot.RowsPlan, error) { return f.manager.PlanRows(ctx, id, o) })
}

func (f *faults) Restore(ctx context.Context, id string, o snapshot.RestoreOptions) (snapshot.RestoreResult, error) {
	if err := f.hit(ctx, "Restore"); err != nil {
		return snapshot.RestoreResult{}, err
	}
	return f.manager.Restore(ctx, id, o)
}

func (f *faults) Quarantines() ([]snapshot.Quarantine, error) {
	if err := f.hit(context.Background(), "Quarantines"); err != nil {
		return nil, err
	}
	return f.manager.Quarantines()
}

func (f *faults) Delete(ctx context.Context, ids []string, force bool) error {
	if err := f.hit(ctx, "Delete"); err != nil {
		return err
	}
	return f.manager.Delete(ctx, ids, force)
}

func (f *faults) SetNote(ctx context.Context, id, note string) (snapshot.Backup, error) {
	return before(f, ctx, "SetNote", func() (snapshot.Backup, error) { return f.manager.SetNote(ctx, id, note) })
}

func (f *faults) SetPinned(ctx context.Context, id string, pinned bool) (snapshot.Backup, error) {
	return before(f, ctx, "SetPinned", func() (snapshot.Backup, error) { return f.manager.SetPinned(ctx, id, pinned) })
}

func (f *faults) PlanPrune(p *snapshot.Policy) ([]snapshot.Decision, error) {
	return before(f, context.Background(), "PlanPrune", func() ([]snapshot.Decision, error) { return f.manager.PlanPrune(p) })
}

// faulty makes an API whose Manager can be made to fail.
func faulty(a **faults) func(manager) manager {
	return func(m manager) manager {
		*a = &faults{manager: m}
		return *a
	}
}

func (f *faults) AcceptBreak(ctx context.Context) (*snapshot.Break, error) {
	return before(f, ctx, "AcceptBreak", func() (*snapshot.Break, error) { return f.manager.AcceptBreak(ctx) })
}
