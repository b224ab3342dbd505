package lint

import (
	"bytes"
	"go/ast"
	"go/format"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// Limits in lines, and in methods. A file has one subject, a function fits on a page, and
// a type with more methods is several types.
const (
	maxFile     = 500
	maxFunction = 80
	maxMethods  = 70
)

func TestTypesHaveFewMethods(t *testing.T) {
	methods := map[string]map[string]bool{} // by type; platforms have some of the same name
	for _, s := range sources(t) {
		for _, d := range s.ast.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || s.isTest() || receiverOf(f) == "" {
				continue
			}
			of := s.dir() + "." + receiverOf(f)
			if methods[of] == nil {
				methods[of] = map[string]bool{}
			}
			methods[of][f.Name.Name] = true
		}
	}
	for of, names := range methods {
		if len(names) > maxMethods {
			t.Errorf("%s has %d methods, at most %d", of, len(names), maxMethods)
		}
	}
}

// A file or function that grew past its limit has more than one subject.
func TestFilesAndFunctionsAreShort(t *testing.T) {
	for _, s := range sources(t) {
		if n := bytes.Count(s.text, []byte("\n")); n > maxFile {
			t.Errorf("%s: %d lines, at most %d", s.path, n, maxFile)
		}
		if s.isTest() {
			continue // tables
		}
		for _, d := range s.ast.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Body != nil {
				from, to := s.fset.Position(f.Pos()), s.fset.Position(f.End())
				if n := to.Line - from.Line + 1; n > maxFunction {
					t.Errorf("%s:%d: %s has %d lines, at most %d", s.path, from.Line, f.Name.Name, n, maxFunction)
				}
			}
		}
	}
}

func TestFilesAreFormatted(t *testing.T) {
	for _, s := range sources(t) {
		want, err := format.Source(s.text)
		if err != nil {
			t.Errorf("%s: %v", s.path, err)
		} else if !bytes.Equal(want, s.text) {
			t.Errorf("%s: not formatted; make fmt", s.path)
		}
	}
}

// Every package says what it is for.
func TestPackagesAreDescribed(t *testing.T) {
	described := make(map[string]bool)
	for _, s := range sources(t) {
		if !s.isTest() {
			described[s.dir()] = described[s.dir()] || s.ast.Doc != nil
		}
	}
	for dir, ok := range described {
		if !ok {
			t.Errorf("%s: no file has a package comment", dir)
		}
	}
}

// forbidden are names that only one place may use: a plan must be pure, what
// makes a file durable is done in one package.
var forbidden = []struct {
	pkg, name string
	calls     bool   // only calls: naming the function as a default clock is fine
	in        string // the room where it is forbidden, "" for everywhere
	except    string
	why       string
}{
	{"time", "Now", true, "catalog", "", "the plan is pure, the catalog has one clock"},
	{"time", "Since", true, "catalog", "", "the plan is pure, the catalog has one clock"},
	{"os", "Rename", false, "", "internal/durable", "durable.Rename syncs both directories"},
	{"os", "Symlink", false, "", "internal/durable", "durable.Symlink replaces atomically"},
	{"durable", "Observe", false, "", "internal/durable", "it is for tests"},
	{"syscall", "Flock", false, "", "internal/durable", "gofrs/flock is portable; durable marks a descriptor that it has, which that cannot"},
	{"http", "DefaultServeMux", false, "", "", "a host's mux is not ours"},
	{"http", "ListenAndServe", false, "", "", "it has no timeouts"},
	{"log", "Fatal", false, "", "", "main maps errors to exit codes"},
	{"log", "Fatalf", false, "", "", "main maps errors to exit codes"},
}

func TestOnlyOnePlaceDoesIt(t *testing.T) {
	for _, s := range sources(t) {
		if room, _ := floorOf(s.dir()); s.isTest() || room == "bench" || s.dir() == "internal/testdb" {
			continue
		}
		for _, f := range forbidden {
			inside := f.in == "" || s.dir() == f.in || strings.HasPrefix(s.dir(), f.in+"/")
			if !inside || s.dir() == f.except {
				continue
			}
			for _, line := range s.uses(f.pkg, f.name, f.calls) {
				t.Errorf("%s:%d: %s.%s: %s", s.path, line, f.pkg, f.name, f.why)
			}
		}
	}
}

// The engine is C translated for one version of libc, and breaks in strange ways
// with any other: its authors say that the versions must be equal.
func TestLibcIsTheOneTheEngineWasMadeFor(t *testing.T) {
	gomod := func(args ...string) string {
		t.Helper()
		cmd := exec.Command("go", args...)
		cmd.Dir = root(t)
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("go %s: %v", strings.Join(args, " "), err)
		}
		return strings.TrimSpace(string(out))
	}
	engine, err := os.ReadFile(gomod("list", "-m", "-f", "{{.GoMod}}", "modernc.org/sqlite"))
	if err != nil {
		t.Fatal(err)
	}
	want := regexp.MustCompile(`(?m)modernc\.org/libc (v\S+)`).FindSubmatch(engine)
	if want == nil {
		t.Fatal("the engine's go.mod names no libc")
	}
	if got := gomod("list", "-m", "-f", "{{.Version}}", "modernc.org/libc"); got != string(want[1]) {
		t.Errorf("modernc.org/libc %s is selected, modernc.org/sqlite wants %s: go get modernc.org/libc@%s", got, want[1], want[1])
	}
}
