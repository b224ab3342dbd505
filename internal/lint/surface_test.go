package lint

import (
	"bytes"
	"fmt"
	"go/importer"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// An embedder names every type that it meets in these packages by importing only them: what
// is reachable from an exported signature is exported, and declared or aliased there.
func TestExportedSignaturesNameWhatTheyUse(t *testing.T) {
	load := compiled(t)
	named := map[*types.TypeName]bool{} // what has a name in the packages so far
	for _, path := range []string{module + "/snapshot", module + "/httpapi"} {
		pkg, err := load.Import(path)
		if err != nil {
			t.Fatal(err)
		}
		s := surface{named: named, seen: map[types.Type]bool{}}
		scope := pkg.Scope()
		for _, name := range scope.Names() {
			if obj, ok := scope.Lookup(name).(*types.TypeName); ok && obj.Exported() {
				if n, ok := types.Unalias(obj.Type()).(*types.Named); ok {
					named[n.Obj()] = true
				}
			}
		}
		for _, name := range scope.Names() {
			if obj := scope.Lookup(name); obj.Exported() {
				s.visit(path+"."+name, obj.Type())
			}
		}
		for _, at := range s.faults {
			t.Error(at)
		}
		if len(s.seen) < 20 {
			t.Errorf("%s: only %d types were seen", path, len(s.seen))
		}
	}
}

// surface is the walk over what the signatures of one package reach.
type surface struct {
	named  map[*types.TypeName]bool
	seen   map[types.Type]bool
	faults []string
}

// visit follows t, which is met at where.
func (s *surface) visit(where string, t types.Type) {
	t = types.Unalias(t)
	if s.seen[t] {
		return
	}
	s.seen[t] = true
	switch t := t.(type) {
	case *types.Named:
		s.visitNamed(where, t)
	case *types.Signature:
		s.visit(where, t.Params())
		s.visit(where, t.Results())
	case *types.Tuple:
		for v := range t.Variables() {
			s.visit(where, v.Type())
		}
	case *types.Struct:
		for f := range t.Fields() {
			if f.Exported() {
				s.visit(where+"."+f.Name(), f.Type())
			}
		}
	case *types.Interface:
		for m := range t.Methods() {
			if m.Exported() {
				s.visit(where+"."+m.Name(), m.Type())
			}
		}
	case *types.Map:
		s.visit(where, t.Key())
		s.visit(where, t.Elem())
	case interface{ Elem() types.Type }: // pointer, slice, array, channel
		s.visit(where, t.Elem())
	}
}

func (s *surface) visitNamed(where string, t *types.Named) {
	obj := t.Obj()
	for a := range t.TypeArgs().Types() {
		s.visit(where, a)
	}
	if obj.Pkg() == nil || !strings.HasPrefix(obj.Pkg().Path(), module+"/") {
		return // not ours
	}
	if !s.named[t.Origin().Obj()] {
		s.faults = append(s.faults, fmt.Sprintf("%s: %s has no name here: declare an alias", where, t))
	}
	for m := range t.Methods() {
		if m.Exported() {
			s.visit(where+"."+m.Name(), m.Type())
		}
	}
	s.visit(where, t.Underlying())
}

// compiled imports the module's packages from the compiler's export data.
func compiled(t *testing.T) types.Importer {
	t.Helper()
	list := exec.CommandContext(t.Context(), "go", "list", "-export", "-deps", "-f", "{{.ImportPath}} {{.Export}}", "./snapshot", "./httpapi")
	list.Dir, list.Stderr = "../..", os.Stderr
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for line := range bytes.Lines(out) {
		path, file, _ := strings.Cut(strings.TrimSpace(string(line)), " ")
		files[path] = file
	}
	return importer.ForCompiler(token.NewFileSet(), "gc", func(path string) (io.ReadCloser, error) {
		return os.Open(files[path])
	})
}
