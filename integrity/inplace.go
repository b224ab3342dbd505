package integrity

import (
	"context"
	"errors"

	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/sqlite"
)

// maxCopyForRules is the largest database, in bytes, that a quick check copies
// only to have its CHECK constraints evaluated.
const maxCopyForRules = 64 << 20

// maxCopyForIndex is the largest database with its log, in bytes, that is copied only
// so that an index which nobody uses any more is not written to.
const maxCopyForIndex = 64 << 20

// viaSQLite runs the levels above header by the way that leaves nothing behind:
// in place where that creates no file, else on a private copy.
func (l *liveCheck) viaSQLite(ctx context.Context, v view, t *results) (*Level, error) {
	switch {
	case v.shm && v.main.size+v.wal.size <= maxCopyForIndex && indexIdle(l.path):
		return l.onCopy(ctx, v, t) // its owner died; SQLite would write the index anew
	case v.shm:
		// A log in use: SQLite has all its files.
		for _, o := range []sqlite.Options{{}, {ReadOnly: true}} {
			failed, err := l.inPlace(ctx, t, o)
			if !errors.Is(err, errReadOnly) && sqlite.Classify(err) != sqlite.ClassPermission {
				return failed, err
			}
		}
		return l.onCopy(ctx, v, t)
	case v.wal.size > 0:
		return l.onCopy(ctx, v, t) // SQLite would build the log's index beside it
	case v.usesWAL():
		return l.immutable(ctx, v, t)
	}
	return l.rollbackMode(ctx, v, t)
}

// open opens the database and its read transaction; the lock comes with the first read.
func (l *liveCheck) open(ctx context.Context, o sqlite.Options) (*sqlite.Conn, error) {
	o.Untrusted, o.BusyTimeout = true, poll
	return begin(ctx, l.path, o)
}

func begin(ctx context.Context, path string, o sqlite.Options) (*sqlite.Conn, error) {
	conn, err := sqlite.Open(path, o)
	if err != nil {
		return nil, err
	}
	if err := conn.Exec(ctx, "PRAGMA query_only=1; BEGIN"); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// inPlace adds to t only when the check could be made.
func (l *liveCheck) inPlace(ctx context.Context, t *results, o sqlite.Options) (_ *Level, err error) {
	conn, err := l.open(ctx, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	s := &sqlCheck{conn: conn, found: &results{}}
	if only, err := conn.ReadOnly(); err != nil || only && !o.ReadOnly {
		return nil, errors.Join(err, errReadOnly)
	}
	failed, err := l.sweep(ctx, s)
	if err != nil {
		return nil, err
	}
	if o.ReadOnly && s.cost.rules && l.o.Level >= LevelQuick {
		s.found.add(CodeUncheckedRules, "CHECK constraints were not evaluated: the database is in use, and its file may not be written")
	}
	t.merge(*s.found)
	return failed, nil
}

// sweep runs the levels on the file itself. From quick on they read all of it, tree by
// tree: cold, that is one page at a time from all over the file.
func (l *liveCheck) sweep(ctx context.Context, s *sqlCheck) (*Level, error) {
	if l.o.Level >= LevelQuick {
		defer livedb.Prefetch(ctx, l.path)()
	}
	return s.run(ctx, l.o.Level)
}

// immutable checks a database that would use a log and has none: nobody is
// connected, and the main file is all there is. That nobody came is proven afterwards.
func (l *liveCheck) immutable(ctx context.Context, v view, t *results) (_ *Level, err error) {
	conn, err := l.open(ctx, sqlite.Options{Immutable: true})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	s := &sqlCheck{conn: conn, found: &results{}}
	rules, err := s.hasRules(ctx)
	if err != nil {
		return nil, err
	}
	if rules && l.o.Level >= LevelQuick {
		if l.o.Level == LevelFull || v.main.size <= maxCopyForRules {
			return l.onCopy(ctx, v, t)
		}
		s.found.add(CodeUncheckedRules, "CHECK constraints were not evaluated: the database is large and not in use; a full check evaluates them on a copy")
	}
	failed, err := l.sweep(ctx, s)
	if merr := l.unchanged(v); merr != nil {
		return nil, merr
	}
	if err != nil {
		return nil, err
	}
	t.merge(*s.found)
	return failed, nil
}

// rollbackMode checks a database that has no log, under SQLite's shared lock. The
// connection is read-only, so that it cannot roll a hot journal back. Where the
// schema has CHECK constraints a second one evaluates them, which cannot
// roll back either as long as the first one holds its lock.
func (l *liveCheck) rollbackMode(ctx context.Context, v view, t *results) (_ *Level, err error) {
	conn, err := l.open(ctx, sqlite.Options{ReadOnly: true})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	s := &sqlCheck{conn: conn, found: &results{}}
	rules, err := s.hasRules(ctx)
	if sqlite.Classify(err) == sqlite.ClassHotJournal {
		return nil, errMoving // it was not there when we looked
	}
	if err != nil {
		return nil, err
	}
	if !rules || l.o.Level < LevelQuick {
		failed, err := l.sweep(ctx, s)
		if err == nil {
			t.merge(*s.found)
		}
		return failed, err
	}
	failed, err := l.inPlace(ctx, t, sqlite.Options{})
	if errors.Is(err, errReadOnly) {
		return l.withoutRights(ctx, v, t, s)
	}
	return failed, err
}

// errReadOnly says that a connection that was to evaluate CHECK constraints may not
// write to the file: SQLite then leaves them out without a word.
var errReadOnly = errors.New("the file may not be written")

// withoutRights has the CHECK constraints of a file that may not be written
// evaluated on a copy, or says that they were not. s reads the file.
func (l *liveCheck) withoutRights(ctx context.Context, v view, t *results, s *sqlCheck) (*Level, error) {
	if l.o.Level == LevelFull || v.main.size <= maxCopyForRules {
		return l.onCopy(ctx, v, t)
	}
	s.found.add(CodeUncheckedRules, "CHECK constraints were not evaluated: the database is large, and its file may not be written; a full check evaluates them on a copy")
	failed, err := l.sweep(ctx, s)
	if err == nil {
		t.merge(*s.found)
	}
	return failed, err
}

// hasRules reports whether the schema may have CHECK constraints. Damage found
// on the way is left to the levels.
func (s *sqlCheck) hasRules(ctx context.Context) (_ bool, err error) {
	var tables []string
	if s.code, err = codingOf(ctx, s.conn); err == nil {
		tables, err = s.tables(ctx, "check")
	}
	switch sqlite.Classify(err) {
	case sqlite.ClassCorrupt, sqlite.ClassNotADB:
		return false, nil
	}
	if err != nil && inexpressible(err) {
		return false, nil
	}
	return len(tables) > 0, err
}

// withJournal checks a database beside which a journal is in use. Either its
// transaction is under way: then the shared lock says so, or waits. Or it was cut
// off: then SQLite will undo it, and what it will have then is checked on a copy.
func (l *liveCheck) withJournal(ctx context.Context, v view) (_ *results, _ *Level, err error) {
	t := &results{}
	if v.main.size == 0 {
		t.verdict = Empty
		return t, nil, nil
	}
	if v.main.size < minPage {
		// SQLite takes it for a database without pages, and deletes its log.
		failed, err := l.onCopy(ctx, v, t)
		return t, failed, err
	}
	conn, err := l.open(ctx, sqlite.Options{ReadOnly: true})
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	s := &sqlCheck{conn: conn, found: &results{}}
	_, err = conn.Int(ctx, "SELECT count(*) FROM sqlite_schema")
	if sqlite.Classify(err) == sqlite.ClassHotJournal {
		failed, err := l.onCopy(ctx, v, t)
		return t, failed, err
	}
	if err = s.judge(err); err != nil {
		return nil, nil, err
	}
	raw, err := l.raw(ctx, v)
	if err != nil {
		return nil, nil, err
	}
	if s.found.damaged() || raw.damaged() {
		if err := l.unchanged(v); err != nil {
			return nil, nil, err
		}
		if raw.damaged() {
			return raw, failedHeader(raw), nil
		}
	}
	if l.o.Level == LevelHeader {
		return raw, nil, nil
	}
	failed, err := l.rollbackMode(ctx, v, raw)
	return raw, failed, err
}
