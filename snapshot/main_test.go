package snapshot_test

import (
	"os"
	"testing"

	"example.com/snapd/internal/testdb"
)

// children are what tests run in processes of their own, see testdb.Reexec.
// Each test file adds its own in an init function.
var children = map[string]func(args []string) error{}

// templates is a directory for what several tests begin with.
var templates string

func TestMain(m *testing.M) {
	testdb.RunChild(children)
	os.Exit(testdb.InMemory(withTemplates{m}).Run())
}

type withTemplates struct{ *testing.M }

func (m withTemplates) Run() int {
	var err error
	if templates, err = os.MkdirTemp("", "snapd-templates-"); err != nil {
		panic(err)
	}
	defer os.RemoveAll(templates) // the system's temporary directory is cleaned in the end
	return m.M.Run()
}
