package livedb

import (
	"errors"
	"path/filepath"
	"testing"

	"example.com/snapd/internal/testdb"
)

// The owner of a journal comes back and commits while we copy: half old, half new is no image.
func TestPrivateCopyIsOneState(t *testing.T) {
	db, sum := testdb.HotJournal(t)
	times := 0
	copied = func() {
		if times++; times == 1 {
			run(t, db, "UPDATE accounts SET balance=balance+1")
		}
	}
	defer func() { copied = func() {} }()
	x, err := Begin(t.Context(), db, Options{ScratchDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	rows, err := x.conn.Int(t.Context(), "SELECT count(*) FROM accounts")
	if err != nil {
		t.Fatal(err)
	}
	got, err := x.conn.Int(t.Context(), "SELECT sum(balance) FROM accounts")
	if err != nil || got != sum+rows || times != 1 {
		t.Errorf("sum %d, %v after %d copies, want %d: the state after the commit", got, err, times, sum+rows)
	}
	if x.Choice().Strategy != InPlaceReadOnly {
		t.Errorf("%v: with the journal gone the database can be read in place", x.Choice())
	}
}

func TestHotJournalIsReadOfACopy(t *testing.T) {
	db, sum := testdb.HotJournal(t)
	x, err := Begin(t.Context(), db, Options{ScratchDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	if got, err := x.conn.Int(t.Context(), "SELECT sum(balance) FROM accounts"); got != sum || err != nil {
		t.Errorf("sum %d, %v, want %d", got, err, sum)
	}
	if _, err := Begin(t.Context(), db, Options{InPlace: true}); !errors.Is(err, ErrCopyOnly) {
		t.Errorf("in place only: %v", err)
	}
	if c := x.Choice(); c.Strategy != PrivateCopy || c.Reason == "" {
		t.Errorf("read by %v", c)
	}
}

// The last user of a log closes it after we looked: SQLite then makes a log and its index
// for our reading, and they would stay, perhaps as files that their owner cannot open.
func TestNothingStaysOfALogThatWasClosed(t *testing.T) {
	for _, strategy := range []Strategy{InPlaceReadOnly, InPlace} {
		db := filepath.Join(t.TempDir(), "x.db")
		stop := startPython(t, db, `c.execute("PRAGMA journal_mode=wal"); c.execute("CREATE TABLE t(x)"); ready(); import time; time.sleep(60)`)
		files, err := Look(db)
		if err != nil || files.WAL.Size == 0 || !files.Index {
			t.Fatalf("%+v %v", files, err)
		}
		stop()
		run(t, db, "PRAGMA wal_checkpoint(TRUNCATE)")
		if left, err := Sidecars(db); err != nil || len(left) > 0 {
			t.Fatalf("the shell left %v, %v", left, err)
		}
		x, err := files.Open(t.Context(), Choice{Strategy: strategy})
		if err != nil {
			t.Fatal(err)
		}
		if n, err := x.conn.Int(t.Context(), "SELECT count(*) FROM t"); n != 0 || err != nil {
			t.Errorf("%d %v", n, err)
		}
		if err := x.Close(); err != nil {
			t.Error(err)
		}
		if left, err := Sidecars(db); err != nil || len(left) > 0 {
			t.Errorf("%v left %v", strategy, left)
		}
	}
}

// The table of Files.Strategies.
func TestStrategies(t *testing.T) {
	const large = 65 << 20
	none := situation{writable: true}
	journal := situation{journal: true, writable: true}
	inUse := situation{log: true, frames: true, index: true, complete: true, writable: true}
	dead := situation{log: true, frames: true, index: true, complete: true, idle: true, writable: true}
	noIndex := situation{log: true, frames: true, writable: true}
	noLog := situation{log: true, writable: true}
	check, rules := Needs{Untouched: true, MaxCopy: 64 << 20}, Needs{Untouched: true, Constraints: true, MaxCopy: 64 << 20}
	for _, c := range []struct {
		name  string
		s     situation
		bytes int64
		n     Needs
		want  []Strategy
	}{
		{"snapshot", none, 0, Needs{}, []Strategy{InPlaceReadOnly, PrivateCopy}},
		{"snapshot, journal", journal, 0, Needs{}, []Strategy{InPlaceReadOnly, PrivateCopy}},
		{"snapshot, log in use", inUse, 0, Needs{}, []Strategy{InPlaceReadOnly, PrivateCopy}},
		{"snapshot, log without -shm", noIndex, 0, Needs{}, []Strategy{InPlaceReadOnly, PrivateCopy}},
		{"snapshot, no right to write", situation{log: true}, 0, Needs{}, []Strategy{PrivateCopy}},
		{"snapshot, no right to write, log in use", situation{log: true, complete: true}, 0, Needs{}, []Strategy{InPlaceReadOnly, PrivateCopy}},
		{"snapshot, no right to write, no log", situation{}, 0, Needs{}, []Strategy{InPlaceReadOnly, PrivateCopy}},
		{"check", none, 0, check, []Strategy{InPlaceReadOnly, PrivateCopy}},
		{"check, journal", journal, large, check, []Strategy{InPlaceReadOnly, PrivateCopy}},
		{"check, log in use", inUse, 0, check, []Strategy{InPlaceReadOnly, PrivateCopy}},
		{"check, dead owner", dead, 0, check, []Strategy{PrivateCopy}},
		{"check, dead owner, large", dead, large, check, []Strategy{InPlaceReadOnly, PrivateCopy}},
		{"check, log without -shm", noIndex, large, check, []Strategy{PrivateCopy}},
		{"check, no log", noLog, large, check, []Strategy{Immutable}},
		{"constraints", none, 0, rules, []Strategy{InPlace, PrivateCopy}},
		{"constraints, large", none, large, rules, []Strategy{InPlace, InPlaceReadOnly}},
		{"constraints, journal", journal, 0, rules, []Strategy{InPlace, PrivateCopy}},
		{"constraints, log in use", inUse, large, rules, []Strategy{InPlace, InPlaceReadOnly, PrivateCopy}},
		{"constraints, no log", noLog, 0, rules, []Strategy{PrivateCopy}},
		{"constraints, no log, large", noLog, large, rules, []Strategy{Immutable}},
	} {
		c.s.bytes = c.bytes
		got := c.s.strategies(c.n)
		same := len(got) == len(c.want)
		for i := range min(len(got), len(c.want)) {
			same = same && got[i].Strategy == c.want[i] && got[i].Reason != ""
		}
		if !same {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// Lost: a database that is read although another process wrote.
func TestRecheckSeesAWrite(t *testing.T) {
	db := filepath.Join(t.TempDir(), "data.db")
	run(t, db, "CREATE TABLE t(a)")
	f, err := Look(db)
	if err != nil {
		t.Fatal(err)
	}
	run(t, db, "INSERT INTO t VALUES(1)")
	if err := f.Recheck(); !errors.Is(err, ErrMoving) {
		t.Error(err)
	}
}
