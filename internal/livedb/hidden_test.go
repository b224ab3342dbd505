package livedb

import (
	"database/sql"
	"os"
	"path/filepath"
	"testing"
	"time"

	"example.com/snapd/internal/sqlitefile"
)

// hide makes a commit in a WAL database that neither sizes, times, inodes nor the log's header show: it overwrites
// frames of the generation before, and the times are set back, as cp -p and rsync --times do.
func hide(t *testing.T, path string) (before func() Fingerprint, commit func()) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { db.Close() })
	exec := func(q string) {
		if _, err := db.Exec(q); err != nil {
			t.Fatal(err)
		}
	}
	exec("PRAGMA journal_mode=wal; CREATE TABLE t(a)")
	for range 5 {
		exec("INSERT INTO t VALUES(1)")
	}
	exec("PRAGMA wal_checkpoint(RESTART)")
	exec("INSERT INTO t VALUES(2)")
	before = func() Fingerprint {
		f, err := TakeFingerprint(path)
		if err != nil {
			t.Fatal(err)
		}
		f.TakenAt = f.TakenAt.Add(racyWindow + time.Second) // as if it had been taken later
		return f
	}
	return before, func() {
		log := sqlitefile.WAL(path)
		fi, err := os.Stat(log)
		if err != nil {
			t.Fatal(err)
		}
		exec("INSERT INTO t VALUES(3)")
		if err := os.Chtimes(log, fi.ModTime(), fi.ModTime()); err != nil {
			t.Fatal(err)
		}
		if now, err := os.Stat(log); err != nil || now.Size() != fi.Size() || !now.ModTime().Equal(fi.ModTime()) {
			t.Fatal("the commit does not hide:", now, err)
		}
	}
}

func TestFingerprintSeesACommitWhoseTimesWereSetBack(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "data.db")
	look, commit := hide(t, path)
	w, err := Watch(path)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	w.Poll()
	before := look()
	if !before.Unchanged(look()) || !before.Same(look()) || w.Poll() {
		t.Fatal("untouched, but not unchanged")
	}
	commit()
	if now := look(); before.Unchanged(now) || before.Same(now) {
		t.Errorf("the commit went unseen: %+v", now)
	}
	if !w.Poll() {
		t.Error("a poll does not see it")
	}
}

// An index that is made again, or is not there, is no commit; it is no proof that there was none either.
func TestFingerprintWithoutTheIndex(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "data.db")
	look, _ := hide(t, path)
	with := look()
	if err := os.Remove(sqlitefile.SHM(path)); err != nil {
		t.Fatal(err)
	}
	without := look()
	if !with.Same(without) || !without.Same(with) {
		t.Error("no index passes for a commit")
	}
	if with.Unchanged(without) || without.Unchanged(with) {
		t.Error("no index passes for a proof")
	}
	if !without.Unchanged(look()) {
		t.Error("untouched, but not unchanged")
	}
}
