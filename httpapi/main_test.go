package httpapi

import (
	"os"
	"testing"

	"example.com/snapd/internal/testdb"
)

func TestMain(m *testing.M) { os.Exit(testdb.InMemory(m).Run()) }
