package integrity

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"

	"example.com/snapd/internal/lineage"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/sqlite"
	"example.com/snapd/internal/sqlitefile"
)

// doubt is a log that does not go on from the file next to it.
type doubt struct {
	alone, with header // of the file, and of page 1 in the log
	why         string
}

// doubtLog looks whether the log goes on from the file, by the first page 1 that was written to it, as long as no checkpoint has brought one
// of the log's into the file. Its change counter is the file's or the next one, as a connection writes the one after that
// which it has read, each time. Its schema cookie is not lower; and where it is the same, so is the schema. What is
// otherwise is no proof by itself: other programs write logs, too.
func (f *files) doubtLog(t *results, main, image *header, log *sqlitefile.Log) error {
	if log.Page1 == 0 || log.Unproven != 0 || log.Untracked || !main.HasMagic() || main.PageSize() != log.PageSize || f.size < int64(log.PageSize) {
		return nil
	}
	page, own, first := make([]byte, log.PageSize), make([]byte, log.PageSize), []byte(nil)
	if err := readAt(f.main, own, 0); err != nil {
		return fmt.Errorf("read page 1: %w", err)
	}
	for i, n := range log.Committed {
		if n != 1 {
			continue
		}
		if err := readAt(f.wal, page, log.PageAt(int64(i)+1)); err != nil {
			return fmt.Errorf("read page 1 in wal: %w", err)
		}
		if bytes.Equal(page, own) {
			return nil
		}
		if first == nil {
			first = bytes.Clone(page)
		}
	}
	if why := breaksOff(own, first); why != "" {
		t.doubt = &doubt{alone: *main, with: *image, why: why}
	}
	return nil
}

// breaksOff says why a page 1 cannot have been written next, "" where it can.
func breaksOff(was, next []byte) string {
	a, b := sqlitefile.HeaderOf(was), sqlitefile.HeaderOf(next)
	switch newer := int32(b.SchemaCookie() - a.SchemaCookie()); {
	case b.ChangeCounter()-a.ChangeCounter() > 1:
		return fmt.Sprintf("it begins with change %d of a database, and the file is at change %d", b.ChangeCounter(), a.ChangeCounter())
	case newer < 0:
		return fmt.Sprintf("it begins with version %d of a schema, and the file has version %d", b.SchemaCookie(), a.SchemaCookie())
	case newer == 0 && !bytes.Equal(was[sqlitefile.HeaderSize:a.Usable()], next[sqlitefile.HeaderSize:a.Usable()]):
		return fmt.Sprintf("its version %d of the schema is not the file's", a.SchemaCookie())
	}
	return ""
}

// judgeDoubt compares the database with the log and without it. The log is another one's where the file alone is whole, and is
// another database with the log, or a newer state of it: none that the log could go on from.
func (l *liveCheck) judgeDoubt(ctx context.Context, before livedb.Files, t *results) (failed *Level, err error) {
	scratch, err := before.Copy(ctx, l.o.ScratchDir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, scratch.Close()) }()
	if err := livedb.RemoveSidecars(scratch.Name()); err != nil {
		return nil, err
	}
	report, err := CheckCopy(ctx, scratch.Name(), Options{Level: LevelFull, ScratchDir: l.o.ScratchDir})
	if err != nil || report.Verdict != Healthy && report.Verdict != Violations {
		return nil, err
	}
	alone, err := factsOf(ctx, scratch.Name(), &t.doubt.alone)
	if err != nil {
		return nil, err
	}
	if err := livedb.RemoveSidecars(scratch.Name()); err != nil {
		return nil, err
	}
	if err := livedb.CopyTo(ctx, l.path, livedb.Sizes{WAL: before.WAL.Size}, scratch.File); err != nil {
		return nil, err
	}
	with, err := factsOf(ctx, scratch.Name(), &t.doubt.with)
	if err = cmp.Or(before.Recheck(), err); err != nil {
		return nil, err
	}
	if cause := judgeLog(alone, with, l.o.Known); cause != "" {
		t.add(CodeWALForeign, "the log does not belong to the file: %s; by it the database would be %s, and the file alone is whole", t.doubt.why, cause.Verb())
		return at(LevelQuick), nil
	}
	return nil, nil
}

// judgeLog says what the log makes of the database, "" where that may be the database's own doing.
func judgeLog(alone, with, known lineage.Facts) lineage.Cause {
	if known.UsedBytes > 0 && !otherwise(known, with).Loss() && otherwise(known, alone).Loss() {
		return ""
	}
	cause := otherwise(alone, with)
	if older := int32(with.Counter-alone.Counter) < 0; older || cause.Loss() {
		return cause
	}
	return ""
}

// otherwise judges as if now were another file than then.
func otherwise(then, now lineage.Facts) lineage.Cause {
	then.File, now.File = 1, 2
	cause, _ := lineage.Judge(then, now)
	return cause
}

// factsOf are those of a file of our own, with its log where there is one.
func factsOf(ctx context.Context, path string, h *header) (f lineage.Facts, err error) {
	conn, err := begin(ctx, path, sqlite.Options{Untrusted: true})
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	pages, err := conn.Int(ctx, "PRAGMA page_count")
	if err == nil {
		f, err = livedb.LineageOf(ctx, conn, &h.Header, pages)
	}
	return f, err
}
