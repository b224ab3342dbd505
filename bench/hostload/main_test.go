package main

import (
	"os"
	"runtime"
	"strings"
	"testing"

	"example.com/snapd/internal/testdb"
)

// The program starts itself: so does this one, as the program.
func TestMain(m *testing.M) {
	if os.Getenv("HOSTLOAD_CHILD") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// If this fails, the cost of a backup for the application is no longer measured.
func TestRun(t *testing.T) {
	if runtime.GOOS == "windows" {
		testdb.Missing(t, "cp", "a Unix system")
	}
	t.Setenv("HOSTLOAD_CHILD", "1")
	var b strings.Builder
	if err := run(t.Context(), options{size: 1 << 20, rounds: 1, dir: t.TempDir(), profile: t.TempDir(), warm: 10}, &b); err != nil {
		t.Fatal(err)
	}
	out := b.String()
	for _, want := range []string{"in the host's process", "`snapd backup`", "`snapd backup --auto`", "rollback journal"} {
		if !strings.Contains(out, want) {
			t.Errorf("not a word of %s", want)
		}
	}
	if strings.Contains(out, "NaN") || strings.Contains(out, "Inf") {
		t.Error("a figure was not measured")
	}
	t.Log(out)
}
