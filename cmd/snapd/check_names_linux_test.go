package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"example.com/snapd/integrity"
)

// foul are names that a file may have on Linux: an escape that clears the screen, a
// new line that forges a row, a right-to-left override, control characters
// of eight bits, no UTF-8, what XML cannot hold or would read as markup.
var foul = []string{"\x1b[2J.db", "a\nb.db  healthy", "\u202egpj.db", "\u009b31m.db", "\xff\xfe.db", "\xff\xfd.db", "\x01\x7f.db",
	"\ufffe\uffff.db", `]]><x a="1">&amp;'.db`, "tab\tcr\r.db", " .db"}

// runCheck runs snapd check in dir and returns what it printed and its status.
func runCheck(t *testing.T, dir string, args ...string) (stdout, stderr []byte, status int) {
	t.Helper()
	cmd := exec.Command("snapd", append([]string{"check"}, args...)...)
	var out, errs bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &out, &errs
	err := cmd.Run()
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		t.Fatal(err)
	}
	return out.Bytes(), errs.Bytes(), cmd.ProcessState.ExitCode()
}

// printable fails the test at the first thing that a terminal would obey.
func printable(t *testing.T, text []byte) {
	t.Helper()
	for rest := text; len(rest) > 0; {
		r, n := utf8.DecodeRune(rest)
		if r == utf8.RuneError && n == 1 || r != '\n' && !unicode.IsPrint(r) {
			t.Fatalf("%q is printed: %q", rest[:n], text)
		}
		rest = rest[n:]
	}
}

// A file's name can come from anyone: it must not take hold of the terminal or of the log of
// a CI system, forge a line, break a document, or be taken for another file.
func TestCheckOfFoulNames(t *testing.T) {
	dir := t.TempDir()
	for i, name := range foul {
		content := []string{"", strings.Repeat("no database ", 20)}[i%2]
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	args := append([]string{"--junit", "report.xml", "--"}, foul...)
	stdout, stderr, status := runCheck(t, dir, args...)
	printable(t, stdout)
	if rows := bytes.Count(stdout, []byte("  quick  ")); status != exitCorrupt || len(stderr) > 0 || rows != len(foul) {
		t.Errorf("status %d, %d rows:\n%s%s", status, rows, stdout, stderr)
	}

	raw, err := os.ReadFile(filepath.Join(dir, "report.xml"))
	if err != nil {
		t.Fatal(err)
	}
	printable(t, raw)
	var doc testSuites
	if err := xml.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for i, c := range doc.Suite.Cases {
		names[c.Name] = true
		if (c.Failure != nil) != (i%2 == 1) {
			t.Errorf("%q: %+v", c.Name, c.Failure)
		}
	}
	if len(names) != len(foul) {
		t.Errorf("%d of %d names are distinguished: %v", len(names), len(foul), names)
	}

	stdout, _, _ = runCheck(t, dir, append([]string{"--json", "--"}, foul...)...)
	var reports struct{ Reports []integrity.Report }
	if err := json.Unmarshal(stdout, &reports); err != nil || len(reports.Reports) != len(foul) {
		t.Fatalf("%d reports, %v", len(reports.Reports), err)
	}
	for i, r := range reports.Reports {
		if want := []integrity.Verdict{integrity.Empty, integrity.NotADatabase}[i%2]; r.Verdict != want {
			t.Errorf("%q is %s, want %s", foul[i], r.Verdict, want)
		}
	}

	// Also the line that says it all, and what the progress bar would say.
	for _, name := range append([]string{"\x1b[2Jnot there\u009b"}, foul...) {
		_, stderr, _ := runCheck(t, dir, "--quiet", "--", name)
		printable(t, stderr)
		printable(t, []byte(phaseOf(name, 1, 2)))
	}
}

// The other commands read names as check does: they say that they do not take this
// one, and do not go to a file of another name.
func TestNamesAreReadAsTheyAre(t *testing.T) {
	cmd := exec.Command("snapd", "backup", "--db", filepath.Join(t.TempDir(), "d\xff.db"))
	out, _ := cmd.CombinedOutput() // its error is the status
	if cmd.ProcessState.ExitCode() != exitFailed || !bytes.Contains(out, []byte("not valid UTF-8")) {
		t.Errorf("status %d: %s", cmd.ProcessState.ExitCode(), out)
	}
}

// A run over a whole collection keeps the order and misses no file.
func TestCheckOfManyPaths(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "text.db"), []byte(strings.Repeat("no database ", 20)), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"--json", "--junit", "report.xml"}
	const n = 3000
	for i := range n {
		args = append(args, []string{"nosuch.db", "text.db", "."}[i%3])
	}
	stdout, _, status := runCheck(t, dir, args...)
	var reports struct {
		Reports []struct {
			Path    string
			Verdict integrity.Verdict
			Error   *checkError
		}
	}
	if err := json.Unmarshal(stdout, &reports); err != nil || status != exitCorrupt || len(reports.Reports) != n {
		t.Fatalf("%d reports, status %d, %v", len(reports.Reports), status, err)
	}
	for i, r := range reports.Reports {
		if r.Path != args[3+i] || (r.Error != nil) != (i%3 == 2) || r.Verdict != []integrity.Verdict{"missing", "not_a_database", ""}[i%3] {
			t.Fatalf("report %d: %+v", i, r)
		}
	}
	stdout, _, _ = runCheck(t, dir, args[1:]...)
	if want := "\n3,000 checked in "; !bytes.Contains(stdout, []byte(want)) ||
		!bytes.HasSuffix(stdout, []byte(": 1,000 not a database, 1,000 missing, 1,000 not checked\n")) {
		t.Errorf("ends with %q", stdout[max(0, len(stdout)-100):])
	}
}
