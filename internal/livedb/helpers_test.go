package livedb

import (
	"bufio"
	"os/exec"
	"testing"

	"example.com/snapd/internal/testdb"
)

// run is shell for SQL that must succeed.
func run(t *testing.T, db, script string) {
	t.Helper()
	if out, err := shell(t, db, script); err != nil {
		t.Fatalf("sqlite3: %v\n%s", err, out)
	}
}

// startPython runs a script in another process, with the sqlite3 module and c, an open
// connection to db with explicit transactions, and returns when it has printed "ready".
// It is killed by stop, or when the test ends.
func startPython(t *testing.T, db, script string) (stop func()) {
	t.Helper()
	cmd := exec.Command(testdb.RequireTool(t, "python3"), "-ISuc", `
import sqlite3, sys
c = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
def ready(): print("ready", flush=True)
`+script, db)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop = func() {
		cmd.Process.Kill()
		cmd.Wait()
	}
	t.Cleanup(stop)
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("python: %q, %v", line, err)
	}
	return stop
}
