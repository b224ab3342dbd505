package testdb

import (
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// RequireTool returns the path of a program that a test compares us with. Where
// it is missing the test ends as [Missing] says.
func RequireTool(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		Missing(t, name, "apt-get install sqlite3 zstd age python3")
	}
	if name == "python3" {
		return interpreter(path)
	}
	return path
}

// interpreter is the program behind python3: a script that picks one of several versions
// takes longer each time than all that the tests do in it.
var interpreter = func() func(path string) string {
	var once sync.Once
	var found string
	return func(path string) string {
		once.Do(func() {
			out, err := exec.Command(path, "-ISc", "import sys; print(sys.executable)").Output()
			if found = strings.TrimSpace(string(out)); err != nil || found == "" {
				found = path
			}
		})
		return found
	}
}()

// Missing ends a test that cannot be made on this machine. It is skipped, but
// fails in CI: there, a comparison that silently does not happen is worth nothing.
func Missing(t testing.TB, what, advice string) {
	t.Helper()
	if ci := os.Getenv("CI"); ci != "" && ci != "0" && ci != "false" {
		t.Fatalf("%s is needed and not installed (%s)", what, advice)
	}
	t.Skipf("NOT TESTED: %s is not installed; %s brings it", what, advice)
}

// Lacking is Missing for a part of a test, whose rest goes on without it.
func Lacking(t testing.TB, what, advice string) {
	t.Helper()
	if ci := os.Getenv("CI"); ci != "" && ci != "0" && ci != "false" {
		t.Fatalf("%s is needed and not installed (%s)", what, advice)
	}
	t.Logf("NOT TESTED: %s is not installed; %s brings it", what, advice)
}

// ShellIntegrity fails the test unless the C library's own shell finds the
// database whole: the judge that shares no code with us. It reads an image
// without sidecars as it is, and anything else as an application would.
func ShellIntegrity(t testing.TB, path string) {
	t.Helper()
	if got := ShellQuery(t, path, "PRAGMA integrity_check"); got != "ok" {
		t.Errorf("sqlite3 integrity_check of %s: %s", path, got)
	}
}

// ShellQuery returns what the C shell prints for sql, without the last newline.
func ShellQuery(t testing.TB, path, sql string) string {
	t.Helper()
	shell := RequireTool(t, "sqlite3")
	cmd := exec.Command(shell, "-batch", "-bail", "-cmd", ".timeout 20000", shellPath(path), sql)
	cmd.Env = append(os.Environ(), "HOME="+os.DevNull) // no ~/.sqliterc
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("sqlite3 %s %q: %v: %s", path, sql, err, out)
	}
	return strings.TrimSuffix(string(out), "\n")
}

// shellPath keeps a name from being taken for an option or a URI.
func shellPath(path string) string {
	if strings.HasPrefix(path, "-") || strings.HasPrefix(path, "file:") {
		return "./" + path
	}
	return path
}

// SoakTime is how long a soak that goes by time runs: SNAPD_SOAK, as make soak
// sets it, or a minute.
func SoakTime(t testing.TB) time.Duration {
	t.Helper()
	text := os.Getenv("SNAPD_SOAK")
	if text == "" {
		return time.Minute
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		t.Fatalf("SNAPD_SOAK=%q: want a time like 5m", text)
	}
	return d
}
