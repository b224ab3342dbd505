package lint

import (
	"go/ast"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// guides are the documents for maintainers. What they name in the tree has to exist.
var guides = []string{"docs/architecture.md", "CONTRIBUTING.md"}

var (
	codeSpan = regexp.MustCompile("`([^`\n]+)`")
	linkTo   = regexp.MustCompile(`\]\(([^)#\s]+)[^)]*\)`)
	pathForm = regexp.MustCompile(`^[A-Za-z0-9_.][A-Za-z0-9_./-]*$`)
)

// tree are the files and directories of the repository, test data among them.
func tree(t *testing.T) map[string]bool {
	t.Helper()
	top := os.DirFS(root(t))
	all := map[string]bool{}
	err := fs.WalkDir(top, ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && (d.Name() == ".git" || d.Name() == "node_modules") {
			return fs.SkipDir
		}
		all[name] = true
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// namesAPath reports whether a span of code is meant as a path in the repository: it
// begins with one of its directories, or names a Go file.
func namesAPath(span string, all map[string]bool) bool {
	if !pathForm.MatchString(span) {
		return false
	}
	first, rest, below := strings.Cut(span, "/")
	return below && rest != "" && first != "." && all[first] || path.Ext(span) == ".go"
}

// A map that names what is no longer there sends people the wrong way.
func TestGuidesNameWhatThereIs(t *testing.T) {
	all := tree(t)
	for _, guide := range guides {
		text, err := os.ReadFile(filepath.Join(root(t), filepath.FromSlash(guide)))
		if err != nil {
			t.Fatal(err)
		}
		named := 0
		for i, line := range strings.Split(string(text), "\n") {
			for _, span := range codeSpan.FindAllStringSubmatch(line, -1) {
				if !namesAPath(span[1], all) {
					continue
				}
				if named++; !all[strings.TrimSuffix(span[1], "/")] {
					t.Errorf("%s:%d: there is no %s", guide, i+1, span[1])
				}
			}
			for _, link := range linkTo.FindAllStringSubmatch(line, -1) {
				if to := path.Join(path.Dir(guide), link[1]); !strings.Contains(link[1], "://") && !all[to] {
					t.Errorf("%s:%d: the link leads to %s, which there is not", guide, i+1, to)
				}
			}
		}
		if named < 10 {
			t.Errorf("%s: only %d paths were found", guide, named)
		}
	}
}

// names are what the module declares: "Name", "Type.Member" and "Member", the first two
// also behind their package. packages are the names of those.
func names(t *testing.T) (declared, packages map[string]bool) {
	t.Helper()
	declared, packages = map[string]bool{}, map[string]bool{}
	for _, s := range sources(t) {
		pkg := s.ast.Name.Name
		packages[pkg] = true
		add := func(typ, name string) {
			declared[name] = true
			if typ != "" {
				name = typ + "." + name
			}
			declared[name], declared[pkg+"."+name] = true, true
		}
		for _, decl := range s.ast.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				add(receiverOf(d), d.Name.Name)
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					switch spec := spec.(type) {
					case *ast.ValueSpec:
						for _, name := range spec.Names {
							add("", name.Name)
						}
					case *ast.TypeSpec:
						add("", spec.Name.Name)
						for _, member := range membersOf(spec) {
							add(spec.Name.Name, member)
						}
					}
				}
			}
		}
	}
	return declared, packages
}

// membersOf are the fields of a struct, or the methods of an interface.
func membersOf(spec *ast.TypeSpec) (members []string) {
	var fields *ast.FieldList
	switch typ := spec.Type.(type) {
	case *ast.StructType:
		fields = typ.Fields
	case *ast.InterfaceType:
		fields = typ.Methods
	default:
		return nil
	}
	for _, field := range fields.List {
		for _, name := range field.Names {
			members = append(members, name.Name)
		}
	}
	return members
}

// mixedCase is how Go's names of more than one word are written, and exported ones.
var mixedCase = regexp.MustCompile(`^(?:[a-z]+[A-Z]|[A-Z]+[a-z])[A-Za-z0-9]*$`)

// namesGo reports whether a span of code is meant as something that Go code declares.
func namesGo(span string, packages map[string]bool) bool {
	first, rest, qualified := strings.Cut(span, ".")
	if !qualified {
		return mixedCase.MatchString(span)
	}
	return (packages[first] || mixedCase.MatchString(first)) && mixedCase.MatchString(strings.Split(rest, ".")[0])
}

// What a guide calls by name is called so.
func TestGuidesUseTheCodesNames(t *testing.T) {
	declared, packages := names(t)
	for _, guide := range guides {
		text, err := os.ReadFile(filepath.Join(root(t), filepath.FromSlash(guide)))
		if err != nil {
			t.Fatal(err)
		}
		named := 0
		for i, line := range strings.Split(string(text), "\n") {
			for _, span := range codeSpan.FindAllStringSubmatch(line, -1) {
				if !namesGo(span[1], packages) {
					continue
				}
				if named++; !declared[span[1]] {
					t.Errorf("%s:%d: nothing is called %s", guide, i+1, span[1])
				}
			}
		}
		if named < 3 {
			t.Errorf("%s: only %d names were found", guide, named)
		}
	}
}

// Every package is on the map, by itself or with the one that it is below.
func TestMapHasEveryPackage(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root(t), "docs", "architecture.md"))
	if err != nil {
		t.Fatal(err)
	}
	said := map[string]bool{}
	for _, s := range sources(t) {
		dir := s.dir()
		for up := dir; up != "." && !said[dir]; up = path.Dir(up) {
			said[dir] = strings.Contains(string(text), "`"+up+"`")
		}
	}
	for dir, ok := range said {
		if !ok {
			t.Errorf("docs/architecture.md does not say what %s is for", dir)
		}
	}
}

// A package whose comment lists its files lists all of them.
func TestPackagesListTheirFiles(t *testing.T) {
	for _, dir := range []string{"integrity", "internal/sqlite/engine", "internal/sqlitefile"} {
		listed := map[string]bool{}
		for line := range strings.Lines(string(parsed(t, dir+"/doc.go").text)) {
			row, ok := strings.CutPrefix(line, "//\t")
			files, _, _ := strings.Cut(row, "  ")
			for file := range strings.FieldsFuncSeq(files, func(r rune) bool { return r == ' ' || r == ',' }) {
				listed[strings.TrimSuffix(file, ".go")] = ok
			}
		}
		for _, s := range sources(t) {
			name := strings.TrimSuffix(path.Base(s.path), ".go")
			if s.dir() != dir || s.isTest() || name == "doc" {
				continue
			}
			if !listed[name] {
				t.Errorf("the comment of %s does not list %s", dir, path.Base(s.path))
			}
			delete(listed, name)
		}
		for name, ok := range listed {
			if ok {
				t.Errorf("the comment of %s lists %s, which there is not", dir, name)
			}
		}
	}
}
