package snapshot

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
)

// What could not be found out is an error: taken for "no damage", a restore would
// replace the only copy of the commits beyond a damaged frame of the log.
func TestDamageThatCouldNotBeLookedFor(t *testing.T) {
	m, err := Open(t.Context(), Config{Database: filepath.Join(t.TempDir(), "data.db")})
	if err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	writeDatabase(t, m.Database())
	if err := m.damagedFiles(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("without an answer: %v", err)
	}
	r := &restoring{replacing: replacing{m, OpRestore, m.now()}, backup: Backup{DatabaseBytes: 4096}}
	if how, err := r.choose(ended); err == nil {
		t.Errorf("without an answer the strategy is %+v", how)
	}
	if err := m.damagedFiles(t.Context()); err != nil {
		t.Errorf("a sound database: %v", err)
	}
}
