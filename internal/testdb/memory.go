package testdb

import (
	"fmt"
	"os"
)

// tests are those of a package: a *testing.M.
type tests interface{ Run() int }

// InMemory returns tests that make their temporary files in memory, where the system has room: those
// of its packages wait for a disk longer than they compute, and what a loss of power leaves they take from
// a model (see PowerLoss). A TMPDIR that is set stays as it is, so that TMPDIR=/tmp runs them on the disk.
func InMemory(m tests) tests { return inMemory{m} }

type inMemory struct{ tests }

func (m inMemory) Run() int {
	if os.Getenv("TMPDIR") != "" {
		return m.tests.Run()
	}
	dir, err := memoryDir()
	if err == nil {
		err = os.Setenv("TMPDIR", dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "the temporary files are on the disk:", err)
		return m.tests.Run()
	}
	defer os.RemoveAll(dir)
	return m.tests.Run()
}
