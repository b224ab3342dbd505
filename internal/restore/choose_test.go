package restore

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/backup"
	"example.com/snapd/internal/catalogfile"
	"example.com/snapd/internal/proof"
	"example.com/snapd/internal/swap"
)

// What could not be found out is an error: taken for "no damage", a restore would
// replace the only copy of the commits beyond a damaged frame of the log.
func TestDamageThatCouldNotBeLookedFor(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "data.db")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE t(a); INSERT INTO t VALUES(1)"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	cat, err := catalogfile.Open(t.TempDir(), "data")
	if err != nil {
		t.Fatal(err)
	}
	over := &Restorer{Replacer: Replacer{Target: &swap.Target{Database: path}, LockWait: time.Second}, Safety: &backup.Maker{Prover: &proof.Prover{Catalog: cat}, Database: path}}
	r := &restoring{Restorer: over, backup: catalog.Entry{DatabaseBytes: 4096}}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.damage(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("without an answer: %v", err)
	}
	if how, err := r.choose(ended); err == nil {
		t.Errorf("without an answer the strategy is %+v", how)
	}
	if err := r.damage(t.Context()); err != nil {
		t.Errorf("a sound database: %v", err)
	}
	if how, err := r.choose(t.Context()); err != nil || how.method != Online {
		t.Errorf("over a sound database the strategy is %+v, %v", how, err)
	}
}
