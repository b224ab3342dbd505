package lint

import (
	"go/ast"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const codesPage = "docs/integrity.md"

// parsed is one file of the module.
func parsed(t *testing.T, path string) source {
	t.Helper()
	all := sources(t)
	i := slices.IndexFunc(all, func(s source) bool { return s.path == path })
	if i < 0 {
		t.Fatalf("there is no %s", path)
	}
	return all[i]
}

// constants are the texts of the file's constants whose names begin with prefix, by name.
func (s source) constants(t *testing.T, prefix string) map[string]string {
	t.Helper()
	found := map[string]string{}
	ast.Inspect(s.ast, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, prefix) || len(spec.Values) != 1 {
			return true
		}
		if lit, ok := spec.Values[0].(*ast.BasicLit); ok && lit.Kind == token.STRING {
			text, err := strconv.Unquote(lit.Value)
			if err != nil {
				t.Fatal(err)
			}
			found[spec.Names[0].Name] = text
		}
		return true
	})
	return found
}

// explained are the codes and other words in the first cells of the page's tables.
func explained(t *testing.T) (words []string) {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(root(t), filepath.FromSlash(codesPage)))
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range regexp.MustCompile("(?m)^\\| (`[a-z_]+`(?:, `[a-z_]+`)*)[^|]* \\|").FindAllStringSubmatch(string(page), -1) {
		for word := range strings.SplitSeq(row[1], ", ") {
			words = append(words, strings.Trim(word, "`"))
		}
	}
	return words
}

// A code that the page does not explain leaves the person who meets it alone, and
// one that is only on the page sends them looking for what cannot be.
func TestEveryCodeIsExplained(t *testing.T) {
	findings := parsed(t, "integrity/codes.go").constants(t, "Code")
	failures := parsed(t, "integrity/errors.go").constants(t, "ErrCode")
	if len(findings) < 40 || len(failures) < 9 {
		t.Fatalf("only %d and %d codes were found", len(findings), len(failures))
	}
	codes := append(slices.Collect(maps.Values(findings)), slices.Collect(maps.Values(failures))...)
	codes = append(codes, "timeout") // of the command check
	words := explained(t)
	for _, code := range codes {
		if !slices.Contains(words, code) {
			t.Errorf("%s has no row for the code %s: say there what it means and what to do", codesPage, code)
		}
	}
	others := []string{"header", "probe", "quick", "full"}
	others = append(others, slices.Collect(maps.Values(parsed(t, "integrity/level.go").constants(t, "")))...)
	for _, word := range words {
		if !slices.Contains(codes, word) && !slices.Contains(others, word) {
			t.Errorf("%s explains %s, which there is not", codesPage, word)
		}
	}
}
