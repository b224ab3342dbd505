package durable_test

import (
	"os"
	"path/filepath"
	"testing"

	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/testdb"
)

// If this fails, a temporary file is removed under the process that works on it, because it could not be opened to ask.
func TestSweepLeavesWhatCannotBeAsked(t *testing.T) {
	dir, err := os.MkdirTemp("", "sweep-") // t.TempDir's parents let no other user in
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, durable.TempPrefix+"data.db-0123456789abcdef")
	if err := os.WriteFile(path, nil, 0); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		for _, name := range []string{path, dir} {
			if err := os.Chown(name, testdb.Nobody(), testdb.Nobody()); err != nil {
				t.Fatal(err)
			}
		}
	}
	testdb.AsNobody(t, func() {
		if removed, err := durable.Sweep(dir); err != nil || len(removed) > 0 {
			t.Errorf("removed %q, %v", removed, err)
		}
	})
}
