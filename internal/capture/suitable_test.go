package capture

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/sqlitefile"
	"example.com/snapd/internal/testdb"
)

// What a proof shows to be wrong is found by the next look, and captured.
func TestDistrust(t *testing.T) {
	for _, mode := range []string{"wal", "delete"} {
		t.Run(mode, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "data.db")
			a := testdb.StartChurn(t, path, 1, "PRAGMA journal_mode="+mode+"; "+testdb.ChurnSchema)
			a.Exec(0, "INSERT INTO t(a, b) VALUES(1, randomblob(50000))")
			s := newScene(t, path)
			a.Exec(0, "INSERT INTO t(a) VALUES(2)")
			s.capture()
			d := s.chain.digests[5]
			d[0] ^= 1
			s.chain.set(6, d)
			s.chain.Distrust()
			if out := s.capture(); out.Way != Compared || out.Changed != 1 || (out.Locked > 0) != (mode == "delete") {
				t.Errorf("%+v", out)
			}
			s.chain.Distrust()
			if out := s.capture(); out.Way != Nothing {
				t.Errorf("%+v", out)
			}
			s.close()
		})
	}
}

// A transaction that is older than what was captured since is nothing gone back in time.
func TestOlderTransaction(t *testing.T) {
	for _, commits := range []string{"INSERT INTO t(a) VALUES(2)", "PRAGMA wal_checkpoint; INSERT INTO t(a) VALUES(2); INSERT INTO t(a) VALUES(3)", ""} {
		path := filepath.Join(t.TempDir(), "data.db")
		a := testdb.StartChurn(t, path, 1, "PRAGMA journal_mode=wal; "+testdb.ChurnSchema)
		s := newScene(t, path)
		a.Exec(0, "INSERT INTO t(a) VALUES(1)")
		files := must(livedb.TakeFingerprint(path))
		tx, err := livedb.Begin(t.Context(), path, livedb.Options{})
		if err != nil {
			t.Fatal(err)
		}
		a.Exec(0, commits)
		s.capture()
		before, _ := s.chain.State()
		s.chain.SetGate(func(d Doubt, reason string) error {
			if d != NoDoubt {
				t.Errorf("%q: %s", commits, reason)
			}
			return nil
		})
		out, err := s.chain.Within(t.Context(), tx, files, time.Now)
		if commits == "" && (err != nil || out.Way != Nothing) || commits != "" && !errors.Is(err, ErrPast) {
			t.Errorf("%q: %+v, %v", commits, out, err)
		}
		if now, _ := s.chain.State(); now != before {
			t.Errorf("%q: capture %d, and %d", commits, before, now)
		}
		if err := tx.Close(); err != nil {
			t.Fatal(err)
		}
		s.capture()
		s.close()
	}
}

// What cannot be captured says so, and appends nothing.
func TestWhatCannotBeCaptured(t *testing.T) {
	begin := func(t *testing.T, pragmas string) (*scene, *testdb.Churn) {
		path := filepath.Join(t.TempDir(), "data.db")
		a := testdb.StartChurn(t, path, 1, "PRAGMA journal_mode=wal; "+testdb.ChurnSchema)
		s := newScene(t, path)
		a.Stop()
		a = testdb.StartChurn(t, path, 1, pragmas)
		a.Exec(0, "INSERT INTO t(a) VALUES(1)")
		return s, a
	}
	// attempt looks, and waits for a lock as long as a busy machine needs to meet it.
	attempt := func(t *testing.T, s *scene) (out Outcome, err error) {
		for wait := 100 * time.Millisecond; wait < time.Minute; wait *= 2 {
			ctx, cancel := context.WithTimeout(t.Context(), wait)
			out, err = s.chain.Capture(ctx, time.Now)
			cancel()
			if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, livedb.ErrBusy) {
				break
			}
		}
		return out, err
	}
	refused := func(t *testing.T, s *scene, want error) {
		t.Helper()
		if out, err := attempt(t, s); !errors.Is(err, want) || out.Way != "" || s.chain.seq != 0 {
			t.Errorf("%+v, %v", out, err)
		}
	}
	t.Run("exclusive from the beginning", func(t *testing.T) {
		s, a := begin(t, "PRAGMA locking_mode=EXCLUSIVE")
		refused(t, s, ErrExclusive)
		refused(t, s, livedb.ErrBusy)
		a.Stop()
		s.capture()
		s.close()
	})
	t.Run("exclusive later", func(t *testing.T) {
		s, a := begin(t, "SELECT 1")
		a.Exec(0, "PRAGMA locking_mode=EXCLUSIVE; INSERT INTO t(a) VALUES(2)")
		refused(t, s, ErrExclusive)
		a.Exec(0, "INSERT INTO t(a) VALUES(3)")
		a.Exec(0, "PRAGMA locking_mode=NORMAL; INSERT INTO t(a) VALUES(4)")
		s.capture()
		s.close()
	})
	t.Run("locked in a rollback-journal mode", func(t *testing.T) {
		s, a := begin(t, "PRAGMA journal_mode=delete; BEGIN EXCLUSIVE")
		if _, err := attempt(t, s); !errors.Is(err, livedb.ErrBusy) || errors.Is(err, ErrExclusive) {
			t.Error(err)
		}
		a.Exec(0, "COMMIT")
		s.capture()
		s.close()
	})
	for kind, want := range map[livedb.FileSystem]error{livedb.Network: ErrNetwork, livedb.UserSpace: ErrNetwork} {
		t.Run(fmt.Sprint("file system ", kind), func(t *testing.T) {
			s, _ := begin(t, "SELECT 1")
			fileSystemOf = func(string) (livedb.FileSystem, error) { return kind, nil }
			defer func() { fileSystemOf = livedb.FileSystemOf }()
			refused(t, s, want)
			fileSystemOf = livedb.FileSystemOf
			s.capture()
			s.close()
		})
	}
	t.Run("another file format", func(t *testing.T) {
		s, a := begin(t, "SELECT 1")
		a.Stop()
		testdb.Overwrite(t, s.path, 18, []byte{3, 3})
		refused(t, s, ErrForeignLog)
		s.close()
	})
	t.Run("another log format", func(t *testing.T) {
		s, a := begin(t, "SELECT 1")
		testdb.Damaged(t, s.path)
		f, err := os.OpenFile(sqlitefile.WAL(s.path), os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		var h sqlitefile.WALHeader
		_, err = f.ReadAt(h[:], 0)
		binary.BigEndian.PutUint32(h[4:], 4000000)
		chained := h.Sum()
		sum := chained.Bytes()
		copy(h[24:], sum[:])
		if _, errWrite := f.WriteAt(h[:], 0); err != nil || errWrite != nil || !h.Intact() {
			t.Fatal(err, errWrite)
		}
		refused(t, s, ErrForeignLog)
		a.Stop()
		s.close()
	})
}
