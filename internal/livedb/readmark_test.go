package livedb

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"testing"
	"time"
)

// checkpointed returns a snapshot that began while the log was wholly in the file, and the
// application, which has the database open.
func checkpointed(t *testing.T) (*Tx, *sql.DB) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "data.db")
	app, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { app.Close() })
	if _, err := app.Exec("PRAGMA journal_mode=wal; CREATE TABLE t(a); INSERT INTO t VALUES(1); PRAGMA wal_checkpoint"); err != nil {
		t.Fatal(err)
	}
	s, err := Begin(t.Context(), path, Options{AvoidReadMark0: true}) // too small to wait for
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if mark, ok := s.conn.ReadMark(); mark != 0 || !ok {
		t.Fatalf("read mark %d, %v: nothing is proven", mark, ok)
	}
	return s, app
}

// Else a backup at start-up would keep the log growing, and slow every commit down.
func TestSnapshotAvoidsReadMark0(t *testing.T) {
	s, app := checkpointed(t)
	done := make(chan error, 1)
	go func() { done <- s.avoidReadMark0(t.Context(), time.Hour) }()
	if _, err := app.Exec("INSERT INTO t VALUES(2)"); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if mark, ok := s.conn.ReadMark(); mark <= 0 || !ok {
		t.Errorf("read mark %d, %v", mark, ok)
	}
	if n, err := s.conn.Int(t.Context(), "SELECT count(*) FROM t"); n != 2 || err != nil {
		t.Errorf("%d rows, %v: the later state was to be pinned", n, err)
	}
	// What hinders writers is a log that cannot be copied as far as the snapshot sees.
	var busy, inLog, copied int
	if _, err := app.Exec("INSERT INTO t VALUES(3)"); err != nil {
		t.Fatal(err)
	}
	if err := app.QueryRow("PRAGMA wal_checkpoint").Scan(&busy, &inLog, &copied); err != nil || busy != 0 || copied == 0 || copied >= inLog {
		t.Errorf("busy %d, %d of %d copied, %v", busy, copied, inLog, err)
	}
}

func TestSnapshotKeepsReadMark0WithoutCommits(t *testing.T) {
	s, _ := checkpointed(t)
	if err := s.avoidReadMark0(t.Context(), 5*readMarkPoll); err != nil {
		t.Fatal(err)
	}
	if mark, ok := s.conn.ReadMark(); mark != 0 || !ok {
		t.Errorf("read mark %d, %v", mark, ok)
	}
	if n, err := s.conn.Int(t.Context(), "SELECT count(*) FROM t"); n != 1 || err != nil {
		t.Errorf("%d rows, %v", n, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.avoidReadMark0(ctx, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// The deadline is for locks: a snapshot that is pinned is not given up for a courtesy.
func TestSnapshotKeepsReadMark0WhenTimeIsShort(t *testing.T) {
	s, _ := checkpointed(t)
	ctx, cancel := context.WithTimeout(t.Context(), 100*readMarkPoll)
	defer cancel()
	if err := s.avoidReadMark0(ctx, time.Hour); err != nil {
		t.Fatal(err)
	}
	if n, err := s.conn.Int(t.Context(), "SELECT count(*) FROM t"); n != 1 || err != nil {
		t.Errorf("%d rows, %v", n, err)
	}
}

// The wait is small compared with the backup, and none for what is copied in a moment.
func TestReadMarkWait(t *testing.T) {
	for _, c := range []struct {
		bytes int64
		want  time.Duration
	}{{0, 0}, {32 << 20, 0}, {1 << 30, 50 * time.Millisecond}, {1 << 40, 2 * time.Second}} {
		if got := (Info{PageSize: 512, PageCount: c.bytes / 512}).readMarkWait(); got != c.want {
			t.Errorf("%d bytes: %v, want %v", c.bytes, got, c.want)
		}
	}
}
