package capture

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/pages"
	"example.com/snapd/internal/sqlitefile"
	"example.com/snapd/internal/testdb"
)

func TestMain(m *testing.M) {
	testdb.RunChild(map[string]func([]string) error{"churn": churnChild, "image": imageChild, "check": checkChild, "service": serviceChild})
	os.Exit(testdb.InMemory(m).Run())
}

// churnChild writes until it is killed. args: database, what each connection runs, seed.
func churnChild(args []string) error {
	seed, err := strconv.ParseUint(args[2], 10, 64)
	if err != nil {
		return err
	}
	return testdb.ChurnForever(args[0], args[1], seed)
}

// checkChild fails where a database is not whole. args: database.
func checkChild(args []string) error {
	db, err := sql.Open("sqlite", args[0])
	if err != nil {
		return err
	}
	var verdict string
	if err := db.QueryRow("PRAGMA integrity_check").Scan(&verdict); err != nil || verdict != "ok" {
		return fmt.Errorf("%s, %v", verdict, err)
	}
	return db.Close()
}

// imageChild writes the image of a database to a file. args: database, file.
func imageChild(args []string) error {
	image, _, err := imageOf(context.Background(), args[0])
	if err != nil {
		return err
	}
	return os.WriteFile(args[1], image, 0o600)
}

// during makes a look next to writers, and returns a copy of the very state that it pinned.
func (s *scene) during() (out Outcome, now []byte, err error) {
	s.t.Helper()
	files, err := livedb.Look(s.path)
	if err != nil {
		s.t.Fatal(err)
	}
	tx, err := s.chain.begin(s.t.Context(), files)
	if err != nil {
		return out, nil, err
	}
	begun := time.Now()
	if out, err = s.chain.capture(s.t.Context(), tx, files.Fingerprint, time.Now); err != nil {
		s.t.Fatal(err)
	}
	var b bytes.Buffer
	if err := (&pages.Snapshot{Tx: tx}).CopyTo(s.t.Context(), &b, nil); err != nil {
		s.t.Fatal(err)
	}
	if out, err = s.chain.keep(s.t.Context(), tx, out, begun); err != nil {
		s.t.Fatal(err)
	}
	return out, b.Bytes(), nil
}

// Two processes write as fast as they can, and are killed at random; logs are cut as by a loss of power,
// and deleted. Every capture is the state that its look pinned, byte for byte.
func TestKilledWriters(t *testing.T) {
	t.Parallel()
	looks := 60
	if testdb.Sampled(2) == 1 { // make sweep
		looks = 500
	}
	for _, v := range []struct {
		pageSize int
		each     string
	}{
		{4096, "PRAGMA synchronous=OFF"},
		{1024, "PRAGMA synchronous=OFF; PRAGMA wal_autocheckpoint=20"},
		{512, "PRAGMA synchronous=OFF; PRAGMA cache_size=3; PRAGMA cache_spill=1; PRAGMA wal_autocheckpoint=100"},
	} {
		t.Run(fmt.Sprint(v.pageSize), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(uint64(v.pageSize), 3))
			fresh := func() *scene {
				path := filepath.Join(t.TempDir(), "data.db")
				testdb.StartChurn(t, path, 1, fmt.Sprintf("PRAGMA page_size=%d; PRAGMA auto_vacuum=2; PRAGMA journal_mode=wal; %s", v.pageSize, testdb.ChurnSchema)).Stop()
				return newScene(t, path)
			}
			s := fresh()
			var writers [2]*testdb.Child
			start := func(i int) {
				writers[i] = testdb.Reexec(t, "churn", s.path, v.each, fmt.Sprint(rng.Uint32()))
				writers[i].WaitLine("churns")
			}
			start(0)
			start(1)
			ways, reasons, compared, kills, pinned := map[Way]int{}, map[string]int{}, 0, 0, 0
			for i := range looks {
				out, now, err := s.during()
				if err != nil {
					t.Fatal(err)
				}
				ways[out.Way]++
				if out.Way == Compared {
					reasons[trimDigits(out.Reason)]++
				}
				if out.Hold == Pinned {
					pinned++
				}
				if got := s.state(s.chain.seq); !bytes.Equal(got, now) {
					t.Fatalf("look %d: %+v: the state of capture %d is not the database", i, out, s.chain.seq)
				}
				compared++
				switch rng.IntN(10) {
				case 0:
					n := rng.IntN(2)
					writers[n].Kill()
					kills++
					start(n)
				case 1:
					s.open()
				case 2:
					writers[0].Kill()
					writers[1].Kill()
					kills += 2
					if rng.IntN(2) == 0 {
						s.open()
					}
					if s.harmLog(rng); !s.sound() { // a checkpoint that was under way needs its log
						s.close()
						s = fresh()
					}
					start(0)
					start(1)
				}
			}
			writers[0].Kill()
			writers[1].Kill()
			s.close()
			t.Logf("%d captures compared byte for byte, %d kills; %v, %d pinned; compared because %v", compared, kills, ways, pinned, reasons)
			if ways[Followed] == 0 || ways[Compared] == 0 {
				t.Errorf("too little was met: %v", ways)
			}
		})
	}
}

// harmLog cuts the log as a loss of power may, or deletes it; no other process has it open.
func (s *scene) harmLog(rng *rand.Rand) {
	s.t.Helper()
	testdb.Damaged(s.t, s.path)
	wal := sqlitefile.WAL(s.path)
	fi, err := os.Stat(wal)
	if errors.Is(err, fs.ErrNotExist) || err == nil && fi.Size() == 0 {
		return
	}
	if err != nil {
		s.t.Fatal(err)
	}
	switch rng.IntN(4) {
	case 0:
		err = os.Remove(wal)
	case 1: // its last commits never reached the disk
		err = os.Truncate(wal, rng.Int64N(fi.Size()))
	default:
		return
	}
	if err = errors.Join(err, os.Remove(sqlitefile.SHM(s.path))); err != nil {
		s.t.Fatal(err)
	}
}

// sound reports whether another process finds the database whole.
func (s *scene) sound() bool {
	s.t.Helper()
	return testdb.Reexec(s.t, "check", s.path).Wait() == nil
}

func trimDigits(s string) string {
	b := []byte(s)
	b = bytes.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return -1
		}
		return r
	}, b)
	return string(b)
}

// An administrator who deletes the log of an application that is gone, while our connection is still
// open: the index that no other process shares any more says nothing about the new log.
func TestLogDeletedUnderUs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data.db")
	testdb.StartChurn(t, path, 1, "PRAGMA journal_mode=wal; "+testdb.ChurnSchema).Stop()
	s := newScene(t, path)
	testdb.Damaged(t, path)
	w := testdb.Reexec(t, "churn", path, "SELECT 1", "1")
	w.WaitLine("churns")
	for s.chain.seq == 0 {
		if _, _, err := s.during(); err != nil {
			t.Fatal(err)
		}
	}
	w.Kill()
	for _, name := range []string{sqlitefile.WAL(path), sqlitefile.SHM(path)} {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	w = testdb.Reexec(t, "churn", path, "SELECT 1", "2")
	w.WaitLine("churns")
	for size := int64(0); size < 100_000; {
		fi, err := os.Stat(sqlitefile.WAL(path))
		if err != nil {
			t.Fatal(err)
		}
		size = fi.Size()
	}
	w.Kill()
	if _, err := s.chain.Capture(t.Context(), time.Now); err != nil {
		t.Fatal(err)
	}
	if err := s.chain.Rest(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "image")
	if err := testdb.Reexec(t, "image", path, file).Wait(); err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.state(s.chain.seq); !bytes.Equal(got, want) {
		t.Error("the state is not what another process sees")
	}
	s.close()
}
