package testdb

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"example.com/snapd/internal/samplecrm"
	"example.com/snapd/internal/sqlite"
)

// damaged holds the absolute paths of files that a test broke on purpose.
var damaged sync.Map

// Damaged says that the test itself breaks path: it is not checked at the end.
func Damaged(t testing.TB, path string) {
	t.Helper()
	damaged.Store(absolute(t, path), true)
}

func absolute(t testing.TB, path string) string {
	t.Helper()
	abs, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return abs
}

// CheckAtEnd runs integrity_check on path when the test ends, after everything
// that is registered later has been cleaned up. A file that is gone is no fault.
func CheckAtEnd(t testing.TB, path string) {
	t.Helper()
	path = absolute(t, path)
	t.Cleanup(func() {
		if _, broken := damaged.LoadAndDelete(path); broken {
			return
		}
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			return
		}
		// The test's own context has ended by now.
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if got, err := ask(ctx, path, "SELECT group_concat(integrity_check, char(10)) FROM pragma_integrity_check"); err != nil || got != "ok" {
			t.Errorf("at the test's end %s is not whole: %s %v", path, got, err)
		}
	})
}

// ask returns the first value of query on a connection of its own.
func ask(ctx context.Context, path, query string) (text string, err error) {
	db, err := samplecrm.Open(path, "")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	err = db.QueryRowContext(ctx, query).Scan(&text)
	return text, err
}

// Open opens a pool on path as an application would. It is closed, and the
// database checked, when the test ends.
func Open(t testing.TB, path string) *sql.DB {
	t.Helper()
	CheckAtEnd(t, path)
	db, err := samplecrm.Open(path, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close %s: %v", path, err)
		}
	})
	return db
}

// CRM makes a sample CRM database of about the given size, in bytes, in a
// directory of its own, and returns its path. It is in WAL mode.
func CRM(t testing.TB, bytes int64) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "data.db")
	MakeCRM(t, path, samplecrm.Options{Bytes: bytes, Seed: 1})
	CheckAtEnd(t, path)
	return path
}

// made holds the small sample databases that this process made, by their options: equal
// options give equal files.
var made = struct {
	sync.Mutex
	images map[samplecrm.Options][]byte
}{images: map[samplecrm.Options][]byte{}}

// MakeCRM makes a sample CRM database at path, which must not exist. Small ones are made once.
func MakeCRM(t testing.TB, path string, o samplecrm.Options) {
	t.Helper()
	const small = 4 << 20
	if o.Bytes > small {
		if err := samplecrm.Create(t.Context(), path, o); err != nil {
			t.Fatal(err)
		}
		return
	}
	made.Lock()
	defer made.Unlock()
	image := made.images[o]
	if image == nil {
		first := filepath.Join(t.TempDir(), "sample.db")
		err := samplecrm.Create(t.Context(), first, o)
		if err == nil {
			image, err = os.ReadFile(first)
		}
		if err != nil {
			t.Fatal(err)
		}
		made.images[o] = image
	}
	if err := writeNew(path, image); err != nil {
		t.Fatal(err)
	}
}

// writeNew writes a file that must not exist.
func writeNew(path string, data []byte) (err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = f.Write(data)
	return err
}

// ledgerSQL gives the number of transfers, and the number of different opening
// balances one gets by taking all transfers back: one, in a committed state.
const ledgerSQL = `
WITH moved(account, amount) AS (
  SELECT to_account, amount FROM transfers UNION ALL SELECT from_account, -amount FROM transfers),
net(account, amount) AS (SELECT account, sum(amount) FROM moved GROUP BY account)
SELECT (SELECT count(*) FROM transfers), count(DISTINCT balance - coalesce(net.amount, 0)), sum(balance)
FROM accounts LEFT JOIN net ON account = id`

// Ledger fails the test unless the database at path is one committed state of
// its ledger: every balance is what the recorded transfers make of it. It returns
// how many transfers that state has, and the sum of balances, which never
// changes. The file is not changed, but SQLite may leave -wal and -shm next to it.
func Ledger(t testing.TB, path string) (transfers, sum int64) {
	t.Helper()
	c, err := sqlite.Open(path, sqlite.Options{BusyTimeout: 20 * time.Second})
	if err != nil {
		t.Errorf("ledger: %v", err)
		return 0, 0
	}
	defer c.Close()
	err = c.Each(context.Background(), ledgerSQL, func(s *sqlite.Stmt) error {
		if openings := s.Int(1); openings != 1 {
			t.Errorf("ledger of %s is no committed state: %d different opening balances", path, openings)
		}
		transfers, sum = s.Int(0), s.Int(2)
		return nil
	})
	if err != nil {
		t.Errorf("ledger of %s: %v", path, err)
	}
	return transfers, sum
}
