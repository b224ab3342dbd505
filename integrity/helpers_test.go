package integrity

import (
	"example.com/snapd/internal/testdb"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"example.com/snapd/internal/sqlite"
)

// makeDB runs each script on a connection of its own; the last connection stays
// open until the test ends when keep is set.
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

func checkFull(t *testing.T, path string) Report {
	t.Helper()
	rep, err := Check(t.Context(), path, Options{Level: LevelFull})
	if err != nil {
		t.Fatal(err)
	}
	return rep
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

// python runs a script in another process, whose locks are its own. The script
// gets path as argument; stop ends it by closing its standard input.
func python(t *testing.T, script, path string) (stop func()) {
	t.Helper()
	cmd := exec.Command(testdb.RequireTool(t, "python3"), "-ISc", script, path)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("this test needs python3 with its sqlite3 module: %v", err)
	}
	ready := make([]byte, 1)
	if _, err := out.Read(ready); err != nil {
		t.Fatalf("python: %v: %s", err, stderr.String())
	}
	return func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("python: %v: %s", err, stderr.String())
		}
	}
}
