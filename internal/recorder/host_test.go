package recorder

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/pages"
	"example.com/snapd/internal/testdb"
)

const hostSeed = archive.Seed(9)

// keeping is a host with one backup of the database at path, in a file next to the change logs, and what was reported to it.
type keeping struct {
	path, dir string
	mu        sync.Mutex
	state     catalog.State
	reported  []Event
	fail      func(what string) error
}

// newKeeping makes a database and the backup.
func newKeeping(dir string) (*keeping, error) {
	h := &keeping{path: filepath.Join(dir, "data.db"), dir: filepath.Join(dir, "b"), fail: func(string) error { return nil }}
	db, err := sql.Open("sqlite", h.path)
	if err != nil {
		return nil, err
	}
	_, err = db.Exec("PRAGMA page_size=1024; PRAGMA journal_mode=wal; " + testdb.ChurnSchema + `
		INSERT INTO t(a, b) WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i<60) SELECT i, printf('%.500c', 'x') FROM n;
		CREATE TABLE one(x); INSERT INTO one VALUES('of one'); CREATE TABLE two(x); INSERT INTO two VALUES('of two')`)
	if err := errors.Join(err, db.Close(), os.Mkdir(h.dir, 0o700)); err != nil {
		return nil, err
	}
	tx, err := pages.Begin(context.Background(), h.path, livedb.Options{})
	if err != nil {
		return nil, err
	}
	defer tx.Close()
	var b bytes.Buffer
	w, err := archive.NewWriter(&b, archive.WriterOptions{PageSize: tx.Info().PageSize, Seed: hostSeed})
	if err != nil {
		return nil, err
	}
	if err := tx.CopyTo(context.Background(), w, nil); err != nil {
		return nil, err
	}
	if _, err := w.Finish(archive.Facts{}); err != nil {
		return nil, err
	}
	return h, os.WriteFile(filepath.Join(h.dir, "base"), b.Bytes(), 0o600)
}

func (h *keeping) recorder() *Recorder {
	return New(Options{Database: h.path, Name: "data", Dir: filepath.Join(h.dir, Dir), Host: h, Now: time.Now,
		Settings: func() Settings { return Settings{} }})
}

func (h *keeping) Read() ([]catalog.Entry, catalog.State, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return []catalog.Entry{{ID: "base", File: "base", Kind: catalog.Auto, PageSize: 1024, Timeline: catalog.Timeline{Number: 1}, CreatedAt: time.Now(),
		Verification: catalog.Verification{State: catalog.Verified}}}, h.state, h.fail("read")
}

func (h *keeping) OpenArchive(catalog.Entry) (*archive.Reader, error) {
	b, err := os.ReadFile(filepath.Join(h.dir, "base"))
	if err != nil {
		return nil, err
	}
	return archive.NewReader(bytes.NewReader(b), int64(len(b)))
}

func (h *keeping) PageSeed(context.Context) (archive.Seed, error) { return hostSeed, h.fail("seed") }
func (h *keeping) CheckPlace() error                              { return h.fail("place") }
func (h *keeping) Judge(context.Context) error                    { return nil }
func (h *keeping) NeedBackup(string)                              {}
func (h *keeping) Code(error) string                              { return "" }

func (h *keeping) Update(_ string, change func(*catalog.State)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	change(&h.state)
}

func (h *keeping) Begin(context.Context, uint64, catalog.Cause, string, bool) error {
	return errors.New("no timeline begins here")
}

func (h *keeping) Report(e Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.reported = append(h.reported, e)
}

// of are the events of some kinds.
func (h *keeping) of(kinds ...Kind) (some []Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range h.reported {
		for _, k := range kinds {
			if e.Kind == k {
				some = append(some, e)
			}
		}
	}
	return some
}

func TestMain(m *testing.M) {
	testdb.RunChild(map[string]func([]string) error{"anchor": anchorChild})
	os.Exit(m.Run())
}
