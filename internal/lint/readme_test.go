package lint

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// readmeExamples is what is around the examples of Go in the README, one after the
// other, to make functions of them. "{ … }" stands for what a reader would do.
var readmeExamples = []struct{ before, after string }{
	{"func embed(ctx context.Context) {", "_, _ = db, done\n}"},
	{"func mount(m *snapshot.Manager, mux *http.ServeMux) error {", "return err\n}"},
}

// People copy the examples. An import that they do not name is one of these.
const readmeImports = `package readme

import (
	"context"
	"net/http"

	"` + module + `/httpapi"
	"` + module + `/snapshot"
)
`

func TestExamplesOfTheReadmeCompile(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join(root(t), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(readme), -1)
	if len(blocks) != len(readmeExamples) {
		t.Fatalf("%d examples, want %d", len(blocks), len(readmeExamples))
	}
	program := readmeImports
	for i, around := range readmeExamples {
		program += fmt.Sprintf("\n%s\n%s%s\n", around.before, strings.ReplaceAll(blocks[i][1], "{ … }", `{ panic("…") }`), around.after)
	}
	source := filepath.Join(t.TempDir(), "readme.go")
	overlay := filepath.Join(t.TempDir(), "overlay.json")
	at := filepath.Join(root(t), "internal", "lint", "readme", "readme.go") // where there is nothing
	replaced, err := json.Marshal(map[string]any{"Replace": map[string]string{at: source}})
	if err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string][]byte{source: []byte(program), overlay: replaced} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	build := exec.Command("go", "build", "-overlay", overlay, "./internal/lint/readme")
	build.Dir = root(t)
	if out, err := build.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s\n%s", err, out, program)
	}
}
