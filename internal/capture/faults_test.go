package capture

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/changes"
	"example.com/snapd/internal/testdb"
)

// service is what a service does with a change log, in a process of its own.
type service struct {
	dir   string
	said  *os.File
	log   *changes.Log
	chain *Chain
}

// serviceChild captures after each commit of its application, seals, thins and compares; what fails
// is made once more, with the log opened again. args: directory, file for what it says.
func serviceChild(args []string) (err error) {
	s := &service{dir: args[0]}
	if s.said, err = os.OpenFile(args[1], os.O_WRONLY|os.O_APPEND, 0); err != nil {
		return err
	}
	app, err := sql.Open("sqlite", s.path())
	if err != nil {
		return err
	}
	app.SetMaxOpenConns(1)
	if _, err := app.Exec("PRAGMA wal_autocheckpoint=20; PRAGMA synchronous=OFF; INSERT INTO t(a) VALUES(0)"); err != nil {
		return err
	}
	if err := testdb.HandOverCalls(); err != nil {
		return err
	}
	ctx := context.Background()
	capture := func() error {
		out, err := s.chain.Capture(ctx, time.Now)
		return errors.Join(err, s.captured(out))
	}
	for step := range 9 {
		for range 3 { // a fault may meet the application as well
			if _, err = app.Exec("INSERT INTO t(a, b) VALUES(1, randomblob(5000))"); err == nil {
				break
			}
		}
		if err := s.do("capture", capture); err != nil {
			return err
		}
		switch step {
		case 1, 2, 4, 6:
			err = s.do("seal", func() error { return s.log.Seal() })
		case 3:
			err = s.do("merge", func() error {
				return s.log.Thin(ctx, changes.Thinning{Before: time.Now().Add(time.Hour), Keep: func(changes.Capture) bool { return true }})
			})
		case 5:
			err = s.do("thin", func() error {
				return s.log.Thin(ctx, changes.Thinning{Before: time.Now().Add(time.Hour), Keep: func(c changes.Capture) bool { return c.Seq%2 == 0 }})
			})
		case 7:
			err = s.do("compare", func() error {
				s.chain.Distrust()
				return capture()
			})
		}
		if err != nil {
			return err
		}
	}
	return s.say("ended\n")
}

func (s *service) path() string { return filepath.Join(s.dir, "data.db") }

func (s *service) say(format string, args ...any) error {
	_, err := fmt.Fprintf(s.said, format, args...)
	return err
}

func (s *service) captured(out Outcome) error {
	if out.Capture.Seq == 0 {
		return nil
	}
	return s.say("captured %d %s\n", out.Capture.Seq, out.Capture.Sum)
}

// do makes op, and once more if it fails.
func (s *service) do(what string, op func() error) (err error) {
	if err := s.say("%s\n", what); err != nil {
		return err
	}
	for range 3 {
		if s.log == nil {
			if err = s.open(); err != nil {
				continue
			}
		}
		if err = op(); err == nil {
			return nil
		}
		if err := s.say("failed %s: %v\n", what, err); err != nil {
			return err
		}
		_ = errors.Join(s.chain.Rest(), s.log.Close()) // it is opened again
		s.log = nil
	}
	return err
}

func (s *service) open() error {
	f, err := os.Open(filepath.Join(s.dir, "base"))
	if err != nil {
		return err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	base, err := archive.NewReader(f, fi.Size())
	if err != nil {
		return err
	}
	log, err := changes.Open(filepath.Join(s.dir, "1"), headOf(base.Info().PageSize))
	if err != nil {
		return err
	}
	if s.chain, err = Open(context.Background(), s.path(), Base{Archive: base, At: time.Now()}, log); err != nil {
		return errors.Join(err, log.Close())
	}
	s.log = log
	return nil
}

// A fault of the disk under the log, or in reading the database, whichever call it meets, costs no
// capture: it is an error, no more is appended to what is left, and the next attempt goes on. Each 211th
// fault is made here; with SNAPD_SWEEP all are.
func TestFaultsOfTheLog(t *testing.T) {
	t.Parallel()
	fault := func(e syscall.Errno) testdb.Fault { return testdb.Fault{Errno: e} }
	faults := []struct {
		name string
		testdb.Fault
		stays, reads bool
	}{
		{"EIO", fault(syscall.EIO), false, true}, {"EIO for ever", fault(syscall.EIO), true, true},
		{"short", testdb.Fault{Short: true}, false, true}, {"EINTR", fault(syscall.EINTR), false, true},
		{"ENOSPC", fault(syscall.ENOSPC), false, false}, {"ENOSPC for ever", fault(syscall.ENOSPC), true, false},
		{"kill", testdb.Fault{Kill: true}, false, false},
	}
	var calls []testdb.Call
	if err := runService(t, "without a fault", func(n int, c testdb.Call) testdb.Fault {
		calls = append(calls, c)
		return testdb.Fault{}
	}); err != nil {
		t.Fatalf("without a fault: %v", err)
	}
	part, whole := testdb.SweepPart(t)
	point, made, ended := 0, 0, 0
	for n, c := range calls {
		for _, f := range faults {
			if c.Reads() && !f.reads {
				continue
			}
			point++
			if whole && !part.Has(point) || !whole && point%211 != 0 {
				continue
			}
			made++
			where := fmt.Sprintf("%s at call %d, %s of %s", f.name, n, c.Name, filepath.Base(c.Path))
			err := runService(t, where, func(at int, call testdb.Call) testdb.Fault {
				if at == n || f.stays && at > n && call.Path == c.Path && call.Reads() == c.Reads() {
					return f.Fault
				}
				return testdb.Fault{}
			})
			if err != nil {
				ended++
				if !f.stays && !f.Kill {
					t.Errorf("%s: it does not go on: %v", where, err)
				}
			}
		}
	}
	t.Logf("%d calls, %d of %d faults made, %d ended the service", len(calls), made, point, ended)
	if made < 5 {
		t.Error("too few faults were made: the sweep proves nothing")
	}
}

// runService runs the service on a database of its own, and checks what is there afterwards. The calls
// are those on the log, and reads of the database's files.
func runService(t *testing.T, where string, decide func(n int, c testdb.Call) testdb.Fault) error {
	t.Helper()
	dir, err := os.MkdirTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	s := &scene{t: t, path: filepath.Join(dir, "data.db"), dir: filepath.Join(dir, "1"), states: map[uint64][]byte{}}
	testdb.StartChurn(t, s.path, 1, "PRAGMA journal_mode=wal; "+testdb.ChurnSchema).Stop()
	s.makeBase()
	if err := os.WriteFile(filepath.Join(dir, "base"), s.archived, 0o600); err != nil {
		t.Fatal(err)
	}
	said := filepath.Join(t.TempDir(), "said")
	if err := os.WriteFile(said, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	n := 0
	ended := testdb.WithFaults(t, dir, func(c testdb.Call) testdb.Fault {
		if !strings.HasPrefix(c.Path, s.dir) && !(c.Reads() && strings.HasPrefix(c.Path, s.path)) {
			return testdb.Fault{}
		}
		n++
		return decide(n-1, c)
	}, "service", dir, said).Wait()
	text, err := os.ReadFile(said)
	if err != nil {
		t.Fatal(err)
	}
	s.open()
	defer s.close()
	all, err := s.log.Captures(t.Context())
	if err != nil {
		t.Fatalf("%s: %v", where, err)
	}
	sums := map[uint64]string{}
	for _, c := range all {
		sums[c.Seq] = c.Sum
		s.state(c.Seq)
	}
	thinned := uint64(0)
	last := uint64(0)
	for line := range strings.Lines(string(text)) {
		var seq uint64
		var sum string
		switch n, _ := fmt.Sscanf(line, "captured %d %s", &seq, &sum); {
		case n == 2:
			last = seq
			if have, ok := sums[seq]; have != sum && (ok || seq%2 == 0) {
				t.Errorf("%s: capture %d is %q, and was %q", where, seq, have, sum)
			}
		case strings.HasPrefix(line, "thin"):
			thinned = last
		case strings.Contains(line, changes.ErrDamaged.Error()):
			t.Errorf("%s: a fault is called damage: %s", where, line)
		}
	}
	for seq := thinned + 1; seq <= last; seq++ {
		if _, ok := sums[seq]; !ok {
			t.Errorf("%s: capture %d is lost:\n%s", where, seq, text)
		}
	}
	s.capture()
	return ended
}
