package snapshot

import (
	"context"
	"errors"
	"fmt"

	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/rowdiff"
	"example.com/snapd/internal/rowlog"
)

// Differences between two states, under this package's name.
type (
	// DiffOptions say what of a comparison is wanted. The zero value counts the rows of all tables.
	DiffOptions = rowdiff.Options
	// DiffResult says which objects of the schema, and which rows, are not the same in two states.
	DiffResult = rowdiff.Result
	// TableChanges are the differences of one table.
	TableChanges = rowdiff.TableChanges
	// TableCounts counts them.
	TableCounts = rowdiff.TableCounts
	// ComparedBy says how the rows of a table were matched.
	ComparedBy = rowdiff.ComparedBy
	// SchemaChange is a table, index, view or trigger that is not the same.
	SchemaChange = rowdiff.SchemaChange
	// ChangeKind says what became of it.
	ChangeKind = rowdiff.ChangeKind
	// RowChange is a row that was inserted, deleted or updated: its Op.
	RowChange = rowdiff.Change
	// RowOp is what happened to a row.
	RowOp = rowdiff.Op
	// RowFields are columns of a row, in the order of its table.
	RowFields = rowdiff.Fields
	// RowField is the value of a column: nil, int64, float64, string or []byte.
	RowField = rowdiff.Field
	// LogQuery chooses recovery points by what they changed. Zero values do not restrict.
	LogQuery = rowlog.Query
	// LogEntry is a recovery point with what it changed.
	LogEntry = rowlog.Entry
)

// The values of those types.
const (
	ComparedByKey, ComparedByRowID, ComparedByRow       = rowdiff.ByKey, rowdiff.ByRowID, rowdiff.ByRow
	ObjectAdded, ObjectRemoved, ObjectChanged           = rowdiff.Added, rowdiff.Removed, rowdiff.Changed
	RowInserted, RowDeleted, RowUpdated           RowOp = rowdiff.Insert, rowdiff.Delete, rowdiff.Update
)

// Diff says in what the state to differs from the state from: rows of each table that were added, removed and changed, and objects of
// the schema. A state is a backup, a recovery point, or [Live]. Nothing is restored and nothing written but scratch files in
// the backup directory; memory is bounded for any number of rows. With Patch, the SQL that makes of the first state
// what the second one is, in one transaction, is written there.
//
// Rows are matched by their primary key; where a table has none by rowid, or as a whole where VACUUM renumbered rowids. Columns that are
// generated are not compared. Errors: [ErrNotFound], also for a table that neither state has, [ErrCorrupt], [ErrRefused] for a
// schema that is out of all proportion, [ErrBusy].
func (m *Manager) Diff(ctx context.Context, from, to string, o DiffOptions) (r DiffResult, err error) {
	if r, err = m.diff(ctx, from, to, o); err != nil {
		return r, explain(fmt.Errorf("diff %s %s: %w", from, to, err))
	}
	r.From, r.To = from, to
	return r, nil
}

func (m *Manager) diff(ctx context.Context, from, to string, o DiffOptions) (r DiffResult, err error) {
	var sides [2]diffSide
	for i, id := range []string{from, to} {
		if sides[i], err = m.diffSide(ctx, id); err != nil {
			return r, err
		}
		defer func() { err = errors.Join(err, sides[i].close()) }()
	}
	d, err := rowdiff.New(ctx, sides[0].Side, sides[1].Side, m.cfg.Dir)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	pages, err := comparePages(ctx, sides)
	if err == nil {
		err = d.Narrow(ctx, pages)
	}
	if err != nil {
		return r, err
	}
	return d.Compare(ctx, o)
}

// diffSide is a state to be compared: a live one, or an image.
type diffSide struct {
	*rowdiff.Side
	live  *rowdiff.Live
	image archive.Image
	close func() error
}

func (m *Manager) diffSide(ctx context.Context, id string) (diffSide, error) {
	if id == Live {
		wait, cancel := context.WithTimeout(ctx, m.cfg.LockWait)
		defer cancel()
		live, err := rowdiff.OpenLive(wait, m.cfg.Database, m.cfg.Dir)
		if err != nil {
			return diffSide{}, err
		}
		return diffSide{Side: &live.Side, live: live, close: live.Close}, nil
	}
	image, err := lookInside(ctx, m, id)
	if err != nil {
		return diffSide{}, err
	}
	conn, err := image.Conn()
	if err != nil {
		return diffSide{}, errors.Join(err, image.close())
	}
	side := &rowdiff.Side{Conn: conn, Bytes: image.Size(), Explain: image.Explain, Keep: image.Keep}
	return diffSide{Side: side, image: image.pages, close: func() error { return errors.Join(conn.Close(), image.close()) }}, nil
}

// comparePages compares the pages of both states; nil where nothing follows from that.
func comparePages(ctx context.Context, sides [2]diffSide) (*rowdiff.Pages, error) {
	from, to := sides[0], sides[1]
	switch {
	case from.image != nil && to.image != nil:
		return rowdiff.ComparePages(ctx, from.image, to.image)
	case from.image != nil:
		return to.live.ComparePages(ctx, from.image, false)
	case to.image != nil:
		return from.live.ComparePages(ctx, to.image, true)
	}
	return nil, nil
}

// Log returns the recovery points, newest first, each with what it changed: what is different in the point before it. next is the
// cursor for the following page, "" when there is none; a page may have fewer points than the limit, or none, and others
// after it, where many were looked at. The oldest point is not listed. Errors: [ErrNotFound] for a cursor whose point is gone, and
// those of [Manager.Diff].
func (m *Manager) Log(ctx context.Context, q LogQuery) (page []LogEntry, next string, err error) {
	set, err := pointsOf(ctx, m)
	if err == nil {
		page, next, err = rowlog.Read(ctx, set, m.cat.OpenArchive, m.cfg.Dir, q)
	}
	if err != nil {
		return nil, "", explain(fmt.Errorf("log: %w", err))
	}
	return page, next, nil
}
