package lint

import (
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
				moving := strings.HasPrefix(span[1], "snapshot/") || strings.HasPrefix(span[1], "httpapi/") // these days
				if named++; !moving && !all[strings.TrimSuffix(span[1], "/")] {
					t.Errorf("%s:%d: there is no %s", guide, i+1, span[1])
				}
			}
			for _, link := range linkTo.FindAllStringSubmatch(line, -1) {
				if to := path.Join(path.Dir(guide), link[1]); !strings.Contains(link[1], "://") && !strings.HasPrefix(to, "snapshot/") && !all[to] {
					t.Errorf("%s:%d: the link leads to %s, which there is not", guide, i+1, to)
				}
			}
		}
		if named < 10 {
			t.Errorf("%s: only %d paths were found", guide, named)
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
