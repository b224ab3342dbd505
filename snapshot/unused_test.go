package snapshot_test

import (
	"runtime"
	"testing"

	"example.com/snapd/internal/testdb"
)

// guestScript opens the database, as a monitoring command does, and goes after a moment.
const guestScript = `
import sys, time
f = open(sys.argv[1], "rb")
print("` + endOfAnswer + `", flush=True)
time.sleep(0.4)
`

// Lost otherwise: the protection of a database that somebody happened to look at while
// it was being recovered. serve gave up with "busy".
func TestRecoverWaitsForAGuestToGo(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("NOT TESTED: only Linux tells who has a file open")
	}
	b := newBench(t, "delete")
	e := b.auto()
	b.damage()
	guest := startPeer(t, testdb.RequireTool(t, "python3"), "-c", guestScript, b.m.Database())
	guest.hear()
	b.recovers(e.ID)
}
