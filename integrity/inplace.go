package integrity

import (
	"context"
	"errors"

	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/sqlite"
	"example.com/snapd/internal/sqlitefile"
)

// maxCopy is the largest database with its log, in bytes, that is copied only so that an
// index which is no longer in use is not written to, or so that a quick check evaluates
// CHECK constraints. A full check copies larger ones for those.
const maxCopy = 64 << 20

// needs are what the strategies of a check have to give.
func (l *liveCheck) needs(constraints bool) livedb.Needs {
	n := livedb.Needs{Untouched: true, Constraints: constraints, MaxCopy: maxCopy}
	if constraints && l.o.Level == LevelFull {
		n.MaxCopy = 1<<63 - 1
	}
	return n
}

// viaSQLite runs the levels above header on the database that v saw, by the first
// strategy that SQLite does not refuse. With constraints the caller holds a transaction of
// ours where there can be one, so that SQLite cannot roll a journal back in place.
func (l *liveCheck) viaSQLite(ctx context.Context, v livedb.Files, t *results, constraints bool) (failed *Level, err error) {
	for _, choice := range v.Strategies(l.needs(constraints)) {
		if choice.Strategy == livedb.PrivateCopy {
			failed, err = l.onCopy(ctx, v, t)
		} else {
			failed, err = l.inPlace(ctx, v, choice, t, constraints)
		}
		if !livedb.Refused(err) {
			return failed, err
		}
	}
	return nil, err
}

// inPlace checks by choice, and adds to t only when the check could be made.
func (l *liveCheck) inPlace(ctx context.Context, v livedb.Files, choice livedb.Choice, t *results, constraints bool) (_ *Level, err error) {
	tx, err := v.Open(ctx, choice)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, tx.Close()) }()
	s := &sqlCheck{conn: tx.Conn(), found: &results{}}
	if !constraints {
		has, err := s.hasConstraints(ctx)
		if err != nil {
			return nil, err
		}
		if has && l.o.Level >= LevelQuick {
			return l.viaSQLite(ctx, v, t, true)
		}
	} else if choice.Strategy != livedb.InPlace {
		s.found.add(CodeUncheckedRules, "CHECK constraints were not evaluated: %s", choice.Reason)
	}
	failed, err := l.sweep(ctx, tx, s)
	if choice.Strategy == livedb.Immutable {
		if moved := v.Recheck(); moved != nil {
			return nil, moved
		}
	}
	if err != nil {
		return nil, err
	}
	t.merge(*s.found)
	return failed, nil
}

// sweep runs the levels on the file itself. From quick on they read all of it, tree by
// tree: cold, that is one page at a time from all over the file.
func (l *liveCheck) sweep(ctx context.Context, tx *livedb.Tx, s *sqlCheck) (*Level, error) {
	if l.o.Level >= LevelQuick {
		defer tx.Prefetch(ctx)()
	}
	return s.run(ctx, l.o.Level)
}

// hasConstraints reports whether the schema may have CHECK constraints. Damage found
// on the way is left to the levels.
func (s *sqlCheck) hasConstraints(ctx context.Context) (bool, error) {
	tables, err := s.tables(ctx, "check")
	switch sqlite.Classify(err) {
	case sqlite.ClassCorrupt, sqlite.ClassNotADB:
		return false, nil
	}
	if err != nil && sqlite.IsInexpressible(err) {
		return false, nil
	}
	return len(tables) > 0, err
}

// withJournal checks a database whose journal may belong to a transaction. Either that
// is under way: then the shared lock says so, or waits. Or it was cut
// off: then SQLite will undo it, and what it will have then is checked on a copy.
func (l *liveCheck) withJournal(ctx context.Context, v livedb.Files) (_ *results, _ *Level, err error) {
	t := &results{}
	if v.Main.Size == 0 {
		t.verdict = Empty
		return t, nil, nil
	}
	if v.Main.Size < sqlitefile.MinPageSize {
		// SQLite takes it for a database without pages, and deletes its log.
		failed, err := l.onCopy(ctx, v, t)
		return t, failed, err
	}
	tx, err := v.Open(ctx, livedb.Choice{Strategy: livedb.InPlaceReadOnly, Reason: "SQLite says whether the journal is hot"})
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, tx.Close()) }()
	s := &sqlCheck{conn: tx.Conn(), found: &results{}}
	_, err = s.conn.Int(ctx, "PRAGMA schema_version") // without parsing the schema
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
		if err := v.Recheck(); err != nil {
			return nil, nil, err
		}
		if raw.damaged() {
			return raw, failedHeader(raw), nil
		}
	}
	if l.o.Level == LevelHeader {
		return raw, nil, nil
	}
	failed, err := l.viaSQLite(ctx, v, raw, false)
	return raw, failed, err
}
