package repair

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"example.com/snapd/internal/sqlite"
	"example.com/snapd/internal/sqlitefile"
)

const corpus = "../../testdata/corrupt"

// The parts of a log, in bytes.
const (
	walHeaderSize = sqlitefile.WALHeaderSize
	walFrameSize  = sqlitefile.FrameHeaderSize
)

// wantsCorrupt reports whether a fixture's NAME.want expects the verdict corrupt.
func wantsCorrupt(t *testing.T, path string) bool {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.HasPrefix(string(b), "verdict: corrupt\n")
}

// stage copies a fixture with its sidecars to a directory of its own.
func stage(t *testing.T, db string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), filepath.Base(db))
	for _, suffix := range sidecars {
		b, err := os.ReadFile(db + suffix)
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		put(t, path+suffix, b)
	}
	return path
}

// put writes a file with time stamps of an hour ago: a check does not have to wait
// until another write would show in them.
func put(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
}

// makeDB runs each script on a connection of its own.
func makeDB(t testing.TB, name string, scripts ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, script := range scripts {
		c := connect(t, path)
		if err := c.CheckpointOnClose(); err != nil {
			t.Fatal(err)
		}
		if err := c.Exec(t.Context(), "PRAGMA synchronous=OFF;"+script); err != nil {
			t.Fatalf("%s: %v", script, err)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

func connect(t testing.TB, path string) *sqlite.Conn {
	t.Helper()
	c, err := sqlite.Open(path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}
