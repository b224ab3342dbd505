package snapshot_test

import (
	"runtime"
	"testing"

	"example.com/snapd/internal/testdb"
)

// glanceScript opens the database, as a monitoring command does, and closes it after a moment.
const glanceScript = `
import sys, time
f = open(sys.argv[1], "rb")
print("` + endOfAnswer + `", flush=True)
time.sleep(0.4)
`

// Lost otherwise: the protection of a database that another process had open while
// it was being recovered. serve gave up with "busy".
func TestRecoverWaitsForAnOpenHandle(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("NOT TESTED: only Linux reports which processes have a file open")
	}
	b := newBench(t, "delete")
	e := b.auto()
	b.damage()
	other := startPeer(t, testdb.RequireTool(t, "python3"), "-ISc", glanceScript, b.m.Database())
	other.hear()
	b.recovers(e.ID)
}
