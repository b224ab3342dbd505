package swap_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/swap"
	"example.com/snapd/internal/testdb"
)

func TestMain(m *testing.M) {
	testdb.RunChild(map[string]func([]string) error{"run": runChild, "finish": finishChild})
	os.Exit(testdb.InMemory(m).Run())
}

const newImage = "the new database"

// files are contents by suffix: "" is the database itself.
type files map[string]string

// place is a database in a directory of its own, and a backup directory next to it.
type place struct {
	target swap.Target
	points []string    // those that were reached
	notes  []swap.Note // those of committed swaps
	warned []string
}

var note = swap.Note{Backup: "the-backup", Operation: "restore", Safety: "the-safety"}

// placeAt is the place in dir, as any process finds it.
func placeAt(dir string) *place {
	p := &place{}
	p.target = swap.Target{Database: filepath.Join(dir, "data.db"), Dir: filepath.Join(dir, "backups"), LockWait: 2 * time.Second,
		NewHash: sha256.New, Now: func() time.Time { return time.Date(2025, 10, 31, 14, 30, 0, 0, time.UTC) },
		Observer: swap.Observer{
			Point:     func(name string) { p.points = append(p.points, name) },
			Committed: func(n swap.Note, _ string) { p.notes = append(p.notes, n) },
			Warn:      func(w swap.Warning) { p.warned = append(p.warned, w.Message) },
		}}
	return p
}

// newPlace makes one that holds those files.
func newPlace(t *testing.T, old files) *place {
	t.Helper()
	p := placeAt(t.TempDir())
	must(t, os.Mkdir(p.target.Dir, 0o700))
	for suffix, content := range old {
		must(t, os.WriteFile(p.target.Database+suffix, []byte(content), 0o640))
	}
	return p
}

// run swaps the new image in; edit may change the Swap.
func (p *place) run(ctx context.Context, edit ...func(*swap.Swap)) (res swap.Result, err error) {
	staged, err := durable.Create(p.target.Database, 0o600)
	if err != nil {
		return res, err
	}
	defer func() { err = errors.Join(err, staged.Discard()) }()
	if _, err := staged.Write([]byte(newImage)); err != nil {
		return res, err
	}
	s := swap.Swap{Staged: staged, Note: note, Unchanged: func() (bool, error) { return true, nil }}
	for _, e := range edit {
		e(&s)
	}
	return p.target.Run(ctx, s)
}

// preserving has the swap keep what it replaces.
func preserving(s *swap.Swap) {
	s.Preserve, s.Report = true, map[string]string{"verdict": "corrupt"}
}

const quarantine = "corrupted_20251031_143000.db"

// at reads the files of the database at path.
func at(t *testing.T, path string) files {
	t.Helper()
	found := files{}
	for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
		raw, err := os.ReadFile(path + suffix)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		must(t, err)
		found[suffix] = string(raw)
	}
	return found
}

// want fails the test unless the database at path has these files.
func want(t *testing.T, path string, files files) {
	t.Helper()
	if got := at(t, path); fmt.Sprint(got) != fmt.Sprint(files) {
		t.Errorf("%s: %q, want %q", filepath.Base(path), got, files)
	}
}

// wantQuarantine wants one quarantine, whole, private and with its report; none for
// no files.
func (p *place) wantQuarantine(t *testing.T, files files) {
	t.Helper()
	entries, err := os.ReadDir(p.target.Dir)
	must(t, err)
	if len(files) == 0 {
		if len(entries) > 0 {
			t.Errorf("there is a quarantine: %v", entries)
		}
		return
	}
	want(t, filepath.Join(p.target.Dir, quarantine), files)
	report, err := os.ReadFile(filepath.Join(p.target.Dir, strings.TrimSuffix(quarantine, ".db")+".json"))
	if err != nil || string(report) != "{\n  \"verdict\": \"corrupt\"\n}\n" {
		t.Errorf("report %q, %v", report, err)
	}
	if len(entries) != len(files)+1 {
		t.Errorf("the quarantine is %v", entries)
	}
	for _, e := range entries {
		if info, err := e.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", e.Name(), info.Mode(), err)
		}
	}
}

// wantClean wants no intent file and no temporary file.
func (p *place) wantClean(t *testing.T) {
	t.Helper()
	for _, dir := range []string{filepath.Dir(p.target.Database), p.target.Dir} {
		left, err := filepath.Glob(filepath.Join(dir, ".*"))
		must(t, err)
		if len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
	}
	if n, err := p.target.Pending(); n != nil || err != nil {
		t.Errorf("pending: %+v, %v", n, err)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
