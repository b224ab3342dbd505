package snapshot_test

import (
	"os"
	"testing"

	"example.com/snapd/internal/testdb"
)

// children are what tests run in processes of their own, see testdb.Reexec.
// Each test file adds its own in an init function.
var children = map[string]func(args []string) error{}

func TestMain(m *testing.M) {
	testdb.RunChild(children)
	os.Exit(m.Run())
}
