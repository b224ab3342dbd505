package lint

import (
	"bytes"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// pageDir holds what the browser loads, as it is in the repository: there is no
// build step that could make anything else of it.
const pageDir = "httpapi/static"

// notOnThePage is what the page may not have, though a browser may let it pass
// today. What the policy forbids would only fail when a user presses the button.
var notOnThePage = []struct {
	ext  string // of the files, "" for all
	what *regexp.Regexp
	why  string
}{
	{"", regexp.MustCompile(`(?i)https?://(?:www\.w3\.org/(?:2000/svg|1999/xhtml|1999/xlink))?`), "nothing is loaded from another host"},
	{".html", regexp.MustCompile(`(?i)\sstyle\s*=|<style|\son[a-z]+\s*=|<script(?:[^>]*)>\s*[^<\s]|javascript:`), "the policy forbids inline style and script"},
	{".js", regexp.MustCompile(`\b(?:innerHTML|outerHTML|insertAdjacentHTML|DOMParser|setHTMLUnsafe|createContextualFragment|eval|Function)\b|document\.write`), "text from the server must stay text"},
	{".js", regexp.MustCompile(`\b(?:alert|confirm|prompt)\(`), "native dialogs hold up the page, and cannot be read at leisure"},
	{".js", regexp.MustCompile(`console\.`), "users do not read the console"},
	{".js", regexp.MustCompile(`setAttribute\('style'|cssText`), "the policy forbids inline style"},
	{".css", regexp.MustCompile(`@import|url\(\s*['"]?(?:data:|//)`), "one request more before the first paint, or one that the policy forbids"},
}

func TestPageKeepsItsPolicy(t *testing.T) {
	files := 0
	walk(t, func(name string, _ fs.DirEntry) {
		if !strings.HasPrefix(name, pageDir+"/") {
			return
		}
		files++
		text, err := os.ReadFile(filepath.Join(root(t), filepath.FromSlash(name)))
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(text, []byte("\n")); n > maxFile {
			t.Errorf("%s: %d lines, at most %d", name, n, maxFile)
		}
		for i, line := range bytes.Split(text, []byte("\n")) {
			for _, rule := range notOnThePage {
				if rule.ext != "" && rule.ext != path.Ext(name) {
					continue
				}
				for _, found := range rule.what.FindAll(line, -1) {
					if !strings.Contains(string(found), "www.w3.org/") { // names, not addresses
						t.Errorf("%s:%d: %s: %s", name, i+1, bytes.TrimSpace(found), rule.why)
					}
				}
			}
		}
	})
	if files == 0 {
		t.Errorf("no file in %s", pageDir)
	}
}
