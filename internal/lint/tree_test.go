package lint

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const module = "example.com/snapd"

// browserModule is the directory of the second module, which the same rules hold.
const browserModule = "httpapi/browser"

// A source is one Go file of the module, for any platform.
type source struct {
	path string // from the module's root, with slashes
	text []byte
	ast  *ast.File
	fset *token.FileSet
}

func (s source) dir() string  { return path.Dir(s.path) }
func (s source) isTest() bool { return strings.HasSuffix(s.path, "_test.go") }

// imports are the paths the file imports, with the line of each.
func (s source) imports(t *testing.T) map[string]int {
	t.Helper()
	m := make(map[string]int)
	for _, spec := range s.ast.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatalf("%s: %v", s.path, err)
		}
		m[p] = s.fset.Position(spec.Pos()).Line
	}
	return m
}

// uses are the lines on which the file names something of an imported package, as
// in uses("time", "Now", false), or only those on which it calls it.
func (s source) uses(pkg, name string, calls bool) (lines []int) {
	ast.Inspect(s.ast, func(n ast.Node) bool {
		e, _ := n.(ast.Expr)
		if calls {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			e = call.Fun
		}
		if sel, ok := e.(*ast.SelectorExpr); ok && sel.Sel.Name == name {
			if id, ok := sel.X.(*ast.Ident); ok && id.Name == pkg {
				lines = append(lines, s.fset.Position(sel.Pos()).Line)
			}
		}
		return true
	})
	return lines
}

// receiverOf is the type that f is a method of, "" for none.
func receiverOf(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return ""
	}
	receiver := f.Recv.List[0].Type
	if p, ok := receiver.(*ast.StarExpr); ok {
		receiver = p.X
	}
	if generic, ok := receiver.(*ast.IndexExpr); ok {
		receiver = generic.X
	}
	if name, ok := receiver.(*ast.Ident); ok {
		return name.Name
	}
	return ""
}

// root is the directory of the module's go.mod.
func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil || !bytes.HasPrefix(mod, []byte("module "+module+"\n")) {
		t.Fatalf("%s is not the root of %s: %v", dir, module, err)
	}
	return dir
}

// walk visits the files below the root that belong to the project: no hidden
// directories, no test data, no foreign module, no build results, no foreign packages.
func walk(t *testing.T, visit func(name string, d fs.DirEntry)) {
	t.Helper()
	top := os.DirFS(root(t))
	err := fs.WalkDir(top, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !d.IsDir() {
			visit(name, d)
			return nil
		}
		if name == "." {
			return nil
		}
		if strings.HasPrefix(d.Name(), ".") && d.Name() != ".ci" || d.Name() == "testdata" || d.Name() == "node_modules" {
			return fs.SkipDir
		}
		if _, err := fs.Stat(top, path.Join(name, "go.mod")); err == nil && name != browserModule {
			return fs.SkipDir
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

var loaded = struct {
	sync.Once
	sources []source
}{}

// sources are all Go files of both modules, parsed once.
func sources(t *testing.T) []source {
	t.Helper()
	loaded.Do(func() {
		top := root(t)
		walk(t, func(name string, _ fs.DirEntry) {
			if !strings.HasSuffix(name, ".go") {
				return
			}
			text, err := os.ReadFile(filepath.Join(top, filepath.FromSlash(name)))
			if err != nil {
				t.Fatal(err)
			}
			fset := token.NewFileSet()
			file, err := parser.ParseFile(fset, name, text, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			loaded.sources = append(loaded.sources, source{path: name, text: text, ast: file, fset: fset})
		})
	})
	if len(loaded.sources) < 10 {
		t.Fatalf("only %d Go files found", len(loaded.sources))
	}
	return loaded.sources
}
