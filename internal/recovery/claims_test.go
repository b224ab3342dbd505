package recovery

import (
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/integrity"
	"example.com/snapd/internal/catalogfile"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/repair"
	"example.com/snapd/internal/sqlite"
	"example.com/snapd/internal/sqlitefile"
)

// Lost: rows, to a plan that says that none are, or that some are where nothing is known of them.
func TestPlanClaims(t *testing.T) {
	t.Parallel()
	lost := func(n int64) []repair.Loss { return []repair.Loss{{Table: "t", Gone: n}} }
	count := func(n int64) *int64 { return &n }
	for name, c := range map[string]struct {
		result      repair.Result
		backupLoses *int64
		action      Action
		rows        *int64 // that a repair loses
		dropped     int64
		reason      string
	}{
		"nothing":                     {repair.Result{}, nil, ActionRepaired, count(0), 0, "loses nothing"},
		"a log that lost some":        {repair.Result{Dropped: 2}, nil, ActionRepaired, nil, 2, "still proves"},
		"and rows":                    {repair.Result{Dropped: 2, Lost: lost(3)}, nil, ActionRepaired, nil, 2, "loses 3 rows"},
		"rows":                        {repair.Result{Lost: lost(3)}, nil, ActionRepaired, count(3), 0, "loses 3 rows"},
		"rows of a table without one": {repair.Result{Lost: lost(3), Unproven: []string{"u"}}, nil, ActionRepaired, count(3), 0, "loses 3 rows"},
		"a table without an index":    {repair.Result{Unproven: []string{"u"}}, nil, ActionRepaired, nil, 0, "that an index lists; what"},
		"that the backup has":         {repair.Result{Unproven: []string{"u"}}, count(4), ActionRepaired, nil, 0, "that an index lists or the newest backup has; what"},
		"not compared":                {repair.Result{NotCompared: "it takes long"}, nil, ActionRepaired, nil, 0, "it takes long"},
		"the backup loses fewer":      {repair.Result{Lost: lost(3)}, count(2), ActionRestored, count(3), 0, "it loses 2 rows, a repair 3"},
		"the backup loses as many":    {repair.Result{Lost: lost(3)}, count(3), ActionRepaired, count(3), 0, "loses 3 rows"},
		"each has its own":            {repair.Result{BackupOnly: lost(3)}, count(2), ActionRepaired, count(0), 0, "and the newest backup lacks 2 of its rows"},
		"what the backup lacks":       {repair.Result{BackupOnly: lost(3)}, nil, ActionRepaired, count(0), 0, "it lacks 3"},
	} {
		p := decide(facts{verdict: integrity.Corrupt, report: integrity.Report{Verdict: integrity.Corrupt}, candidates: []catalog.Entry{backupAt("new", 0)}, stored: 1,
			repair: repairFacts{hope: true, tried: true, result: c.result, backupLoses: c.backupLoses}})
		i := slices.IndexFunc(p.Options, func(o Option) bool { return o.Action == ActionRepaired })
		o := p.Options[i]
		if p.Action != c.action || !strings.Contains(p.Reason, c.reason) || *o.LosesTransactions != c.dropped {
			t.Errorf("%s: %s, %q, %d transactions", name, p.Action, p.Reason, *o.LosesTransactions)
		}
		if (o.RowsLost == nil) != (c.rows == nil) || c.rows != nil && *o.RowsLost != *c.rows {
			t.Errorf("%s: %v rows lost, want %v", name, o.RowsLost, c.rows)
		}
		if lossless := p.Action == ActionRepaired && o.RowsLost != nil && *o.RowsLost == 0 && c.result.BackupOnly == nil; strings.HasPrefix(o.Loses, "nothing") != lossless {
			t.Errorf("%s: loses %q", name, o.Loses)
		}
	}
	p := decide(facts{verdict: integrity.Corrupt, candidates: []catalog.Entry{backupAt("new", 0)}, stored: 1, damagedPoints: 2})
	if !strings.Contains(p.Reason, "2 newer recovery points are not sound") {
		t.Error(p.Reason)
	}
}

// Lost: what salvage would bring out, not offered next to a repair that has not all; or the proof that a backup gives.
func TestWhatARepairHas(t *testing.T) {
	t.Parallel()
	none, one := int64(0), int64(1)
	some := []repair.Loss{{Table: "t", Gone: 1}}
	same := repairFacts{unchanged: true, backupLoses: &none}
	all := repairFacts{tried: true}
	for name, c := range map[string]struct {
		change    func(f *repairFacts)
		same, all bool
	}{
		"as it is":          {func(*repairFacts) {}, true, true},
		"changed since":     {func(f *repairFacts) { f.unchanged = false }, false, true},
		"never compared":    {func(f *repairFacts) { f.backupLoses = nil }, false, true},
		"the backup lacks":  {func(f *repairFacts) { f.backupLoses = &one }, false, true},
		"only the backup":   {func(f *repairFacts) { f.result.BackupOnly = some }, false, true},
		"not tried":         {func(f *repairFacts) { f.tried = false }, true, false},
		"failed":            {func(f *repairFacts) { f.failed = errors.New("no") }, true, false},
		"transactions lost": {func(f *repairFacts) { f.result.Dropped = 1 }, true, false},
		"rows lost":         {func(f *repairFacts) { f.result.Lost = some }, true, false},
		"not comparable":    {func(f *repairFacts) { f.result.NotCompared = "no" }, true, false},
	} {
		f, g := same, all
		c.change(&f)
		c.change(&g)
		if f.sameAsBackup() != c.same || g.hasAll() != c.all {
			t.Errorf("%s: %v, %v", name, f.sameAsBackup(), g.hasAll())
		}
	}
}

// stopped is a database in WAL mode as a killed application leaves it, with two commits in its log; or in DELETE mode.
func stopped(t *testing.T, mode string) (path string) {
	t.Helper()
	dir := t.TempDir()
	db, err := sql.Open("sqlite", filepath.Join(dir, "app.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if _, err := db.Exec("PRAGMA journal_mode=" + mode + "; PRAGMA wal_autocheckpoint=0; CREATE TABLE t(x); INSERT INTO t VALUES(1)"); err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(dir, "data.db")
	for _, suffix := range []string{"", sqlitefile.WALSuffix} {
		b, err := os.ReadFile(filepath.Join(dir, "app.db"+suffix))
		if suffix != "" && errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err == nil {
			err = os.WriteFile(path+suffix, b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// taken is a verified backup of the database, with its position in the log; the times of its files prove nothing yet.
func taken(t *testing.T, path string, change func(*catalogfile.Origin)) catalog.Entry {
	t.Helper()
	now, err := livedb.TakeFingerprint(path)
	if err != nil {
		t.Fatal(err)
	}
	o := catalogfile.Origin{Fingerprint: now}
	if f, err := os.Open(sqlitefile.WAL(path)); err == nil {
		defer f.Close()
		log, err := sqlitefile.ReadLog(t.Context(), sqlitefile.LogFile{R: f, Size: now.WAL.Size}, 0)
		if err != nil || log.CommitFrame < 2 {
			t.Fatalf("%+v, %v", log, err)
		}
		salts := log.Header.Salts()
		o.Log = &sqlite.LogPosition{Salts: hex.EncodeToString(salts[:]), Frame: log.CommitFrame}
	}
	if change != nil {
		change(&o)
	}
	source, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return catalog.Entry{ID: "b", File: "b.db.zst", Source: source, Verification: catalog.Verification{State: catalog.Verified}}
}

// Lost: commits, to an image that is taken for what the last one left: every piece of evidence is needed.
func TestIsLast(t *testing.T) {
	t.Parallel()
	appended := func(b []byte) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			t.Helper()
			f, err := os.OpenFile(sqlitefile.WAL(path), os.O_WRONLY|os.O_APPEND, 0)
			if err == nil {
				_, err = f.Write(b)
				err = errors.Join(err, f.Close())
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	// frame is one of the generation so many before the log's; generation 0 is the log's own, without a valid checksum.
	frame := func(page uint32, ago uint32) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			t.Helper()
			log, err := os.ReadFile(sqlitefile.WAL(path))
			if err != nil {
				t.Fatal(err)
			}
			b := make([]byte, sqlitefile.FrameHeaderSize+4096)
			binary.BigEndian.PutUint32(b, page)
			binary.BigEndian.PutUint32(b[8:], binary.BigEndian.Uint32(log[16:])-ago)
			appended(b)(t, path)
		}
	}
	for name, c := range map[string]struct {
		origin func(*catalogfile.Origin)
		entry  func(*catalog.Entry)
		since  func(t *testing.T, path string)
		last   bool
	}{
		"as it was":                {last: true},
		"the times prove it":       {origin: func(o *catalogfile.Origin) { o.Log, o.TakenAt = nil, o.TakenAt.Add(time.Hour) }, last: true},
		"nothing proves it":        {origin: func(o *catalogfile.Origin) { o.Log = nil }},
		"another log":              {origin: func(o *catalogfile.Origin) { o.Log.Salts = "0011223344556677" }},
		"a commit since":           {origin: func(o *catalogfile.Origin) { o.Log.Frame-- }},
		"another file":             {origin: func(o *catalogfile.Origin) { o.Main.ID.Ino++ }},
		"a backup that failed":     {entry: func(e *catalog.Entry) { e.Verification.State = catalog.Failed }},
		"of another directory":     {entry: func(e *catalog.Entry) { e.Adopted = true }},
		"a journal":                {since: func(t *testing.T, path string) { writeTo(t, path+sqlitefile.JournalSuffix) }},
		"the log is gone":          {since: func(t *testing.T, path string) { remove(t, sqlitefile.WAL(path)) }},
		"the database is gone":     {since: func(t *testing.T, path string) { remove(t, path) }},
		"a part of a frame":        {since: appended(make([]byte, 100))},
		"zeros":                    {since: appended(make([]byte, sqlitefile.FrameHeaderSize+4096))},
		"an older generation":      {since: frame(2, 1), last: true},
		"far older":                {since: frame(2, generations)},
		"a frame that was damaged": {since: frame(2, 0)},
		"a page that none has":     {since: frame(0, 1)},
	} {
		path := stopped(t, "wal")
		e := taken(t, path, c.origin)
		if c.entry != nil {
			c.entry(&e)
		}
		if c.since != nil {
			c.since(t, path)
		}
		if last, err := isLast(t.Context(), path, e); err != nil || last != c.last {
			t.Errorf("%s: %v, %v", name, last, err)
		}
	}
}

// Lost: commits since the backup, to what proves less than that there were none.
func TestUnchangedSince(t *testing.T) {
	t.Parallel()
	old := func(o *catalogfile.Origin) { o.TakenAt = o.TakenAt.Add(time.Hour) }
	other := func(o *catalogfile.Origin) { o.Main.MTime-- }
	log := stopped(t, "wal")
	at := originOf(taken(t, log, nil)).Log
	as := repair.Result{LogSalts: at.Salts, LogFrame: at.Frame}
	for name, c := range map[string]struct {
		path      string
		origin    func(*catalogfile.Origin)
		saved     func(*repair.Result)
		unchanged bool
	}{
		"times that prove it":       {origin: old, unchanged: true},
		"times that are fresh":      {},
		"and the header":            {saved: func(r *repair.Result) { r.SameHeader = true }, unchanged: true},
		"the header alone":          {origin: other, saved: func(r *repair.Result) { r.SameHeader = true }},
		"all pages of tables":       {origin: other, saved: func(r *repair.Result) { r.SameHeader, r.AsDonor = true, true }, unchanged: true},
		"the log":                   {path: log, unchanged: true},
		"with something dropped":    {path: log, saved: func(r *repair.Result) { r.Dropped = 1 }},
		"to another frame":          {path: log, saved: func(r *repair.Result) { r.LogFrame-- }},
		"another log that was kept": {path: log, saved: func(r *repair.Result) { r.LogSalts = "" }},
	} {
		saved := as
		if c.path == "" {
			c.path, saved = stopped(t, "delete"), repair.Result{}
		}
		if c.saved != nil {
			c.saved(&saved)
		}
		got, err := unchangedSince(t.Context(), c.path, []catalog.Entry{taken(t, c.path, c.origin)}, saved)
		if err != nil || got != c.unchanged {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	if got, err := unchangedSince(t.Context(), log, nil, as); got || err != nil {
		t.Errorf("without a backup: %v, %v", got, err)
	}
}

func writeTo(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}
